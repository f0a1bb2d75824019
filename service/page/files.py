"""The static files of the page and its feed, read into memory once."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from service.errors import ConfigurationError

INDEX: Final = "index.html"
_MAX_FEED_BYTES: Final = 16 * 1024 * 1024
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> StaticFile:
        """Return the file with the tag of its content."""
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def read_static() -> dict[str, StaticFile]:
    """Return the files of the page by their path below `static/`."""
    found: dict[str, StaticFile] = {}
    _collect(files(__package__).joinpath("static"), "", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, StaticFile]) -> None:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        suffix = Path(entry.name).suffix
        if entry.is_dir():
            _collect(entry, f"{path}/", found)
        elif suffix in _TYPES:
            found[path] = StaticFile.of(entry.read_bytes(), _TYPES[suffix])


def read_feed(path: Path) -> StaticFile:
    """Return the feed, a JSON object in a `.json` or `.json.gz` file.

    Raises:
        ConfigurationError: the file cannot be read, or is no JSON object.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        if len(content) > _MAX_FEED_BYTES:
            raise ValueError(f"it has more than {_MAX_FEED_BYTES} bytes")
        if not isinstance(json.loads(content), dict):
            raise ValueError("it is not a JSON object")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ConfigurationError(
            f"ONEBAR_PAGE__FEED: {path} cannot be used: {error}; `onebar demo-feed` makes such a file."
        ) from error
    return StaticFile.of(content, "application/json")
