"""The Redis store: one exchange a request, bounded in time, and never an exception for an outage."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import redis.exceptions

from feature_store.circuit import Circuit
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
from feature_store.redis_transport import Command, Transport, make_transport
from feature_store.redis_urls import explain, parse_redis_url
from feature_store.settings import StoreSettings
from feature_store.turns import see_what_has_arrived

logger = logging.getLogger(__name__)

_PHOTO, _USER, _SHOWN = "photo", "user", "shown"
_UNREADABLE = {_PHOTO: PHOTO_FIELD_UNREADABLE, _USER: USER_UNREADABLE, _SHOWN: SHOWN_UNREADABLE}


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

    def __init__(self, transport: Transport, shown_url: str, settings: StoreSettings) -> None:
        self._transport = transport
        self._url = shown_url
        self._settings = settings
        self._circuits: dict[str, Circuit] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._complaints: set[str] = set()

    @property
    def url(self) -> str:
        """See `store.Store`."""
        return self._url

    async def fetch(
        self,
        photo_id: str | None,
        user_id: str | None = None,
        *,
        want_shown: bool = False,
        timeout_seconds: float | None = None,
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
        return _decode(replies, degraded, settings.embedding_version)

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
            parts_of_node.setdefault(self._transport.node_of(str(command[1])), []).append(part)
        nodes: dict[asyncio.Task[list[Any] | Exception], str] = {}
        for node, parts in parts_of_node.items():
            if self._circuit(node).is_open:
                degraded.append(DOWN)
            else:
                nodes[self._start(node, [commands[part] for part in parts])] = node
        if not nodes:
            return replies, degraded
        # Waiting does not cancel: a late exchange ends by itself and its connection stays usable.
        done, late = await asyncio.wait(nodes, timeout=wait)
        if late:
            await see_what_has_arrived()
            arrived = {task for task in late if task.done()}
            done, late = done | arrived, late - arrived
        for task in late:
            degraded.append(TIMEOUT)
            # A caller in a greater hurry than the settings says nothing of the server.
            if wait >= self._settings.timeout_seconds:
                self._circuit(nodes[task]).failed(f"{self._url} took over {1000 * wait:.0f} ms")
        for task in done:
            answer = task.result()
            node = nodes[task]
            self._judge(node, answer)
            if isinstance(answer, Exception):
                degraded.append(_degradation_of(answer))
            else:
                replies.update(zip(parts_of_node[node], answer, strict=True))
        return replies, degraded

    def _start(self, node: str, commands: Sequence[Command]) -> asyncio.Task[list[Any] | Exception]:
        task = asyncio.create_task(self._exchange(node, commands))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _exchange(self, node: str, commands: Sequence[Command]) -> list[Any] | Exception:
        try:
            return await self._transport.exchange(node, commands)
        except Exception as error:  # redis-py's clients raise more kinds than they name; none may reach a request
            return error

    def _circuit(self, node: str) -> Circuit:
        circuit = self._circuits.get(node)
        if circuit is None:
            settings = self._settings

            async def probe() -> bool:
                try:
                    await self._transport.revive(node)
                except Exception as error:
                    logger.debug("probe: %s", explain(error, self._url))
                    return False
                return True

            circuit = self._circuits[node] = Circuit(
                f"{self._url} {node}".rstrip(),
                probe,
                failure_threshold=settings.failure_threshold,
                probe_interval_seconds=settings.probe_interval_seconds,
                probe_interval_max_seconds=settings.probe_interval_max_seconds,
            )
        return circuit

    def _judge(self, node: str, answer: list[Any] | Exception) -> None:
        """Tell the node's circuit how an exchange ended."""
        errors = [answer] if isinstance(answer, Exception) else [e for e in answer if isinstance(e, Exception)]
        for error in errors:
            if isinstance(error, redis.exceptions.ResponseError):
                self._complain(error)
            elif not isinstance(error, redis.exceptions.MaxConnectionsError):  # a pool in full use is our own fault
                self._circuit(node).failed(explain(error, self._url))
                return
        if not isinstance(answer, Exception):
            self._circuit(node).succeeded()

    def _complain(self, error: Exception) -> None:
        """Log a refusal by the server, once for each kind: it answers, in time, and only a person can mend it."""
        kind = str(error).partition(" ")[0]
        if kind not in self._complaints:
            self._complaints.add(kind)
            logger.warning("%s", explain(error, self._url))

    async def record_shown(self, user_id: str, queries: Sequence[str], *, shown_at_ms: int | None = None) -> bool:
        """See `store.Store`. The exchange is bounded by the connection's own timeouts."""
        key = shown_key(user_id)
        if not queries:
            return True
        now = time.time_ns() // 1_000_000
        at = now if shown_at_ms is None else shown_at_ms
        window = self._settings.shown_window_seconds
        scored = [item for query in queries for item in (at, encode_member(query))]
        node = self._transport.node_of(key)
        if self._circuit(node).is_open:
            return False
        commands: list[Command] = [
            ("ZADD", key, *scored),
            ("ZREMRANGEBYSCORE", key, "-inf", f"({now - 1000 * window}"),
            ("ZREMRANGEBYRANK", key, 0, -self._settings.shown_limit - 1),
            ("EXPIRE", key, window),
        ]
        answer = await asyncio.shield(self._start(node, commands))
        self._judge(node, answer)
        return not isinstance(answer, Exception) and not any(isinstance(e, Exception) for e in answer)

    async def ping(self) -> float:
        """See `store.Store`."""
        start = time.perf_counter()
        try:
            await self._transport.ping()
        except Exception as error:
            raise StoreUnavailable(explain(error, self._url)) from error
        return time.perf_counter() - start

    async def open(self) -> None:
        """Make the warm connections; where that fails, begin to probe."""
        try:
            await self._transport.connect()
        except Exception as error:
            self._circuit("").open(explain(error, self._url))

    async def close(self) -> None:
        """See `store.Store`. Waits for exchanges that are under way; their sockets' timeouts bound it."""
        for circuit in self._circuits.values():
            await circuit.close()
        await asyncio.gather(*self._running)
        await self._transport.close()


def _decode(replies: dict[str, Any], degraded: list[str], embedding_version: str) -> Fetched:
    photo: PhotoRecord | None = None
    user: UserRecord | None = None
    shown: tuple[ShownQuery, ...] = ()
    found: tuple[str, ...] = ()
    for part, reply in replies.items():
        if isinstance(reply, Exception):
            found = (_UNREADABLE[part] if _is_wrong_type(reply) else _degradation_of(reply),)
        elif part == _PHOTO:
            photo, found = decode_photo(reply, embedding_version)
        elif part == _USER:
            user, found = decode_user(reply, embedding_version)
        else:
            shown, found = decode_shown([(reply[i], float(reply[i + 1])) for i in range(0, len(reply), 2)])
        degraded.extend(found)
    return Fetched(photo, user, shown, tuple(dict.fromkeys(degraded)))


async def open_redis(url: str, settings: StoreSettings) -> RedisStore:
    """Open a Redis URL; see `store.open_store`.

    Raises:
        StoreUrlError: the URL cannot be used as it stands. An outage does not raise.
    """
    checked = parse_redis_url(url)
    store = RedisStore(make_transport(checked, settings), checked.shown, settings)
    await store.open()
    return store
