"""Clicked queries of earlier days, from which the baselines learn and the cascade recalls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.errors import InputError
from evaluation.inputs import TitledQuery, read_parquet
from evidence.assemble import select_text
from evidence.rows import TEXT_FIELDS, raw_text_of_row


@dataclass(frozen=True, slots=True)
class PastClicks:
    """Clicks, n rows, in the order of the files.

    Attributes:
        day: int64[n].
        photo: n videos.
        pairs: n pairs of canonical text and clicked query.
    """

    day: npt.NDArray[np.int64]
    photo: Sequence[str]
    pairs: Sequence[TitledQuery]

    def before(self, day: int) -> PastClicks:
        """Return the clicks of the days before a day."""
        rows = np.flatnonzero(self.day < day).tolist()
        return PastClicks(self.day[rows], [self.photo[row] for row in rows], [self.pairs[row] for row in rows])


def read_past_clicks(*paths: Path) -> PastClicks:
    """Read the clicks of files of examples.

    Args:
        paths: files of `onebar offline examples`.

    Raises:
        InputError: a file is missing or not of the documented form, or there is no click.
    """
    days: list[int] = []
    photos: list[str] = []
    pairs: list[TitledQuery] = []
    titles: dict[str, str] = {}
    for path in paths:
        for row in read_parquet(path, ("day", "photo_id", "kind", "target", *TEXT_FIELDS)).to_pylist():
            if row["kind"] != "click":
                continue
            photo = row["photo_id"]
            if photo not in titles:
                titles[photo] = select_text(raw_text_of_row(row))
            days.append(row["day"])
            photos.append(photo)
            pairs.append(TitledQuery(titles[photo], row["target"]))
    if not pairs:
        names = " and ".join(map(str, paths))
        raise InputError(f"no row of {names} is a click; make the examples again with `onebar offline examples`")
    return PastClicks(np.array(days, np.int64), photos, pairs)
