"""What a publication needs of a store. `redis_target` and `embedded_target` provide it.

**The lease.** One process at a time publishes to a store. `acquire` gives it a lease of `LEASE_SECONDS` and a fencing
token, which is larger than all tokens before; `renew` prolongs the lease. The store itself refuses a write when the
lease has ended, or when a record has the mark of a larger token. So a process that was stopped for minutes and goes on
cannot overwrite what its successor has published.

**The mark.** Each published record has the field `keys.MARK_FIELD`: the token of the process that last wrote it, or
found it equal to its file. At the end of a publication, a record with an older mark is not in the files any more. A
record without a mark was never published, and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from feature_store.errors import PublishError
from feature_store.keys import user_key
from feature_store.rows import Kind
from feature_store.writes import HashWrite

LEASE_SECONDS: Final = 60
"""Life of a lease after its last renewal. A publisher renews it after each chunk."""
GRACE_SECONDS: Final = 2
"""A lease is given to another process only so long after its end: the clocks of a cluster's nodes may differ."""

_USER_PREFIX: Final = user_key("u")[:-1]


class Found(NamedTuple):
    """How a stored record differs from a write.

    Attributes:
        exists: Whether there is a record.
        is_published: Whether the record has a mark.
        differing: The stored values of the fields that differ and of their times, None where there is none.
    """

    exists: bool
    is_published: bool
    differing: Mapping[str, bytes | None]


class Change(NamedTuple):
    """What to do with one record.

    Attributes:
        key: Of the record.
        fields: To set.
        absent: Fields to delete.
        is_whole: Whether the record is made where it is missing. Without it, a missing record stays missing.
    """

    key: str
    fields: Mapping[str, bytes]
    absent: Sequence[str] = ()
    is_whole: bool = True


class Target(Protocol):
    """A store that is published to. The code that opened it closes it. All methods raise StoreUnavailable.

    Methods that write raise PublishError when the lease has ended or was never acquired.
    """

    shown: str
    """The URL without its secrets."""

    def state(self) -> dict[str, str]:
        """Return what is stored of the last publication and of the lease."""

    def acquire(self, owner: str, holder: str, since: str) -> int:
        """Take the lease and return its fencing token.

        Args:
            owner: An identity of which only one process can be the bearer. A lease of the same owner is replaced.
            holder: Who that is, for people.
            since: When it began, for people.

        Raises:
            PublishError: another process has the lease; the message says which and since when.
        """

    def renew(self, state: Mapping[str, str]) -> None:
        """Prolong the lease and store fields of the state."""

    def release(self, state: Mapping[str, str]) -> None:
        """Store fields of the state and end the lease."""

    def confirm(self, writes: Sequence[HashWrite], *, is_dry: bool = False) -> list[Found]:
        """Compare records with the store by the hash of each field's content; times are not compared.

        A record that does not differ gets the mark and a new life.

        Args:
            writes: Whole records as the files have them, each key once.
            is_dry: Write nothing; needs no lease.
        """

    def apply(self, changes: Sequence[Change]) -> list[bool]:
        """Write records, with the mark and a new life; return False for each one that was missing and not whole."""

    def remove(self, keys: Sequence[str]) -> None:
        """Delete records."""

    def read(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        """Return all fields of records, without the mark; nothing of a record that is missing."""

    def marks(self, kind: Kind) -> Iterator[list[tuple[str, int | None]]]:
        """Yield the key and the mark of every record of a kind, in batches. A key may come twice."""

    def close(self) -> None:
        """Close what was opened."""


def time_field_of(key: str, field: str) -> str:
    """Return the name of the field with the time of a field, for the record of a key."""
    return "updated_at" if key.startswith(_USER_PREFIX) else f"{field}_at"


def content_fields(write: HashWrite) -> list[str]:
    """Return the names of a write's fields that are not times."""
    return [name for name in write.fields if not name.endswith("_at")]


def lease_is_held(state: Mapping[str, str], shown: str) -> PublishError:
    """Return the error for a lease that another process has."""
    return PublishError(
        f"{state.get('holder', 'another process')} has been publishing to {shown} since {state.get('since', '?')}: wait"
        f" for it to end, or end it; a process that was killed loses its lease after {LEASE_SECONDS + GRACE_SECONDS} s"
    )


def lease_is_lost(state: Mapping[str, str], shown: str) -> PublishError:
    """Return the error for a lease that has ended while its holder was working."""
    return PublishError(
        f"this process lost its lease on {shown} and has stopped; the last one to take it was"
        f" {state.get('holder', 'this process')} at {state.get('since', '?')}. Publish again: it continues"
    )


def unique(writes: Sequence[HashWrite]) -> list[HashWrite]:
    """Return one write for each key; of a field that comes twice the last value counts."""
    merged: dict[str, HashWrite] = {}
    for write in writes:
        before = merged.get(write.key)
        merged[write.key] = write if before is None else HashWrite(write.key, {**before.fields, **write.fields})
    return list(merged.values())


def changed_part(kind: Kind, write: HashWrite, found: Found) -> HashWrite:
    """Return what has to be written: the fields that differ, with their times; all fields of a user."""
    if kind == "users" or not found.exists:
        return write
    return HashWrite(write.key, {name: write.fields[name] for name in found.differing})
