"""API keys: a file with the hash of each, made and withdrawn by a command, read again by a running service.

A key is ``ob_ID_SECRET``. The file holds the SHA-256 of the secret. A slow hash is not needed, because a random secret
of 256 bits cannot be guessed even with a fast hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from service.errors import ServiceError
from service.file_stamp import stamp_of
from service.operating.replaced_file import only_writer, replace_file

PERMISSIONS = ("explain", "feedback", "review")
"""The permissions of a key beyond asking for recommendations: see why, report clicks, see and change what is shown."""

MAX_FILE_BYTES = 1024 * 1024
_FORM = re.compile(r"ob_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_HASH = "0" * 64


class KeyFileError(ServiceError):
    """A file of keys cannot be read or written; the message names the file, the fault and the correction."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One line of the file.

    Attributes:
        id: 12 hex digits, the public part of the key.
        name: of the caller, for listings.
        secret_sha256: hash of the secret, 64 hex digits.
        permissions: a subset of PERMISSIONS.
        created_at: Unix seconds.
        expires_at: Unix seconds; None for a key that does not expire.
    """

    id: str
    name: str
    secret_sha256: str
    permissions: tuple[str, ...]
    created_at: int
    expires_at: int | None = None

    def is_valid(self, now: float) -> bool:
        """Return whether the key has not expired."""
        return self.expires_at is None or now < self.expires_at


class ApiKeys:
    """The keys of one file. ``reload_if_changed`` follows the file; a file that cannot be read changes nothing."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises KeyFileError."""
        self.path = path
        self._keys = {key.id: key for key in read_keys(path)}
        self._seen = stamp_of(path)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, token: str) -> ApiKey | None:
        """Return the valid key that a token belongs to, or None. The secret is compared in constant time."""
        form = _FORM.fullmatch(token)
        key_id, secret = form.groups() if form else ("", "")
        key = self._keys.get(key_id)
        expected = key.secret_sha256 if key else _NO_HASH
        same = hmac.compare_digest(_sha256(secret), expected)
        return key if key and same and key.is_valid(time.time()) else None

    def reload_if_changed(self) -> bool:
        """Read the file again if it has changed, and return whether it had.

        Raises:
            KeyFileError: the changed file cannot be used; the previous keys stay in force.
        """
        stamp = stamp_of(self.path)
        if stamp == self._seen:
            return False
        self._seen = stamp
        self._keys = {key.id: key for key in read_keys(self.path)}
        return True


def read_keys(path: Path) -> list[ApiKey]:
    """Read a file of keys. Raises KeyFileError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise KeyFileError(f"The key file {path} is over {MAX_FILE_BYTES} bytes; withdraw keys that are not used.")
        document = json.loads(path.read_text(encoding="utf-8"))
        keys = [ApiKey(**(entry | {"permissions": tuple(entry["permissions"])})) for entry in document["keys"]]
    except OSError as error:
        raise KeyFileError(
            f"The key file {path} cannot be read ({error.strerror}); make one with `onebar keys create {path} NAME`."
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeyFileError(
            f"The key file {path} does not have the form that `onebar keys` writes ({error})."
        ) from error
    for key in keys:
        _check(key, path)
    return keys


def create_key(
    path: Path, name: str, permissions: tuple[str, ...] = (), valid_seconds: int | None = None
) -> tuple[ApiKey, str]:
    """Add a key to a file; the file is created if it does not exist.

    Returns:
        The key, and the token that the caller sends. The token is not stored and cannot be shown again.

    Raises:
        KeyFileError: the file cannot be read or written.
    """
    now = int(time.time())
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    expires_at = None if valid_seconds is None else now + valid_seconds
    key = ApiKey(key_id, name, _sha256(secret), permissions, now, expires_at)
    with _changing(path):
        _write(path, [*(read_keys(path) if path.exists() else []), key])
    return key, f"ob_{key_id}_{secret}"


def revoke_key(path: Path, key_id: str) -> ApiKey:
    """Remove a key from a file and return it.

    Raises:
        KeyFileError: the file has no such key, or cannot be read or written.
    """
    with _changing(path):
        keys = read_keys(path)
        revoked = next((key for key in keys if key.id == key_id), None)
        if revoked is None:
            raise KeyFileError(f"The key file {path} has no key {key_id}; `onebar keys list {path}` shows its keys.")
        _write(path, [key for key in keys if key is not revoked])
    return revoked


def _check(key: ApiKey, path: Path) -> None:
    texts = (key.id, key.name, key.secret_sha256, *key.permissions)
    numbers = (key.created_at, 0 if key.expires_at is None else key.expires_at)
    whole = all(isinstance(text, str) for text in texts) and all(type(number) is int for number in numbers)
    if not whole or not re.fullmatch("[0-9a-f]{12}", key.id) or not re.fullmatch("[0-9a-f]{64}", key.secret_sha256):
        raise KeyFileError(f"The key file {path} does not have the form of `onebar keys` (key {key.id!r}).")
    unknown = sorted(set(key.permissions) - set(PERMISSIONS))
    if unknown:
        known = ", ".join(PERMISSIONS)
        raise KeyFileError(f"The key {key.id} in {path} has the unknown permission {unknown[0]!r}; known are: {known}.")


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Let one process at a time change the file: a withdrawn key must not be written again."""
    try:
        with only_writer(path):
            yield
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be written ({error.strerror}).") from error


def _write(path: Path, keys: list[ApiKey]) -> None:
    content = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1, ensure_ascii=False) + "\n"
    replace_file(path, content.encode())


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
