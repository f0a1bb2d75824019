"""Labels of the videos that were shown on a held-out day, to measure `[REJECT]` with; no training reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.errors import InputError
from evaluation.inputs import COLUMNS, Example, read_examples, read_parquet

LABEL_COLUMNS = ("photo_id", "unsafe", "category")

_FIX = {
    "photo_id": "give the id of the video as a string or a whole number",
    "unsafe": "give a bool, true for a video that breaks a rule",
    "category": "give the policy category as a string, null for a safe video",
}


@dataclass(frozen=True, slots=True)
class LabelledVideos:
    """The videos of a held-out day, each once, with their labels.

    Attributes:
        examples: the evidence of each video as of that day, without a target.
        unsafe: whether it breaks a rule.
        category: the policy category, "" where there is none.
    """

    examples: list[Example]
    unsafe: list[bool]
    category: list[str]


def labelled_videos(
    folder: Path, split: str, labels: Path | None, *, limit: int | None = None, seed: int = 0
) -> LabelledVideos | None:
    """Return the labelled videos of the day of a split, None if they have no labels.

    Args:
        folder: made by `onebar offline examples`.
        split: `valid` or `test`.
        labels: joined with the videos of that day, and kept in `unsafe_SPLIT.parquet` of the folder; None to read what
            was joined before.
        limit: the most videos, drawn at random.
        seed: of the random draw.

    Raises:
        InputError: as `write_labelled` and `read_labelled`.
    """
    path = folder / f"unsafe_{split}.parquet"
    if labels is not None:
        write_labelled(folder / f"shown_{split}.parquet", labels, path)
    return read_labelled(path, limit=limit, seed=seed) if path.is_file() else None


def write_labelled(shown: Path, labels: Path, out: Path) -> int:
    """Join the videos that were shown on a held-out day with their labels.

    Args:
        shown: `shown_valid.parquet` or `shown_test.parquet` of `onebar offline examples`.
        labels: Parquet with photo_id, unsafe (bool) and category (nullable). Videos without a label are left out, and
            so are labels of videos that were not shown.
        out: the file to write; it has the columns of `shown` and also `unsafe` and `category`.

    Returns:
        The number of rows.

    Raises:
        InputError: a file is missing or not of this form, or no shown video has a label.
    """
    known = _read_labels(labels)
    videos = read_parquet(shown, COLUMNS)
    photos = videos["photo_id"].to_pylist()
    rows = [row for row, photo in enumerate(photos) if photo in known]
    if not rows:
        raise InputError(
            f"{labels} has no label for any video of {shown}: its first is of {next(iter(known), None)!r}, and the "
            f"first video shown is {next(iter(photos), None)!r}; give labels of the same logs"
        )
    table = videos.take(pa.array(rows))
    for place, (name, kind) in enumerate((("unsafe", pa.bool_()), ("category", pa.string()))):
        table = table.append_column(name, pa.array([known[photos[row]][place] for row in rows], kind))
    pq.write_table(table, out, compression="zstd")
    return int(table.num_rows)


def read_labelled(path: Path, *, limit: int | None = None, seed: int = 0) -> LabelledVideos:
    """Read a file that `write_labelled` wrote.

    Raises:
        InputError: the file is missing or not of that form.
    """
    truth = _read_labels(path)
    examples = read_examples(path, limit=limit, seed=seed)
    rows = [truth[example.photo_id] for example in examples]
    return LabelledVideos(examples, [unsafe for unsafe, _ in rows], [category or "" for _, category in rows])


def _read_labels(path: Path) -> dict[str, tuple[bool, str | None]]:
    """Return `unsafe` and `category` of each video.

    Raises:
        InputError: the file is missing or not of the documented form; rows are counted from 1.
    """
    table = read_parquet(path, LABEL_COLUMNS, fix=f"give a Parquet file with the columns {', '.join(LABEL_COLUMNS)}")
    columns = {name: _values(table, name, path) for name in LABEL_COLUMNS}
    first: dict[str, int] = {}
    for row, photo in enumerate(columns["photo_id"], 1):
        if photo in first:
            raise InputError(
                f"{path} has the photo_id {photo!r} in row {first[photo]} and in row {row}; keep one row of each video"
            )
        first[photo] = row
    return dict(zip(first, zip(columns["unsafe"], columns["category"], strict=True), strict=True))


def _values(table: pa.Table, name: str, path: Path) -> list[Any]:
    """Return the values of a column whose type and nulls are checked."""
    column = table[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_null(kind) or _fits(kind, name)):
        raise InputError(f"{path} has the type {column.type} in the column {name}; {_FIX[name]}")
    values: list[Any] = column.cast(pa.bool_() if name == "unsafe" else pa.string()).to_pylist()
    if name != "category" and None in values:
        raise InputError(f"{path} has no {name} in row {values.index(None) + 1}; {_FIX[name]}, or leave the row out")
    return values


def _fits(kind: pa.DataType, name: str) -> bool:
    if name == "unsafe":
        return bool(pa.types.is_boolean(kind))
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or (name == "photo_id" and pa.types.is_integer(kind)))
