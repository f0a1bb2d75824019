"""The records of users in a store, as a job sees them: listed, copied to another id, deleted.

`embedded` has the same for the embedded store. Everything is done in chunks of `CHUNK` keys, so that the memory and the
time of one exchange do not depend on how much is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal, Protocol

from feature_store.errors import InvalidIdError
from feature_store.keys import USER_FIELDS, parse_user_key, shown_key, user_key
from feature_store.pseudonym import KeyRing
from feature_store.publish.servers import connect
from feature_store.redis_urls import parse_redis_url
from feature_store.schemes import EMBEDDED_SCHEMES, REDIS_SCHEMES
from feature_store.store import unknown_scheme

CHUNK: Final = 500
_PATTERNS: Final = (user_key("*"), shown_key("*"))

Outcome = Literal["copied", "unknown"]


class UserRecords(Protocol):
    """Users' histories and shown lists; its creator closes it. All methods raise StoreUnavailable."""

    def keys(self) -> Iterator[str]:
        """Yield the key of each record. One that is written meanwhile may be missed, or come twice."""

    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Copy records to other keys, with the time that they have left.

        Args:
            pairs: At most `CHUNK` old and new keys. A history that exists is not replaced; shown lists are merged.
        """

    def delete(self, keys: Sequence[str]) -> int:
        """Delete records and return how many there were."""

    def close(self) -> None:
        """Close what was opened."""


class RedisUserRecords:
    """`UserRecords` in a Redis, or in a Redis Cluster."""

    def __init__(self, url: str) -> None:
        """Connect. Raises StoreUrlError or StoreUnavailable."""
        self._servers = connect(parse_redis_url(url))

    def keys(self) -> Iterator[str]:
        """See `UserRecords`."""
        for pattern in _PATTERNS:
            for batch in self._servers.scan(pattern):
                yield from (key.decode("utf-8", "surrogateescape") for key in batch)

    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """See `UserRecords`."""
        histories = [pair for pair in pairs if _is_history(pair[0])]
        exists = self._servers.run([("EXISTS", new) for _, new in histories])
        histories = [pair for pair, is_there in zip(histories, exists, strict=True) if not is_there]
        shown = [pair for pair in pairs if not _is_history(pair[0])]
        values = self._servers.run(
            [("HMGET", old, *USER_FIELDS) for old, _ in histories]
            + [("ZREVRANGE", old, 0, -1, "WITHSCORES") for old, _ in shown]
        )
        lives = self._servers.run([("PTTL", old) for old, _ in histories + shown])
        writes: list[tuple[Any, ...]] = []
        for (old, new), value, life in zip(histories + shown, values, lives, strict=True):
            if _is_history(old):
                write = [item for pair in zip(USER_FIELDS, value, strict=True) if pair[1] is not None for item in pair]
                command: tuple[Any, ...] = ("HSET", new, *write)
            else:  # redis-py, by which a cluster follows a slot that has moved, returns pairs
                members = (
                    value if value and isinstance(value[0], tuple) else list(zip(value[::2], value[1::2], strict=True))
                )
                write = [item for member, score in members for item in (score, member)]
                command = ("ZADD", new, "GT", *write)
            if write and life != -2:  # it has not expired in the meantime
                writes += [command, ("PEXPIRE", new, life) if life > 0 else ("PERSIST", new)]
        self._servers.run(writes)

    def delete(self, keys: Sequence[str]) -> int:
        """See `UserRecords`."""
        return sum(self._servers.run([("UNLINK", key) for key in keys]))

    def close(self) -> None:
        """See `UserRecords`."""
        self._servers.close()


def _is_history(key: str) -> bool:
    parsed = parse_user_key(key)
    return parsed is not None and parsed[0] == "user"


def open_user_records(url: str) -> UserRecords:
    """Open a store. The caller closes it.

    Raises:
        StoreUrlError: The URL cannot be used.
        StoreUnavailable: The Redis that it names does not answer.
    """
    scheme = url.partition("://")[0]
    if scheme in EMBEDDED_SCHEMES:
        from feature_store.embedded_users import EmbeddedUserRecords

        return EmbeddedUserRecords(url)
    if scheme in REDIS_SCHEMES:
        return RedisUserRecords(url)
    raise unknown_scheme(url)


def rekey(records: UserRecords, ring: KeyRing, *, drop_old: bool) -> Counter[Outcome]:
    """Bring all records under the newest key: those of raw ids and those of older pseudonyms.

    Args:
        records: Of a store.
        ring: Whose last key is the new one.
        drop_old: Whether to delete a record once it is copied. Without it, readers with the old keys still find it.

    Returns:
        How many records were under an older key or a raw id, and how many have the pseudonym of a key that is not in
        the ring; these stay as they are.

    Raises:
        StoreUnavailable: The store was lost; running it again continues.
    """
    outcomes: Counter[Outcome] = Counter()
    listed = records.keys()
    while chunk := list(islice(listed, CHUNK)):
        pairs = []
        for key in chunk:
            new = _current_key(key, ring)
            if new is None:
                outcomes["unknown"] += 1
            elif new != key:
                pairs.append((key, new))
        outcomes["copied"] += len(pairs)
        if pairs:
            records.copy(pairs)
            if drop_old:
                records.delete([old for old, _ in pairs])
    return outcomes


def _current_key(key: str, ring: KeyRing) -> str | None:
    parsed = parse_user_key(key)
    if parsed is None:
        return None
    kind, identifier = parsed
    try:
        current = ring.current(identifier)
    except InvalidIdError:
        return None
    return None if current is None else user_key(current) if kind == "user" else shown_key(current)


def erase(records: UserRecords, identifiers: Iterable[str]) -> tuple[int, int]:
    """Delete what is stored of a person.

    Args:
        records: Of a store.
        identifiers: All ids that the person may be stored under.

    Returns:
        Deleted histories and deleted shown lists.
    """
    known = list(dict.fromkeys(identifiers))
    return records.delete([user_key(name) for name in known]), records.delete([shown_key(name) for name in known])
