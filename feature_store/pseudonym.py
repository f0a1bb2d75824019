"""Pseudonyms of users: stable, keyed, the same in the store, in events and in logs. FORMAT.md, "Pseudonyms".

A pseudonym is computed with every key of a ring, oldest first: each key is applied to the result of the one before.
So an old pseudonym can be advanced to the current one without the user id, which is what a change of keys needs. For
the same reason a key is never removed from a ring, but only the newest one has to stay secret to protect new data.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from feature_store.errors import PrivacyError
from feature_store.keys import escape_id

KEY_BYTES: Final = 32
MAX_KEYS: Final = 32
"""Keys of a ring; each costs every request some microseconds."""

_DIGEST_BYTES: Final = 16
_NAME_BYTES: Final = 5
_PSEUDONYM: Final = re.compile(r"([a-z2-7]{8})\.([a-z2-7]{26})", re.ASCII)
_KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAX_FILE_BYTES: Final = 16 * 1024
_HEADER: Final = (
    "# Keys of user pseudonyms, oldest first; the last one is current. Keep them secret, and never remove one:\n"
    "# without it stored users are lost. `onebar privacy rotate-key` adds a key.\n"
)

NO_KEY: Final = (
    "User ids are stored and logged as pseudonyms, which need a key: make one with `onebar privacy new-key FILE` and"
    " give it to the loader and the service (--user-key FILE, or ONEBAR_PRIVACY__KEY_FILE); or set"
    " ONEBAR_PRIVACY__RAW_USER_IDS=true to keep the ids as they are"
)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _mac(key: bytes, purpose: bytes, message: bytes = b"") -> bytes:
    return hmac.digest(key, b"onebar " + purpose + b"\x00" + message, "sha256")


class KeyRing:
    """The keys of pseudonyms, oldest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take 1 to `MAX_KEYS` different keys of `KEY_BYTES` bytes. Raises ValueError."""
        if not 0 < len(keys) <= MAX_KEYS or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a key ring has 1 to {MAX_KEYS} keys of {KEY_BYTES} bytes")
        self._keys = tuple(keys)
        self._names = tuple(_base32(_mac(key, b"name")[:_NAME_BYTES]) for key in keys)
        if len(set(self._names)) != len(self._names):
            raise ValueError("a key ring has a key twice")

    @property
    def names(self) -> tuple[str, ...]:
        """The public name of each key, with which its pseudonyms begin."""
        return self._names

    def pseudonym(self, user_id: str) -> str:
        """Return the pseudonym of a user id under the newest key. Raises InvalidIdError."""
        escape_id(user_id)  # only for its checks
        digest = _mac(self._keys[0], b"user", user_id.encode("utf-8"))[:_DIGEST_BYTES]
        return self._advance(digest, 0)[-1]

    def _advance(self, digest: bytes, position: int) -> list[str]:
        """Return the pseudonyms that follow from the digest under the key at a position, which is the first one."""
        found = [f"{self._names[position]}.{_base32(digest)}"]
        for key, name in zip(self._keys[position + 1 :], self._names[position + 1 :], strict=True):
            digest = _mac(key, b"next", digest)[:_DIGEST_BYTES]
            found.append(f"{name}.{_base32(digest)}")
        return found

    def current(self, identifier: str) -> str | None:
        """Return the pseudonym under the newest key, of a user id or of an older pseudonym.

        For files and stores, whose ids may be either. Never for what a caller sends: a pseudonym is no proof of being
        that user.

        Returns:
            None for a pseudonym of a key that is not in this ring.

        Raises:
            InvalidIdError: An id that no key can have.
        """
        known = self.from_here(identifier)
        return known[-1] if known else None

    def from_here(self, identifier: str) -> list[str]:
        """Return all pseudonyms of a user id, or an older pseudonym and those that follow from it; oldest first.

        Empty for a pseudonym of a key that is not in this ring. Raises InvalidIdError.
        """
        match = _PSEUDONYM.fullmatch(identifier)
        if match is None:
            escape_id(identifier)
            digest = _mac(self._keys[0], b"user", identifier.encode("utf-8"))[:_DIGEST_BYTES]
            return self._advance(digest, 0)
        if match[1] not in self._names:
            return []
        return self._advance(base64.b32decode(f"{match[2].upper()}======"), self._names.index(match[1]))


def random_key_ring() -> KeyRing:
    """Return a ring whose one key exists in this process only; for a store that does not outlive it either."""
    return KeyRing([secrets.token_bytes(KEY_BYTES)])


def read_key_ring(path: Path) -> KeyRing:
    """Read a key file.

    Raises:
        PrivacyError: It is missing, not a key file, or others may read it.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PrivacyError(f"{path} is not a file")
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise PrivacyError(f"{path} may be read by everyone or written by its group; chmod 600 {path}")
        if status.st_size > _MAX_FILE_BYTES:
            raise PrivacyError(f"{path} is too long for a key file")
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise PrivacyError(f"{path} is not there; make it with `onebar privacy new-key {path}`") from None
    except (OSError, UnicodeDecodeError):
        raise PrivacyError(f"{path} cannot be read as a key file") from None
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys or any(not _KEY.fullmatch(line) for line in keys):
        raise PrivacyError(f"{path} must have a line of 64 hexadecimal digits for each key, oldest first")
    try:
        return KeyRing([bytes.fromhex(line) for line in keys])
    except ValueError as error:
        raise PrivacyError(f"{path} cannot be used: {error}") from None


def make_key_file(path: Path) -> KeyRing:
    """Make a key file with one new key, which only its owner may read. Raises PrivacyError."""
    _write_new(path, f"{_HEADER}{secrets.token_bytes(KEY_BYTES).hex()}\n")
    return read_key_ring(path)


def rotate_key_file(path: Path) -> KeyRing:
    """Add a new key to a key file in one rename: readers see the old file or the new one.

    Raises:
        PrivacyError: the file cannot be read or replaced, or has no room for another key.
    """
    ring = read_key_ring(path)
    if len(ring.names) == MAX_KEYS:
        raise PrivacyError(f"{path} has {MAX_KEYS} keys, which is the most")
    text = path.read_text(encoding="ascii").rstrip("\n")
    aside = path.with_name(f"{path.name}.new")
    _write_new(aside, f"{text}\n{secrets.token_bytes(KEY_BYTES).hex()}\n")
    try:
        os.replace(aside, path)
    except OSError as error:
        aside.unlink()
        raise PrivacyError(f"{path} cannot be replaced ({error.strerror})") from error
    return read_key_ring(path)


def _write_new(path: Path, text: str) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise PrivacyError(f"{path} exists and is not overwritten: stored users would be lost with its keys") from None
    except OSError as error:
        raise PrivacyError(f"{path} cannot be written ({error.strerror})") from error


def open_key_ring(key_file: Path | None, *, raw_user_ids: bool) -> KeyRing | None:
    """Return the keys that the settings name; None keeps user ids as they are.

    Raises:
        PrivacyError: Neither is set, or both, or the file cannot be used.
    """
    if key_file is not None and raw_user_ids:
        raise PrivacyError(
            "ONEBAR_PRIVACY__KEY_FILE and ONEBAR_PRIVACY__RAW_USER_IDS exclude each other; set one of them"
        )
    if key_file is not None:
        return read_key_ring(key_file)
    if not raw_user_ids:
        raise PrivacyError(NO_KEY)
    return None
