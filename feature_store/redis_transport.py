"""One exchange with a Redis server, or with a node of a Redis Cluster, over redis-py's asyncio clients.

The clients are set up so that nothing is hidden: no retries, no health checks, explicit timeouts, RESP2 (a connection
needs no greeting). An exchange is never cancelled from outside, since that would cost its connection; it ends by its
socket's timeouts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    InvalidResponse,
    MovedError,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TryAgainError,
)

from feature_store.fair_timeout import fair_timeout
from feature_store.redis_urls import RedisUrl
from feature_store.settings import StoreSettings

_REDIRECTIONS = (MovedError, AskError, TryAgainError)

Command = tuple[str | bytes | int | float, ...]


MAX_REPLY_BYTES: Final = 4 * 1024 * 1024
"""A longer reply ends its connection. Over twice what the limits of `codec` and `vectors` allow one record to have."""


class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type]
    """The client's parser, with an end to what it takes into memory.

    A value in Redis can have up to 512 MB, and its writer alone decides that.
    """

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """See redis-py."""
        self._received_bytes = 0
        return await super().read_response(*arguments, **options)

    async def read_from_socket(self) -> bool:
        """See redis-py. Raises InvalidResponse, for which the client closes the connection."""
        buffer = await self._stream.read(self._read_size)
        if not buffer:
            raise ConnectionError("the server closed the connection")
        self._received_bytes += len(buffer)
        if self._received_bytes > MAX_REPLY_BYTES:
            raise InvalidResponse(f"a reply has over {MAX_REPLY_BYTES} bytes")
        self._reader.feed(buffer)
        return True


class Transport(Protocol):
    """How commands get to the server that has their keys. Errors of the client are raised unchanged."""

    def node_of(self, key: str) -> str:
        """Return the name of the node that has a key; "" where there is but one, or it is not known yet."""

    async def exchange(self, node: str, commands: Sequence[Command]) -> list[Any]:
        """Send commands to one node in one write, and return their replies; a reply may be an exception."""

    async def connect(self) -> None:
        """Make the warm connections."""

    async def revive(self, node: str) -> None:
        """Drop idle connections to a node that failed, learn where its keys are now, and ask it for a sign of life."""

    async def ping(self) -> None:
        """Make one round trip."""

    async def close(self) -> None:
        """Close all connections."""


def _client_options(settings: StoreSettings) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": settings.socket_timeout_seconds,
        "socket_connect_timeout": settings.connect_timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": settings.max_connections,
        "driver_info": None,  # saves the two commands that redis-py would greet each connection with
    }


async def _converse(connection: AbstractConnection, commands: Sequence[Command], seconds: float) -> list[Any]:
    """Send commands over a connection that no other call uses, and return their replies.

    By default redis-py sends in a task of its own and times each reply. That is a quarter of what an exchange
    costs, and it puts iterations of the event loop between a reply's arrival and its reading (see `fair_timeout`).
    """
    connection.socket_timeout = None
    try:
        async with fair_timeout(seconds):
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await _reply(connection) for _ in commands]
    finally:
        connection.socket_timeout = seconds  # for what redis-py itself asks: greetings, PING, CLUSTER SLOTS


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


class SingleServer:
    """A `Transport` to one Redis server."""

    def __init__(self, url: RedisUrl, settings: StoreSettings) -> None:
        """Make the client; nothing is connected yet."""
        options = _client_options(settings)
        if url.url.startswith("unix:"):
            del options["socket_keepalive"]
        self._client: Any = Redis.from_url(url.url, parser_class=BoundedParser, **options)
        self._warm_connections = settings.warm_connections
        self._timeout_seconds = settings.socket_timeout_seconds

    def node_of(self, key: str) -> str:
        """See `Transport`."""
        return ""

    async def exchange(self, node: str, commands: Sequence[Command]) -> list[Any]:
        """See `Transport`."""
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            return await _converse(connection, commands, self._timeout_seconds)
        finally:
            await pool.release(connection)

    async def connect(self) -> None:
        """See `Transport`."""
        pool = self._client.connection_pool
        made = await asyncio.gather(
            *(pool.get_connection() for _ in range(max(1, self._warm_connections))), return_exceptions=True
        )
        for connection in made:
            if not isinstance(connection, BaseException):
                await pool.release(connection)
        await self.ping()

    async def revive(self, node: str) -> None:
        """See `Transport`."""
        await self._client.connection_pool.disconnect(inuse_connections=False)
        await self.connect()

    async def ping(self) -> None:
        """See `Transport`."""
        await self._client.execute_command("PING")

    async def close(self) -> None:
        """See `Transport`."""
        await self._client.aclose()


class Cluster:
    """A `Transport` to a Redis Cluster: keys of a request that lie on several nodes are asked for at once."""

    def __init__(self, url: RedisUrl, settings: StoreSettings) -> None:
        """Make the client; nothing is connected yet."""
        # A master that is down must cost its own keys only, hence no full coverage; a moved slot is patched, since
        # a new start would close the connections that other requests are using.
        self._client: RedisCluster = RedisCluster.from_url(
            url.url, require_full_coverage=False, reinitialize_steps=0, **_client_options(settings)
        )
        # The cluster client takes no parser, but hands these on to the connections of each node.
        for options in (self._client.connection_kwargs, *(n.connection_kwargs for n in self._client.get_nodes())):
            options["parser_class"] = BoundedParser
        self._timeout_seconds = settings.socket_timeout_seconds

    def node_of(self, key: str) -> str:
        """See `Transport`."""
        try:
            node = self._client.get_node_from_key(key)
        except SlotNotCoveredError:
            return ""
        return node.name if node else ""

    async def exchange(self, node: str, commands: Sequence[Command]) -> list[Any]:
        """See `Transport`."""
        found = self._client.get_node(node_name=node) if node else None
        if found is None:
            return await self._find_and_ask(commands)
        connection = found.acquire_connection()
        try:
            if connection.is_connected and await connection.can_read():
                await connection.disconnect()  # the server closed it while it was idle
            await connection.connect()  # type: ignore[no-untyped-call]
            replies = await _converse(connection, commands, self._timeout_seconds)
        finally:
            found.release(connection)
        redirected = [i for i, reply in enumerate(replies) if isinstance(reply, _REDIRECTIONS)]
        if redirected:
            answers = await self._find_and_ask([commands[i] for i in redirected])
            for i, answer in zip(redirected, answers, strict=True):
                replies[i] = answer
        return replies

    async def _find_and_ask(self, commands: Sequence[Command]) -> list[Any]:
        """Let redis-py find the nodes of the keys: they are not known yet, or are moving."""
        pipeline = self._client.pipeline()
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)

    async def connect(self) -> None:
        """See `Transport`."""
        await self._client.initialize()
        await asyncio.gather(
            *(node.execute_command("PING") for node in self._client.get_primaries()), return_exceptions=True
        )

    async def revive(self, node: str) -> None:
        """See `Transport`."""
        await self._client.initialize()
        await self._client.nodes_manager.initialize()
        found = self._client.get_node(node_name=node) if node else None
        if found is not None:
            await found.disconnect_free_connections()
            await found.execute_command("PING")

    async def ping(self) -> None:
        """See `Transport`."""
        await self._client.initialize()
        primaries = self._client.get_primaries()
        if not primaries:
            raise RedisError("the cluster has no master")
        await primaries[0].execute_command("PING")

    async def close(self) -> None:
        """See `Transport`."""
        await self._client.aclose()


def make_transport(url: RedisUrl, settings: StoreSettings) -> Transport:
    """Return the transport that a URL asks for; nothing is connected yet."""
    return Cluster(url, settings) if url.is_cluster else SingleServer(url, settings)
