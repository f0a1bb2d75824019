"""Redis URLs: what they may say, what is permitted and unsafe, and errors in words.

`redaction.redact` says how they are shown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import redis.exceptions
from redis.asyncio.connection import parse_url

from feature_store.errors import StoreUrlError
from feature_store.redaction import HARMLESS_OPTIONS, redact
from feature_store.schemes import REDIS_SCHEMES, listed

_OPTIONS: Final = HARMLESS_OPTIONS | {"ssl_password"}
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_VERIFICATION: Final = {
    "ssl_cert_reqs": {
        "required": True,
        "CERT_REQUIRED": True,
        "optional": False,
        "CERT_OPTIONAL": False,
        "none": False,
        "CERT_NONE": False,
    },
    "ssl_check_hostname": {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False},
}
"""The values that an option may have, and whether the server's certificate is verified with it."""

_NAME: Final = re.compile(r"\w*", re.ASCII)
_ESCAPE: Final = "percent-encode special characters of the password (/ is %2F, @ %40, : %3A, ? %3F, # %23, % %25)"


class RedisUrl(NamedTuple):
    """A checked URL.

    Attributes:
        url: As redis-py wants it.
        is_cluster: Whether it names a node of a Redis Cluster.
        shown: Without its secrets.
        warnings: One sentence for each thing that is permitted and unsafe.
    """

    url: str
    is_cluster: bool
    shown: str
    warnings: tuple[str, ...]


def parse_redis_url(url: str) -> RedisUrl:
    """Check a Redis URL.

    Raises:
        StoreUrlError: An option or value that is not known, a certificate that is not there, or no URL at all. The
            message does not hold any part of a password.
    """
    scheme, _, rest = url.partition("://")
    plain_scheme = scheme.removesuffix("+cluster")
    is_cluster = scheme != plain_scheme
    plain = f"{plain_scheme}://{rest}"
    shown = redact(url)
    if scheme not in REDIS_SCHEMES:
        raise StoreUrlError(f"{shown} is no Redis URL: write {listed(REDIS_SCHEMES)}")
    # Errors of urlsplit and redis-py quote the text that they could not read, which may be a password.
    try:
        parts = urlsplit(plain)
    except ValueError:
        raise StoreUrlError(f"{shown} is no Redis URL: {_ESCAPE}") from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" and plain_scheme != "unix":
        raise StoreUrlError(f"{shown} has an @ after its host: {_ESCAPE}")
    if not rest.isprintable():
        raise StoreUrlError(f"{shown} is no Redis URL: it has control characters")
    if plain_scheme == "unix":
        if not parts.path:
            raise StoreUrlError(f"{shown} names no socket; write unix:///path/to/redis.sock")
    else:
        _check_address(parts.netloc.rpartition("@")[2], parts.path, shown)
    try:
        options = parse_qs(parts.query, keep_blank_values=True)
        parsed: dict[str, Any] = dict(parse_url(plain))
    except ValueError:
        raise StoreUrlError(f"{shown} is no Redis URL: an option has a value that it cannot have") from None
    if parts.fragment:
        raise StoreUrlError(f"{shown} has a part after #: {_ESCAPE}")
    if is_cluster and parsed.get("db"):
        raise StoreUrlError(f"{shown} names database {parsed['db']}; a Redis Cluster has only database 0")
    return RedisUrl(plain, is_cluster, shown, _check_options(options, plain_scheme, shown))


def url_warnings(url: str) -> tuple[str, ...]:
    """Return the warnings about a store URL of any scheme; none for one that is not a Redis URL or is refused."""
    try:
        return parse_redis_url(url).warnings
    except StoreUrlError:
        return ()


def _check_address(host: str, path: str, shown: str) -> None:
    if not host or host.startswith(":"):
        raise StoreUrlError(f"{shown} names no host; write redis://host:6379/0")
    port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise StoreUrlError(f"{shown} has a port that is not a number from 1 to 65535; or {_ESCAPE}")
    if path.strip("/") and not path.strip("/").isdecimal():
        raise StoreUrlError(f"{shown} names a database that is not a number; or {_ESCAPE}")


def _check_options(options: dict[str, list[str]], scheme: str, shown: str) -> tuple[str, ...]:
    """Return the warnings."""
    # Timeouts and retries are settings of the store; a URL must not change them.
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        is_name = _NAME.fullmatch(unknown[0]) and "ssl_password" not in options  # or it is the rest of that password
        name = f" {unknown[0]}" if is_name else ""
        raise StoreUrlError(f"{shown} has the unknown option{name}; known are {', '.join(sorted(_OPTIONS))}")
    if scheme != "rediss" and any(name.startswith("ssl_") for name in options):
        raise StoreUrlError(f"{shown} has options of TLS; they need rediss:// or rediss+cluster://")
    for name in _FILES:
        for value in options.get(name, []):
            if not Path(value).is_file():
                raise StoreUrlError(f"{shown} names {name}={value}, which is not there")
    warnings = []
    for name, verifies in _VERIFICATION.items():
        for value in options.get(name, []):
            if value not in verifies:
                raise StoreUrlError(f"{shown} has an unknown {name}; known are {', '.join(verifies)}")
            if not verifies[value]:
                warnings.append(
                    f"{shown} does not verify the server's certificate ({name}={value}): anyone on the way can"
                    " read and change what is sent; remove the option, and name the authority with ssl_ca_certs=FILE"
                )
    return tuple(warnings)


def explain(error: BaseException, shown: str) -> str:
    """Return one sentence on what is wrong with the Redis at this URL, and what to do."""
    # A server that does not know AUTH repeats the password in its error.
    words = str(error).partition(", with args beginning with")[0] or type(error).__name__
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
