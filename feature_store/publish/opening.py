"""Opening a store, and the journal of its last publication, for publishing and restoring."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from feature_store.errors import LoadError, PublishError
from feature_store.files import Source, find_files
from feature_store.publish.journal import path_at
from feature_store.publish.publication import FINISHED
from feature_store.publish.redis_target import RedisTarget
from feature_store.publish.servers import connect
from feature_store.publish.target import Target
from feature_store.redaction import redact
from feature_store.redis_urls import parse_redis_url
from feature_store.rows import Kind
from feature_store.schemes import EMBEDDED_SCHEMES, REDIS_SCHEMES
from feature_store.settings import StoreSettings
from feature_store.store import unknown_scheme

_NAMES: Final = ("evidence.", "users.")
"""How the files begin that a build of evidence leaves in its folder, beside files of other kinds."""


def open_target(url: str, ttl_seconds: int, *, makes_file: bool = True) -> Target:
    """Open a store to publish to. The caller closes it.

    Args:
        url: As for `writers.open_writer`.
        ttl_seconds: Life of a record from its last publication; 0 for ever.
        makes_file: Whether a `sqlite:` file is made where it is missing; an empty store takes its place if not.

    Raises:
        StoreUrlError: The URL cannot be used.
        StoreUnavailable: The Redis that it names does not answer.
    """
    scheme = url.partition("://")[0]
    if scheme in EMBEDDED_SCHEMES:
        from feature_store.embedded import open_embedded, open_embedded_writer, path_of
        from feature_store.publish.embedded_target import EmbeddedTarget

        path = path_of(url)
        if path is not None and not makes_file and not path.exists():
            writer = open_embedded("memory://", StoreSettings()).writer()
        else:
            writer = open_embedded_writer(url, ttl_seconds)
        return EmbeddedTarget(writer, redact(url), ttl_seconds)
    if scheme in REDIS_SCHEMES:
        checked = parse_redis_url(url)
        return RedisTarget(connect(checked), checked.shown, ttl_seconds)
    raise unknown_scheme(url)


def published_sources(path: Path, kind: Kind | None) -> list[Source]:
    """Return the files to publish.

    Args:
        path: A file; or a folder, of which the files named `evidence.*` and `users.*` are taken, or all of them where
            there is none of that name.
        kind: Only the files of this kind; all when None.

    Raises:
        LoadError: There is none, or one of them cannot be loaded.
    """
    files = find_files(path)
    files = [file for file in files if file.name.startswith(_NAMES)] or files
    sources = [source for source in map(_source, files) if kind in (None, source.kind)]
    if not sources:
        raise LoadError(f"{path} has no {kind} to publish")
    return sources


def _source(file: Path) -> Source:
    return Source(file, None)


def content_of(sources: Sequence[Source], *choices: str) -> str:
    """Return a hash of the files' content and of other choices that decide what is stored."""
    digest = hashlib.blake2b(digest_size=16)
    for choice in choices:
        digest.update(choice.encode() + b"\0")
    for source in sources:
        with source.path.open("rb") as file:
            digest.update(source.kind.encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def journal_for(path: Path, url: str, state: Mapping[str, str]) -> tuple[Path, str | None]:
    """Return the journal that a publication of a path uses, and a warning where an unfinished one cannot be continued.

    A publication that was not finished is continued in its own journal, also when other files are published now: then
    restoring still brings back the last publication that was finished.
    """
    name = f"publication-{hashlib.sha256(redact(url).encode()).hexdigest()[:8]}.journal"
    default = path / name if path.is_dir() else path.with_name(f"{path.name}.{name}")
    if state.get("status", "") in FINISHED:
        return default, None
    known = path_at(state.get("journal", ""))
    if known is None:
        place = state.get("journal", "an unknown place")
        return default, (
            f"the last publication was not finished, and its journal ({place}) is not here: after this publication,"
            " `onebar evidence restore` brings back the mixture that it left"
        )
    return known, None


def journal_of(state: Mapping[str, str], shown: str) -> Path:
    """Return the path of the last publication's journal.

    Raises:
        PublishError: There is no publication to undo, or its journal is elsewhere.
    """
    if not state.get("publication"):
        raise PublishError(f"{shown} has no publication that could be undone")
    path = path_at(state["journal"])
    if path is None:
        raise PublishError(
            f"the journal of the last publication is {state['journal']}: restore there, or name --journal"
        )
    return path
