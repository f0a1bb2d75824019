"""The Redis store: one exchange a request, bounded in time, and never an exception for an outage."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import redis.exceptions

from feature_store.circuit import CircuitState
from feature_store.codec import encode_member
from feature_store.errors import StoreUnavailable
from feature_store.keys import USER_FIELDS, photo_key, shown_key, user_key
from feature_store.records import (
    BUSY,
    DOWN,
    PHOTO_FIELD_UNREADABLE,
    PHOTO_HASH_FIELDS,
    SHOWN_UNREADABLE,
    TIMEOUT,
    USER_UNREADABLE,
    Fetched,
    PhotoRecord,
    ShownQuery,
    UserRecord,
    decode_photo,
    decode_shown,
    decode_user,
)
from feature_store.redis_calls import Calls, Task
from feature_store.redis_transport import Command, make_transport
from feature_store.redis_urls import explain, parse_redis_url
from feature_store.settings import StoreSettings

logger = logging.getLogger(__name__)

_PHOTO, _USER, _SHOWN = "photo", "user", "shown"
_UNREADABLE = {_PHOTO: PHOTO_FIELD_UNREADABLE, _USER: USER_UNREADABLE, _SHOWN: SHOWN_UNREADABLE}
_LENGTHS = {_PHOTO: len(PHOTO_HASH_FIELDS), _USER: len(USER_FIELDS)}


def _degradation_of(error: BaseException) -> str:
    if isinstance(error, redis.exceptions.MaxConnectionsError):
        return BUSY
    if isinstance(error, (redis.exceptions.TimeoutError, TimeoutError)):
        return TIMEOUT
    return DOWN


def _is_wrong_type(error: BaseException) -> bool:
    return isinstance(error, redis.exceptions.ResponseError) and str(error).startswith("WRONGTYPE")


class RedisStore:
    """See `store.Store`. Made by `open_redis`; its creator closes it."""

    def __init__(self, calls: Calls, shown_url: str, settings: StoreSettings) -> None:
        """Take what `open_redis` made; `close` closes it."""
        self._calls = calls
        self._url = shown_url
        self._settings = settings

    @property
    def url(self) -> str:
        """See `store.Store`."""
        return self._url

    @property
    def circuit_state(self) -> CircuitState:
        """See `store.Store`."""
        return self._calls.state

    async def fetch(
        self,
        photo_id: str | None,
        user_id: str | None = None,
        *,
        want_shown: bool = False,
        timeout_seconds: float | None = None,
        embedding_version: str | None = None,
    ) -> Fetched:
        """See `store.Store`."""
        settings = self._settings
        commands: dict[str, Command] = {}
        if photo_id is not None:
            commands[_PHOTO] = ("HMGET", photo_key(photo_id), *PHOTO_HASH_FIELDS)
        if user_id is not None:
            commands[_USER] = ("HMGET", user_key(user_id), *USER_FIELDS)
            if want_shown:
                since = time.time_ns() // 1_000_000 - 1000 * settings.shown_window_seconds
                newest = ("LIMIT", 0, settings.shown_limit)
                key = shown_key(user_id)
                commands[_SHOWN] = ("ZREVRANGEBYSCORE", key, "+inf", since, "WITHSCORES", *newest)
        wait = settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        replies, degraded = await self._ask(commands, wait)
        return _decode(replies, degraded, embedding_version or settings.embedding_version, settings.shown_limit)

    async def _ask(self, commands: dict[str, Command], wait: float) -> tuple[dict[str, Any], list[str]]:
        """Return the replies that came in time, by part, and the degradations of the others."""
        replies: dict[str, Any] = {}
        degraded: list[str] = []
        if not commands:
            return replies, degraded
        if wait <= 0:
            return replies, [TIMEOUT]
        parts_of_node: dict[str, list[str]] = {}
        for part, command in commands.items():
            parts_of_node.setdefault(self._calls.node_of(str(command[1])), []).append(part)
        parts_of_task: dict[Task, list[str]] = {}
        for node, parts in parts_of_node.items():
            task = self._calls.start(node, [commands[part] for part in parts], is_read=True)
            if task is None:
                degraded.append(DOWN)
            else:
                parts_of_task[task] = parts
        if not parts_of_task:
            return replies, degraded
        done, late = await self._calls.wait(parts_of_task, wait)
        degraded.extend(TIMEOUT for _ in late)
        for task in done:
            answer = task.result()
            if isinstance(answer, Exception):
                degraded.append(_degradation_of(answer))
            else:
                replies.update(zip(parts_of_task[task], answer, strict=True))
        return replies, degraded

    async def record_shown(self, user_id: str, queries: Sequence[str], *, shown_at_ms: int | None = None) -> bool:
        """See `store.Store`. The exchange is bounded by the connection's own timeouts."""
        key = shown_key(user_id)
        if not queries:
            return True
        now = time.time_ns() // 1_000_000
        at = now if shown_at_ms is None else shown_at_ms
        window = self._settings.shown_window_seconds
        scored = [item for query in queries for item in (at, encode_member(query))]
        commands: list[Command] = [
            ("ZADD", key, *scored),
            ("ZREMRANGEBYSCORE", key, "-inf", f"({now - 1000 * window}"),
            ("ZREMRANGEBYRANK", key, 0, -self._settings.shown_limit - 1),
            ("EXPIRE", key, window),
        ]
        task = self._calls.start(self._calls.node_of(key), commands, is_read=False)
        if task is None:
            return False
        _, late = await self._calls.wait([task], self._settings.timeout_seconds)
        answer = await asyncio.shield(task) if late else task.result()
        return not isinstance(answer, Exception) and not any(isinstance(e, Exception) for e in answer)

    async def ping(self) -> float:
        """See `store.Store`."""
        start = time.perf_counter()
        try:
            await self._calls.ping()
        except Exception as error:
            raise StoreUnavailable(explain(error, self._url)) from error
        return time.perf_counter() - start

    async def close(self) -> None:
        """See `store.Store`."""
        await self._calls.close()


def _decode(replies: dict[str, Any], degraded: list[str], embedding_version: str, shown_limit: int) -> Fetched:
    photo: PhotoRecord | None = None
    user: UserRecord | None = None
    shown: tuple[ShownQuery, ...] = ()
    found: tuple[str, ...] = ()
    for part, reply in replies.items():
        if isinstance(reply, Exception):
            found = (_UNREADABLE[part] if _is_wrong_type(reply) else _degradation_of(reply),)
        elif not isinstance(reply, list) or len(reply) != _LENGTHS.get(part, len(reply)):
            found = (_UNREADABLE[part],)  # whatever answered is no Redis, or not only
        elif part == _PHOTO:
            photo, found = decode_photo(reply, embedding_version)
        elif part == _USER:
            user, found = decode_user(reply, embedding_version)
        else:
            members = reply[: 2 * shown_limit]
            shown, found = decode_shown(list(zip(members[::2], members[1::2], strict=False)))
        degraded.extend(found)
    return Fetched(photo, user, shown, tuple(dict.fromkeys(degraded)))


async def open_redis(url: str, settings: StoreSettings) -> RedisStore:
    """Open a Redis URL; see `store.open_store`.

    Raises:
        StoreUrlError: the URL cannot be used. An outage does not raise.
    """
    checked = parse_redis_url(url)
    for warning in checked.warnings:
        logger.warning("%s", warning)
    calls = Calls(make_transport(checked, settings), checked.shown, settings)
    await calls.open()
    return RedisStore(calls, checked.shown, settings)
