"""Reads a folder of reports once, when the service starts."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.errors import ConfigurationError
from service.page.files import StaticFile
from service.page.reports.readers import of_manifest, read_report

logger = logging.getLogger(__name__)

MAX_FILES = 40
MAX_FILE_BYTES = 512 * 1024
MAX_BYTES = 4 * 1024 * 1024

_FAULTS = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


def read_reports(folder: Path | None, manifest: Mapping[str, Any]) -> StaticFile | None:
    """Return the reports of a folder behind that of the served bundle; None without a folder.

    A file that is no report is named with the reason in `skipped`, and in the log.

    Raises:
        ConfigurationError: the folder cannot be read, or it has more files than the page shows.
    """
    if folder is None:
        return None
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.is_file())
    except OSError as error:
        raise ConfigurationError(
            f"ONEBAR_PAGE__REPORTS: {folder} cannot be read ({error.strerror}); name a folder of JSON files."
        ) from error
    if len(paths) > MAX_FILES:
        raise ConfigurationError(
            f"ONEBAR_PAGE__REPORTS: {folder} has {len(paths)} JSON files, and the page shows {MAX_FILES}; move some."
        )
    reports: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []

    def skip(name: str, error: Exception) -> None:
        because = _reason(error)
        skipped.append({"name": name, "because": because})
        logger.warning("a report is not shown", extra={"report": name, "because": because})

    try:
        own = of_manifest(manifest)
        reports += [own.model_dump()] if own else []
    except _FAULTS as error:
        skip("metrics of the bundle's manifest", error)
    size = 0
    for path in paths:
        try:
            content = _read(path)
            size += len(content)
            if size > MAX_BYTES:
                raise ValueError(f"the files before it have {MAX_BYTES} bytes, which is the limit")
            reports.append(read_report(json.loads(content), path.stem).model_dump())
        except _FAULTS as error:
            skip(path.name, error)
    text = json.dumps({"reports": reports, "skipped": skipped}, ensure_ascii=False, allow_nan=False)
    return StaticFile.of(text.encode(), "application/json")


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has over {MAX_FILE_BYTES} bytes")
    return content


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:300]
    if isinstance(error, TypeError | KeyError | AttributeError | RecursionError):
        return "it does not have the form of a report that the page knows"
    return str(error)[:300]
