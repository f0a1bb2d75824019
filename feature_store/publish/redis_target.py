"""`target.Target` in a Redis or in a Redis Cluster.

Comparing and writing run as scripts on the server, one call for a record. So a record and its mark are read and written
as one, a lease that has ended is noticed by the server that holds the record, and the content of a field that has not
changed is never sent, only its SHA-1.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import redis

from feature_store.errors import StoreUnavailable
from feature_store.keys import MARK_FIELD, PUBLICATION_KEY, photo_key, user_key
from feature_store.publish.servers import Command, Servers
from feature_store.publish.target import (
    GRACE_SECONDS,
    LEASE_SECONDS,
    Change,
    Found,
    content_fields,
    lease_is_held,
    lease_is_lost,
    time_field_of,
)
from feature_store.rows import Kind
from feature_store.writes import HashWrite

_REFUSED: Final = -1
_CLOCK: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
# ARGV of the scripts for a record: token (0 for a dry run), end of the lease, life in seconds (0 for ever), and more.
_GUARD: Final = f"""
local mark = redis.call('HGET', KEYS[1], '{MARK_FIELD}')
if ARGV[1] ~= '0' then
  {_CLOCK}
  if now > tonumber(ARGV[2]) or (mark and tonumber(mark) > tonumber(ARGV[1])) then return {{{_REFUSED}}} end
end
local function keep()
  redis.call('HSET', KEYS[1], '{MARK_FIELD}', ARGV[1])
  if ARGV[3] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('EXPIRE', KEYS[1], ARGV[3]) end
end
"""
# More: for each field its name, the name of its time, and the SHA-1 of its content.
_CONFIRM: Final = f"""{_GUARD}
local found = {{redis.call('EXISTS', KEYS[1]), mark and 1 or 0}}
for i = 4, #ARGV, 3 do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  if not value or redis.sha1hex(value) ~= ARGV[i + 2] then
    found[#found + 1] = ARGV[i]
    found[#found + 1] = value
    found[#found + 1] = ARGV[i + 1]
    found[#found + 1] = redis.call('HGET', KEYS[1], ARGV[i + 1])
  end
end
if #found == 2 and found[1] == 1 and ARGV[1] ~= '0' then keep() end
return found
"""
# More: whether the write is whole, the number of fields to delete, those fields, then each field to set and its value.
_APPLY: Final = f"""{_GUARD}
if ARGV[4] == '0' and redis.call('EXISTS', KEYS[1]) == 0 then return {{0}} end
local absent = tonumber(ARGV[5])
if absent > 0 then redis.call('HDEL', KEYS[1], unpack(ARGV, 6, 5 + absent)) end
if #ARGV > 5 + absent then redis.call('HSET', KEYS[1], unpack(ARGV, 6 + absent)) end
keep()
return {{1}}
"""
_REMOVE: Final = f"""{_GUARD}
return {{redis.call('UNLINK', KEYS[1])}}
"""
# ARGV: owner, holder, since (for people), seconds of the lease, seconds of grace.
_ACQUIRE: Final = f"""{_CLOCK}
local last = tonumber(redis.call('HGET', KEYS[1], 'lease_until') or '0')
if last + 1000 * ARGV[5] > now and redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return {{{_REFUSED}}} end
local token = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'token') or '0') + 1)
redis.call('HSET', KEYS[1], 'token', string.format('%.0f', token), 'owner', ARGV[1], 'holder', ARGV[2],
  'since', ARGV[3], 'lease_until', string.format('%.0f', now + 1000 * ARGV[4]))
return {{token, now + 1000 * ARGV[4]}}
"""
# ARGV: token, seconds of the lease (0 ends it), then fields and values.
_RENEW: Final = f"""{_CLOCK}
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return {{{_REFUSED}}} end
if #ARGV > 2 then redis.call('HSET', KEYS[1], unpack(ARGV, 3)) end
local last = ARGV[2] == '0' and 0 or now + 1000 * ARGV[2]
redis.call('HSET', KEYS[1], 'lease_until', string.format('%.0f', last))
return {{last}}
"""
_SCRIPTS: Final = (_CONFIRM, _APPLY, _REMOVE, _ACQUIRE, _RENEW)


@cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _call(script: str, key: str, *arguments: object) -> Command:
    return ("EVALSHA", _digest(script), "1", key, *(a if isinstance(a, bytes) else str(a) for a in arguments))


def content_hash(value: bytes) -> str:
    """Return the SHA-1 of a field's content in hexadecimal digits, as Redis's scripts have it."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


class RedisTarget:
    """See `target.Target`."""

    def __init__(self, servers: Servers, shown: str, ttl_seconds: int) -> None:
        """Take connected servers; `close` closes them.

        Args:
            servers: One server or a cluster.
            shown: Their URL without its secrets.
            ttl_seconds: Life of a record from its last publication; 0 for ever.
        """
        self.shown = shown
        self._servers = servers
        self._ttl_seconds = ttl_seconds
        self._token = 0
        self._until = 0
        servers.load_scripts(_SCRIPTS)

    def _run(self, calls: Sequence[Command]) -> list[Any]:
        if not calls:
            return []
        try:
            return self._servers.run(calls)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, redis.exceptions.NoScriptError):
                raise
        self._servers.load_scripts(_SCRIPTS)  # a replica that has taken over does not have them
        return self._servers.run(calls)

    def _guarded(self, script: str, calls: Sequence[tuple[str, Sequence[object]]], token: int) -> list[list[Any]]:
        head = (token, self._until, self._ttl_seconds)
        replies = self._run([_call(script, key, *head, *arguments) for key, arguments in calls])
        if any(reply[0] == _REFUSED for reply in replies):
            raise lease_is_lost(self.state(), self.shown)
        return replies

    def state(self) -> dict[str, str]:
        """See `target.Target`."""
        (flat,) = self._servers.run([("HGETALL", PUBLICATION_KEY)])
        return {name.decode(): value.decode() for name, value in _pairs(flat)}

    def acquire(self, owner: str, holder: str, since: str) -> int:
        """See `target.Target`."""
        (reply,) = self._run([_call(_ACQUIRE, PUBLICATION_KEY, owner, holder, since, LEASE_SECONDS, GRACE_SECONDS)])
        if reply[0] == _REFUSED:
            raise lease_is_held(self.state(), self.shown)
        self._token, self._until = reply
        return self._token

    def renew(self, state: Mapping[str, str]) -> None:
        """See `target.Target`."""
        self._renew(LEASE_SECONDS, state)

    def release(self, state: Mapping[str, str]) -> None:
        """See `target.Target`."""
        self._renew(0, state)

    def _renew(self, seconds: int, state: Mapping[str, str]) -> None:
        fields = itertools.chain.from_iterable(state.items())
        (reply,) = self._run([_call(_RENEW, PUBLICATION_KEY, self._token, seconds, *fields)])
        if reply[0] == _REFUSED:
            raise lease_is_lost(self.state(), self.shown)
        self._until = reply[0]

    def confirm(self, writes: Sequence[HashWrite], *, is_dry: bool = False) -> list[Found]:
        """See `target.Target`."""
        calls = []
        for write in writes:
            arguments: list[object] = []
            for field in content_fields(write):
                arguments += (field, time_field_of(write.key, field), content_hash(write.fields[field]))
            calls.append((write.key, arguments))
        replies = self._guarded(_CONFIRM, calls, 0 if is_dry else self._token)
        return [
            Found(bool(reply[0]), bool(reply[1]), {name.decode(): value for name, value in _pairs(reply[2:])})
            for reply in replies
        ]

    def apply(self, changes: Sequence[Change]) -> list[bool]:
        """See `target.Target`."""
        calls = []
        for change in changes:
            fields = itertools.chain.from_iterable(change.fields.items())
            calls.append((change.key, (int(change.is_whole), len(change.absent), *change.absent, *fields)))
        return [bool(reply[0]) for reply in self._guarded(_APPLY, calls, self._token)]

    def remove(self, keys: Sequence[str]) -> None:
        """See `target.Target`."""
        self._guarded(_REMOVE, [(key, ()) for key in keys], self._token)

    def read(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        """See `target.Target`."""
        records = [
            {name.decode("utf-8", "surrogateescape"): value for name, value in _pairs(flat)}
            for flat in self._run([("HGETALL", key) for key in keys])
        ]
        for record in records:
            record.pop(MARK_FIELD, None)
        return records

    def marks(self, kind: Kind) -> Iterator[list[tuple[str, int | None]]]:
        """See `target.Target`."""
        pattern = photo_key("*") if kind == "photos" else user_key("*")
        for keys in self._servers.scan(pattern):
            marks = self._run([("HGET", key, MARK_FIELD) for key in keys])
            yield [
                (key.decode("utf-8", "replace"), int(mark) if mark else None)
                for key, mark in zip(keys, marks, strict=True)
            ]

    def close(self) -> None:
        """See `target.Target`."""
        self._servers.close()


def _pairs(flat: Any) -> Iterator[tuple[bytes, Any]]:
    """Yield names and values of a reply, which is a list; the cluster client makes a dictionary of HGETALL."""
    if isinstance(flat, dict):
        return iter(flat.items())
    return zip(flat[::2], flat[1::2], strict=True)
