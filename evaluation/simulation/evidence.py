"""What the systems read on a day: the rows that `onebar offline evidence` and `onebar offline users` write for serving.

A day has two files, `evidence-DAY.parquet` and `users-DAY.parquet`. Personal queries are chosen here as in serving.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from demo.world.ids import photo_ids, user_ids
from evaluation.errors import InputError
from evaluation.inputs import Example, read_parquet
from evaluation.nearest import video_text
from evaluation.simulation.traffic import Traffic
from evidence.assemble import build_evidence
from evidence.embedder import Embedder, personal_threshold
from evidence.embedding import filter_personal
from evidence.rows import TEXT_FIELDS, raw_text_of_row

_FILE = "evidence-{day}.parquet"
_USERS = "users-{day}.parquet"
_COLUMNS = ("photo_id", *TEXT_FIELDS, "summary", "anchors", "histories")


def days_of(folder: Path) -> list[int]:
    """Return the days that a folder has evidence for, in order.

    Raises:
        InputError: there is none.
    """
    names = (re.fullmatch(r"evidence-(\d+)\.parquet", path.name) for path in folder.iterdir())
    days = sorted(int(name.group(1)) for name in names if name)
    if not days:
        raise InputError(
            f"{folder} has no file evidence-DAY.parquet; make it with `onebar offline evidence LOGS "
            "evidence-DAY.parquet --as-of-day DAY` and the same with `onebar offline users`"
        )
    return days


class EvidenceOfDay:
    """The evidence of one day, by video and by viewer."""

    def __init__(self, folder: Path, day: int, embedder: Embedder, created_day: Any) -> None:
        """Read the two files of a day.

        Args:
            folder: with the files.
            day: of the evidence.
            embedder: of the personal filter.
            created_day: int32[videos] of the world.

        Raises:
            InputError: a file is missing or not of the documented form.
        """
        self._day, self._embedder, self._created_day = day, embedder, created_day
        rows = read_parquet(folder / _FILE.format(day=day), _COLUMNS).to_pylist()
        self._videos = {row["photo_id"]: row for row in rows}
        users = read_parquet(folder / _USERS.format(day=day), ("user_id", "queries"))
        self._users = dict(zip(users["user_id"].to_pylist(), users["queries"].to_pylist(), strict=True))

    def examples(self, traffic: Traffic) -> list[Example]:
        """Return what is known at each impression; the target is the intent of the viewer.

        Raises:
            InputError: a video of the day has no evidence: the files are of another world.
        """
        photos, viewers = photo_ids(traffic.video).to_pylist(), user_ids(traffic.viewer).to_pylist()
        missing = next((photo for photo in photos if photo not in self._videos), None)
        if missing is not None:
            raise InputError(f"{_FILE.format(day=self._day)} has no row for {missing}; is it of this world?")
        vectors = self._query_vectors(viewers)
        texts = {photo: self._text(photo) for photo in dict.fromkeys(photos)}
        places = {photo: place for place, photo in enumerate(texts)}
        video_vectors = self._embedder.embed(list(texts.values()))
        threshold = personal_threshold(self._embedder)
        examples = []
        for number, (photo, viewer) in enumerate(zip(photos, viewers, strict=True)):
            row = self._videos[photo]
            past = self._users.get(viewer, ())
            examples.append(
                Example(
                    example_id=str(number),
                    photo_id=photo,
                    user_id=viewer,
                    source="simulated",
                    target=traffic.intent[number],
                    raw=raw_text_of_row(row),
                    summary=row["summary"],
                    anchors=tuple(row["anchors"] or ()),
                    histories=tuple(row["histories"] or ()),
                    personal=filter_personal(video_vectors[places[photo]], past, vectors.get(viewer), threshold),
                    photo_new=bool(self._created_day[traffic.video[number]] == traffic.day),
                )
            )
        return examples

    def _text(self, photo: str) -> str:
        row = self._videos[photo]
        return video_text(build_evidence(raw_text_of_row(row), row["summary"]))

    def _query_vectors(self, viewers: list[str]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Return the vectors of the past queries of each viewer that has any."""
        known = [viewer for viewer in dict.fromkeys(viewers) if self._users.get(viewer)]
        vectors = self._embedder.embed([query for viewer in known for query in self._users[viewer]])
        ends = np.cumsum([len(self._users[viewer]) for viewer in known], dtype=np.int64)
        return dict(zip(known, np.split(vectors, ends[:-1]), strict=True)) if known else {}
