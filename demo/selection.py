"""Selects the videos and users that are shipped as the demo: the most active ones of the last day."""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from demo.errors import SelectionError
from offline.logs.tables import read_table

PHOTOS = "photos.jsonl.gz"
USERS = "users.jsonl.gz"
TERMS = "prohibited_terms.tsv"


def most_active(ids: Iterable[str], count: int) -> set[str]:
    """Return the ids that occur most often; ties are resolved by name, so that the result is repeatable."""
    names, occurrences = np.unique(np.array(list(ids), dtype=object).astype(str), return_counts=True)
    return set(names[np.argsort(-occurrences, kind="stable")[:count]].tolist())


def select(world: Path, evidence: Path, users: Path, out: Path, videos: int, viewers: int) -> dict[str, int]:
    """Write the demo's evidence folder from evidence and user rows (`.jsonl.gz`) of a whole world.

    Returns:
        Rows by file name.

    Raises:
        TableError: the world has no readable impressions.
        SelectionError: the evidence, or the world's list of prohibited terms, cannot be read.
    """
    impressions = read_table(world, "impressions", ["day", "user_id", "photo_id"])
    last = impressions["day"].to_numpy() == impressions["day"].to_numpy().max()
    watched = most_active(impressions["photo_id"].filter(last).to_pylist(), videos)
    viewer_ids = most_active(impressions["user_id"].filter(last).to_pylist(), viewers)
    out.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(world / TERMS, out / TERMS)
    except OSError as error:
        raise SelectionError(f"{world / TERMS} cannot be copied ({error.strerror}); `onebar world` makes it") from error
    return {
        PHOTOS: _write(out / PHOTOS, _rows(evidence, "photo_id", watched)),
        USERS: _write(out / USERS, _rows(users, "user_id", viewer_ids)),
    }


def _rows(path: Path, key: str, wanted: set[str]) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                if json.loads(line)[key] in wanted:
                    yield line
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
        raise SelectionError(f"{path} is not gzipped JSON Lines with {key!r} in each row: {error}") from error


def _write(path: Path, rows: Iterable[bytes]) -> int:
    count = 0
    # No name and no time in the header: the same rows make the same file.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as target:
        for row in rows:
            target.write(row)
            count += 1
    return count
