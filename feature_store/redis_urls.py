"""Redis URLs: what they may say, how they are shown without their password, and errors in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import redis.exceptions
from redis.asyncio.connection import parse_url

from feature_store.errors import StoreUrlError

_OPTIONS: Final = frozenset(
    {
        "db",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_password",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    }
)
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


class RedisUrl(NamedTuple):
    """A checked URL: as redis-py wants it, whether it is a cluster, and as it may be shown."""

    url: str
    is_cluster: bool
    shown: str


def parse_redis_url(url: str) -> RedisUrl:
    """Check a Redis URL.

    Raises:
        StoreUrlError: an option that is not known, a certificate that is not there, or no URL at all.
    """
    scheme, _, rest = url.partition("://")
    is_cluster = scheme.endswith("+cluster")
    plain = f"{scheme.removesuffix('+cluster')}://{rest}"
    shown = redact(url)
    try:
        options = parse_qs(urlsplit(plain).query)
        parsed: dict[str, Any] = dict(parse_url(plain))
    except ValueError as error:
        raise StoreUrlError(f"{shown} is no Redis URL ({error})") from None
    # Timeouts and retries are settings of the store; a URL must not change them behind its back.
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise StoreUrlError(f"{shown} has the unknown option {unknown[0]}; known are {known}")
    for name in _FILES:
        for value in options.get(name, []):
            if not Path(value).is_file():
                raise StoreUrlError(f"{shown} names {name}={value}, which is not there")
    if is_cluster and parsed.get("db"):
        raise StoreUrlError(f"{shown} names database {parsed['db']}; a Redis Cluster has only database 0")
    if scheme == "unix" and not parsed.get("path"):
        raise StoreUrlError(f"{shown} names no socket; write unix:///path/to/redis.sock")
    return RedisUrl(plain, is_cluster, shown)


def redact(url: str) -> str:
    """Return the URL with its password as ***."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, host = authority.rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        authority = f"{user}{colon}{'***' if colon else ''}@{host}"
    path, question, query = path.partition("?")
    if question:
        pairs = [
            f"{pair.partition('=')[0]}=***" if "password" in pair.partition("=")[0] else pair
            for pair in query.split("&")
        ]
        path = f"{path}?{'&'.join(pairs)}"
    return f"{scheme}{separator}{authority}{slash}{path}"


def explain(error: BaseException, shown: str) -> str:
    """Return one sentence on what is wrong with the Redis at this URL, with the mend."""
    words = str(error) or type(error).__name__
    if isinstance(error, redis.exceptions.AuthenticationError) or "NOAUTH" in words or "WRONGPASS" in words:
        return f"{shown} refuses the password or wants one ({words}): set redis://[user]:PASSWORD@host in the URL"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"{shown} does not permit a command ({words}): FORMAT.md lists those that the user needs"
    if words.startswith("WRONGTYPE"):
        return f"{shown} has a key of ours that is no hash and no sorted set ({words}): delete it, see FORMAT.md"
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return f"{shown} is still loading its data"
    if isinstance(error, redis.exceptions.MaxConnectionsError):
        return f"all connections to {shown} are in use: raise max_connections"
    if "SSL" in words or "certificate" in words.lower():
        return f"TLS with {shown} failed ({words}): name its authority in the URL, ?ssl_ca_certs=FILE"
    if isinstance(error, (redis.exceptions.TimeoutError, TimeoutError)):
        return f"{shown} did not answer in time"
    if isinstance(error, redis.exceptions.MovedError):
        return f"{shown} is a Redis Cluster: write redis+cluster:// (or rediss+cluster://) in the URL"
    if "Cluster mode is not enabled" in words:
        return f"{shown} is no Redis Cluster: use the URL without +cluster"
    return f"{shown} cannot be used ({words}): start it, or correct the URL"
