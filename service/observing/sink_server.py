"""Whether a Redis server may hold the event stream.

Under an eviction policy, a stream of events on the feature store's server pushes the evidence out, and no error says
so.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from feature_store.errors import StoreUrlError
from feature_store.redis_urls import parse_redis_url

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 1.0
_DEFAULT_PORT = 6379
_LOOPBACK = "loopback"

Address = tuple[str, int]
"""An IP address, all loopback addresses being one, and a port; or the path of a socket, and 0."""


def connect(url: str) -> redis.Redis:
    """Return a client that gives up soon and does not retry. Nothing is connected yet."""
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@dataclass(slots=True)
class StoreServer:
    """The server or the cluster of the feature store, to be compared with that of the sink.

    Attributes:
        url: as redis-py wants it.
        is_cluster: whether it names a Redis Cluster.
        different: ids of servers that were compared with every node of the store.
    """

    url: str
    is_cluster: bool
    different: set[str] = field(default_factory=set)

    refusal = (
        "it is the server of the feature store, whose evidence the events would push out. Use another server, or set "
        "ONEBAR_EVENTS__ALLOW_STORE_SERVER=true."
    )

    @classmethod
    def of(cls, store_url: str) -> StoreServer | None:
        """Return the server of a store URL, or None for a store that is not in Redis."""
        try:
            parsed = parse_redis_url(store_url)
        except StoreUrlError:  # memory:// and sqlite://; the store itself refuses wrong URLs
            return None
        return cls(parsed.url, parsed.is_cluster)

    def has_address_of(self, url: str) -> bool:
        """Whether a URL leads to the same address and port, as far as their names can be resolved."""
        return bool(addresses(url) & addresses(self.url))

    def is_server(self, info: dict[str, Any]) -> bool:
        """Whether a server is one of the store's nodes, or replicates one, as far as they can be reached.

        Args:
            info: of the server, its sections `server` and `replication`.
        """
        ids = _ids(info)
        if ids <= self.different:
            return False
        complete = True
        try:
            for node in self._nodes():
                with closing(node):
                    try:
                        if ids & _ids(_info(node, "server") | _info(node, "replication")):
                            return True
                    except redis.RedisError as error:
                        logger.debug("a node of the store cannot be compared with the sink: %s", error)
                        complete = False
        except redis.RedisError as error:
            logger.debug("the store cannot be compared with the sink: %s", error)
            complete = False
        if complete:
            self.different |= ids
        return False

    def _nodes(self) -> Iterator[redis.Redis]:
        """Clients of the server, or of every node of the cluster. Raises redis.RedisError."""
        first = connect(self.url)
        if not self.is_cluster:
            yield first
            return
        with closing(first):
            known = first.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
            options = first.get_connection_kwargs()
        for _, _, *members in known:
            for host, port, *_ in members:
                name = host.decode() if isinstance(host, bytes) else host
                yield redis.Redis(
                    connection_pool=redis.ConnectionPool(
                        connection_class=first.connection_pool.connection_class,
                        **(options | {"host": name or options["host"], "port": port}),
                    )
                )


def fault_of(client: redis.Redis, stream_max_bytes: int, store: StoreServer | None) -> str | None:
    """Return why a server must not hold the stream, as one sentence, or None where it may.

    Args:
        client: of the server.
        stream_max_bytes: what the stream may take there.
        store: the server that it must not be.

    Raises:
        redis.RedisError: the server cannot be asked.
    """
    try:
        info = _info(client, "server") | _info(client, "replication") | _info(client, "memory")
    except redis.exceptions.NoPermissionError as error:
        return f"the user may not ask for its settings ({error}). Give the user +info."
    if store and store.is_server(info):
        return store.refusal
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        return f"its maxmemory-policy is {policy}, which evicts keys without an error. Set it to noeviction."
    limit = int(info.get("maxmemory", 0))
    if 0 < limit < stream_max_bytes:
        return (
            f"its maxmemory is {limit} bytes, less than ONEBAR_EVENTS__STREAM_MAX_BYTES ({stream_max_bytes}). Raise "
            "the one or lower the other."
        )
    return None


def addresses(url: str) -> set[Address]:
    """Return where a Redis URL leads to; empty where its host cannot be resolved now."""
    parts: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    if path := parts.get("path"):
        return {(os.path.realpath(path), 0)}
    host, port = parts.get("host") or "localhost", int(parts.get("port") or _DEFAULT_PORT)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(_plain(str(address[0])), port) for *_, address in found}


def _plain(host: str) -> str:
    """An IP address in one spelling."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return _LOOPBACK if address.is_loopback or address.is_unspecified else str(address)


def _ids(info: dict[str, Any]) -> set[str]:
    """The id of a process, and that of its data, which a master and its replicas have in common."""
    return {str(info[name]) for name in ("run_id", "master_replid") if name in info}


def _info(client: redis.Redis, section: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.info(section)
    return answer
