"""Which bundle a service serves: a record that is replaced in one step, and the history of its changes.

promoted/
├── current.json     the bundle to serve, and those of before
└── history.jsonl    every promotion and every rollback, one a line, oldest first; only people read it

Every instance that names the folder in its settings reads ``current.json`` by itself
(``service/operating/bundle_swap.py``). A bundle inside the folder that holds the record's folder is named relative to
it, so that both can be mounted elsewhere.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from generation.bundle import load_bundle
from service.errors import ServiceError
from service.operating.replaced_file import only_writer, replace_file

CURRENT = "current.json"
HISTORY = "history.jsonl"
MAX_EARLIER = 10
"""Bundles that a rollback can return to, one after the other."""

MAX_RECORD_BYTES = 64 * 1024
_READABLE = 0o644  # the service may run as another user than the command


class PromotionError(ServiceError):
    """A promotion cannot be written or read; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle that was promoted.

    Attributes:
        bundle: its folder, relative to the folder of the record or absolute; None for the bundle of the settings.
        bundle_id: its ``model_version``; None for the bundle of the settings.
    """

    bundle: str | None
    bundle_id: str | None


@dataclass(frozen=True, slots=True)
class Promotion:
    """The content of ``current.json``.

    Attributes:
        bundle: as in ``Served``.
        bundle_id: as in ``Served``.
        promoted_at: time in UTC, ISO 8601.
        reason: why.
        kind: whether it was promoted, or returned to.
        earlier: what was served before, newest first; a rollback returns to the first.
    """

    bundle: str | None
    bundle_id: str | None
    promoted_at: str
    reason: str
    kind: Literal["promotion", "rollback"] = "promotion"
    earlier: tuple[Served, ...] = ()

    def path(self, folder: Path) -> Path | None:
        """Return the folder of the bundle, for a record that lies in ``folder``; None for that of the settings."""
        return None if self.bundle is None else Path(os.path.normpath(folder.resolve() / self.bundle))


def promote(folder: Path, bundle: Path, reason: str) -> Promotion:
    """Make every service that follows ``folder`` load, check and serve a bundle.

    The bundle is checked whole (``load_bundle``) before the record is written. The record is replaced by write, fsync
    and rename. Promoting the bundle that the record names already writes a new time, so that services which refused it
    try again.

    Args:
        folder: of the record; it is made if it is not there.
        bundle: the folder that ``onebar export`` wrote. It must stay where it is, unchanged, as long as it can be
            returned to.
        reason: why, for people.

    Returns:
        The record that was written.

    Raises:
        BundleError: the bundle must not be served.
        PromotionError: the record of before cannot be read, or the folder cannot be written.
    """
    loaded = load_bundle(bundle)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder / CURRENT):
            before = read_current(folder)
            served = Served(_named(bundle, folder), loaded.model_version)
            earlier = () if before is None else before.earlier
            present = Served(None, None) if before is None else Served(before.bundle, before.bundle_id)
            if served != present:
                earlier = (present, *earlier)[:MAX_EARLIER]
            return _write(folder, Promotion(served.bundle, served.bundle_id, _now(), reason, "promotion", earlier))
    except OSError as error:
        raise _not_written(folder, error) from error


def rollback(folder: Path, reason: str = "rollback") -> Promotion:
    """Make every service that follows ``folder`` return to the bundle that was served before the present one.

    A second rollback returns to the one before that. Before the first promotion, it is the bundle of each service's
    settings.

    Args:
        folder: of the record.
        reason: why, for people.

    Returns:
        The record that was written.

    Raises:
        BundleError: the earlier bundle is no longer there, or must not be served.
        PromotionError: there is no earlier bundle, or the record cannot be read or written.
    """
    try:
        with only_writer(folder / CURRENT):
            before = read_current(folder)
            if before is None or not before.earlier:
                raise PromotionError(f"there is nothing to return to: {folder / CURRENT} names no earlier bundle")
            served, *earlier = before.earlier
            record = Promotion(served.bundle, served.bundle_id, _now(), reason, "rollback", tuple(earlier))
            path = record.path(folder)
            if path is not None and load_bundle(path).model_version != served.bundle_id:
                raise PromotionError(f"{path} no longer holds the model {served.bundle_id}; promote another bundle")
            return _write(folder, record)
    except OSError as error:
        raise _not_written(folder, error) from error


def read_current(folder: Path) -> Promotion | None:
    """Return the record of a folder; None if there is none.

    Raises:
        PromotionError: it cannot be read as a record.
    """
    path = folder / CURRENT
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECORD_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PromotionError(f"{path} cannot be read ({error.strerror})") from error
    try:
        if len(content) > MAX_RECORD_BYTES:
            raise ValueError(f"over {MAX_RECORD_BYTES} bytes")
        return _parse(json.loads(content))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PromotionError(f"{path} is not a record of a promotion ({error}); promote a bundle again") from error


def read_history(folder: Path, limit: int = 20) -> list[dict[str, Any]]:
    """Return the latest changes, newest first. Lines that cannot be read are left out."""
    try:
        lines = (folder / HISTORY).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:  # cut by a crash or a full disk
            continue
        if isinstance(entry, dict):
            found.append(entry)
        if len(found) == limit:
            break
    return found


def _parse(document: Any) -> Promotion:
    earlier = tuple(Served(_text(entry["bundle"]), _text(entry["bundle_id"])) for entry in document["earlier"])
    fields = {name: document[name] for name in ("bundle", "bundle_id", "promoted_at", "reason", "kind")}
    if any(_text(fields[name]) is None for name in ("promoted_at", "reason", "kind")):
        raise ValueError("a text is missing")
    if (_text(fields["bundle"]) is None) != (_text(fields["bundle_id"]) is None):
        raise ValueError("bundle and bundle_id must be given together")
    return Promotion(**fields, earlier=earlier)


def _text(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(f"{value!r} is not a text")
    return value


def _write(folder: Path, record: Promotion) -> Promotion:
    replace_file(folder / CURRENT, json.dumps(asdict(record), indent=1).encode() + b"\n", new_mode=_READABLE)
    line = asdict(replace(record, earlier=()))
    del line["earlier"]
    descriptor = os.open(folder / HISTORY, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _READABLE)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return record


def _named(bundle: Path, folder: Path) -> str:
    target, parent = bundle.resolve(), folder.resolve().parent
    return os.path.relpath(target, folder.resolve()) if target.is_relative_to(parent) else str(target)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _not_written(folder: Path, error: OSError) -> PromotionError:
    return PromotionError(f"the promotion cannot be written to {folder} ({error.strerror})")
