"""Records shown queries in the store, after the answer was sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from feature_store import Store

logger = logging.getLogger(__name__)

_CAPACITY = 1024


class ShownRecorder:
    """A bounded queue and one task that writes it to the store. Lost entries are counted."""

    def __init__(self, store: Store, on_lost: Callable[[], None]) -> None:
        self._store = store
        self._on_lost = on_lost
        self._queue: asyncio.Queue[tuple[str, Sequence[str]]] = asyncio.Queue(_CAPACITY)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start writing, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="onebar-shown")

    def record(self, user_id: str, queries: Sequence[str]) -> None:
        """Queue the queries that a user was shown. Never waits; an entry that does not fit is lost."""
        try:
            self._queue.put_nowait((user_id, queries))
        except asyncio.QueueFull:
            self._on_lost()

    async def flush(self) -> None:
        """Wait until every entry queued so far is written or lost."""
        await self._queue.join()

    async def close(self, timeout_seconds: float = 2.0) -> None:
        """Write the queued entries, for at most `timeout_seconds`, and stop the task."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self.flush()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            user_id, queries = await self._queue.get()
            try:
                if not await self._store.record_shown(user_id, queries):
                    self._on_lost()
            except Exception:
                logger.exception("shown queries could not be recorded")
                self._on_lost()
            finally:
                self._queue.task_done()
