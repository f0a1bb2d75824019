"""Exchanges of jobs with Redis: many commands at once, with one server or with all nodes of a cluster. No retries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.crc import key_slot
from redis.retry import Retry

from feature_store.errors import StoreUnavailable
from feature_store.redis_urls import RedisUrl, explain

Command = tuple[Any, ...]

SCAN_COUNT: Final = 1000
"""Keys that one SCAN looks at. It blocks the server for about a quarter of a millisecond."""

_KEY_OF_SCRIPT: Final = 3  # EVALSHA digest 1 key
_REDIRECTIONS: Final = (redis.exceptions.MovedError, redis.exceptions.AskError, redis.exceptions.TryAgainError)
_OPTIONS: Final[dict[str, Any]] = {
    "protocol": 2,
    "socket_connect_timeout": 5.0,
    "socket_timeout": 30.0,  # for a chunk of a thousand records, on a server that is busy saving
    "retry": Retry(NoBackoff(), 0),
}


class Servers(Protocol):
    """One server or a cluster. The code that opened it closes it. All methods raise StoreUnavailable."""

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands, each with one key, and return their replies in order.

        Raises:
            StoreUnavailable: one was refused, or the connection was lost; any of the others may have been executed.
        """

    def load_scripts(self, scripts: Sequence[str]) -> None:
        """Make every server know scripts, so that EVALSHA finds them."""

    def scan(self, pattern: str) -> Iterator[list[bytes]]:
        """Yield the keys that match, in batches. A key may come twice; one that is always there does come."""

    def close(self) -> None:
        """Close what was opened."""


class SingleServer:
    """See `Servers`.

    It packs commands itself, on a connection of redis-py: the pipeline there costs more than all else in a load.
    """

    def __init__(self, url: RedisUrl) -> None:
        """Connect. Raises StoreUnavailable."""
        self._shown = url.shown
        self._client: Any = redis.Redis.from_url(url.url, **_OPTIONS)
        try:
            self._client.ping()
            self._connection: Any = self._client.connection_pool.get_connection()
        except redis.RedisError as error:
            self._client.close()
            raise StoreUnavailable(explain(error, url.shown)) from error

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """See `Servers`."""
        try:
            self._connection.send_packed_command([b"".join(map(hiredis.pack_command, commands))])
            return [self._connection.read_response() for _ in commands]
        except redis.RedisError as error:
            self._connection.disconnect()  # further replies may be under way; they must answer nothing else
            raise StoreUnavailable(explain(error, self._shown)) from error

    def load_scripts(self, scripts: Sequence[str]) -> None:
        """See `Servers`."""
        self.run([("SCRIPT", "LOAD", script) for script in scripts])

    def scan(self, pattern: str) -> Iterator[list[bytes]]:
        """See `Servers`."""
        cursor: Any = b"0"
        while True:
            ((cursor, keys),) = self.run([("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)])
            if keys:
                yield keys
            if cursor == b"0":
                return

    def close(self) -> None:
        """See `Servers`."""
        self._connection.disconnect()
        self._client.close()


class Cluster:
    """See `Servers`. Commands go to the nodes of their keys, at the same time; a slot that has moved is followed."""

    def __init__(self, url: RedisUrl) -> None:
        """Connect. Raises StoreUnavailable."""
        self._shown = url.shown
        self._connections: dict[str, Any] = {}
        try:
            self._client: Any = RedisCluster.from_url(url.url, **_OPTIONS)
        except Exception as error:  # redis-py's cluster client raises more kinds than it names
            raise StoreUnavailable(explain(error, url.shown)) from error

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """See `Servers`."""
        try:
            return self._send(commands)
        except _REDIRECTIONS:
            self._disconnect()
        except Exception as error:
            self._disconnect()
            raise StoreUnavailable(explain(error, self._shown)) from error
        return self._follow(commands)

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands to the nodes that are known to have their keys, and return the replies."""
        positions: dict[str, list[int]] = {}
        for position, command in enumerate(commands):
            key = command[_KEY_OF_SCRIPT] if command[0] == "EVALSHA" else command[1]
            slot = key_slot(key if isinstance(key, bytes) else key.encode())
            node = self._client.nodes_manager.get_node_from_slot(slot)
            positions.setdefault(node.name, []).append(position)
            if node.name not in self._connections:
                pool = self._client.get_redis_connection(node).connection_pool
                self._connections[node.name] = pool.get_connection()
        for name, of_node in positions.items():
            packed = b"".join(hiredis.pack_command(commands[position]) for position in of_node)
            self._connections[name].send_packed_command([packed])
        replies: list[Any] = [None] * len(commands)
        for name, of_node in positions.items():
            for position in of_node:
                replies[position] = self._connections[name].read_response()
        return replies

    def _follow(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands by the pipeline of redis-py, which follows redirections and learns of them."""
        pipeline = self._client.pipeline()
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = pipeline.execute()
        except Exception as error:
            raise StoreUnavailable(explain(error, self._shown)) from error
        return replies

    def _disconnect(self) -> None:
        """Close the connections: further replies may be under way, which must answer nothing else."""
        for connection in self._connections.values():
            connection.disconnect()
        self._connections.clear()

    def load_scripts(self, scripts: Sequence[str]) -> None:
        """See `Servers`."""
        try:
            for node in self._client.get_primaries():
                for script in scripts:
                    self._client.execute_command("SCRIPT LOAD", script, target_nodes=node)
        except Exception as error:
            raise StoreUnavailable(explain(error, self._shown)) from error

    def scan(self, pattern: str) -> Iterator[list[bytes]]:
        """See `Servers`."""
        try:
            for node in self._client.get_primaries():
                connection = self._client.get_redis_connection(node)
                cursor = None
                while cursor != 0:
                    cursor, keys = connection.scan(cursor or 0, match=pattern, count=SCAN_COUNT)
                    if keys:
                        yield keys
        except redis.RedisError as error:
            raise StoreUnavailable(explain(error, self._shown)) from error

    def close(self) -> None:
        """See `Servers`."""
        self._disconnect()
        self._client.close()


def connect(url: RedisUrl) -> Servers:
    """Connect to the server or the cluster that a checked URL names. The caller closes it. Raises StoreUnavailable."""
    return Cluster(url) if url.is_cluster else SingleServer(url)
