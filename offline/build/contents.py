"""Hashes of what a build reads and writes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from offline.logs.intake import ORDER

TERMS_FILE = "prohibited_terms.tsv"


def hash_of(values: Any) -> str:
    """Return a hash of plain values; equal values have equal hashes, on any machine."""
    text = json.dumps(values, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table_hashes(dataset: str, replaced: Mapping[str, Path]) -> dict[str, str]:
    """Return the hash of each table, by name; of a table in several files, that of their names and hashes.

    Tables behind a URL are not read for this. Their one hash is new at each call, so that what depends on them is made
    again.

    Args:
        dataset: folder or URL of the log tables.
        replaced: by table, the folder that it is read from instead.
    """
    if "://" in dataset:
        return {"logs": hash_of([dataset, time.time_ns()])}
    hashes = {}
    for name in ORDER:
        folder = replaced.get(name, Path(dataset))
        files = table_files(folder, name)
        named = [(str(file.relative_to(folder)), file_hash(file)) for file in files]
        hashes[name] = named[0][1] if len(named) == 1 else hash_of(named)
    return hashes


def table_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a table as `Engine.read` finds them, in order; none if it is missing."""
    single = folder / f"{name}.parquet"
    if single.is_file():
        return [single]
    return sorted(single.rglob("*.parquet")) or sorted((folder / name).rglob("*.parquet"))


def terms_hash(dataset: str, terms: Path | None) -> dict[str, str]:
    """Return the hash of the prohibited terms that a step reads, under the name `terms`; nothing without any."""
    path = terms or Path(dataset) / TERMS_FILE
    return {"terms": file_hash(path)} if path.is_file() else {}


def folder_stamp(folder: Path) -> str:
    """Return a hash of the names, sizes and modification times below a folder, whose files are not read."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            stat = path.stat()
            found.append((str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns))
    return hash_of(sorted(found))
