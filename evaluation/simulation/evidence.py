"""What the systems read on a day: the rows that `onebar offline evidence` and `onebar offline users` write for serving.

A day has two files, `evidence-DAY.parquet` and `users-DAY.parquet`. Both systems read them. Personal queries are chosen
here as in serving, for each bundle in the space of its own embedder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.world.ids import photo_ids, user_ids
from evaluation.errors import InputError
from evaluation.inputs import Example, read_parquet
from evaluation.nearest import video_text
from evaluation.simulation.traffic import Traffic
from evaluation.simulation.vectors import embed_lists, rows_of, stored_vectors
from evidence.assemble import build_evidence
from evidence.embedder import Embedder, personal_threshold
from evidence.embedding import Matrix, filter_personal
from evidence.rows import TEXT_FIELDS, raw_text_of_row

_COLUMNS = ("photo_id", *TEXT_FIELDS, "summary", "anchors", "histories")
_FIX = (
    "make it with `onebar offline evidence LOGS evidence-DAY.parquet --as-of-day DAY`, and users-DAY.parquet with "
    "`onebar offline users`"
)


def days_of(folder: Path) -> list[int]:
    """Return the days that a folder has evidence for, in order.

    Raises:
        InputError: there is none.
    """
    names = (re.fullmatch(r"evidence-(\d+)\.parquet", path.name) for path in folder.iterdir())
    days = sorted(int(name.group(1)) for name in names if name)
    if not days:
        raise InputError(f"{folder} has no file evidence-DAY.parquet; {_FIX}")
    return days


class EvidenceOfTraffic:
    """The evidence of the videos and viewers of some traffic. Rows of others are not kept."""

    def __init__(self, folder: Path, traffic: Traffic, created_day: Any) -> None:
        """Read the two files of the day.

        Args:
            folder: with the files.
            traffic: of one day.
            created_day: int32[videos] of the world.

        Raises:
            InputError: a file is missing or not of the documented form, or has no row for a video: it is of another
                world.
        """
        self._traffic, self._created_day = traffic, created_day
        self._photos, self._viewers = photo_ids(traffic.video).to_pylist(), user_ids(traffic.viewer).to_pylist()
        self._evidence_file = folder / f"evidence-{traffic.day}.parquet"
        self._users_file = folder / f"users-{traffic.day}.parquet"
        shown = rows_of("photo_id", set(self._photos))
        rows = read_parquet(self._evidence_file, _COLUMNS, where=shown, fix=_FIX).to_pylist()
        self._videos = {row["photo_id"]: row for row in rows}
        missing = next((photo for photo in self._photos if photo not in self._videos), None)
        if missing is not None:
            raise InputError(f"{self._evidence_file.name} has no row for {missing}; is it of this world?")
        asking = rows_of("user_id", set(self._viewers))
        users = read_parquet(self._users_file, ("user_id", "queries"), where=asking, fix=_FIX).to_pylist()
        self._pasts = {row["user_id"]: tuple(row["queries"]) for row in users if row["queries"]}

    def examples(self, embedder: Embedder) -> list[Example]:
        """Return what is known at each impression; the target is the intent of the viewer.

        Args:
            embedder: of the bundle that reads the evidence; it chooses the personal queries.

        Raises:
            InputError: the embedder cannot embed texts, and the files do not have its vectors.
        """
        videos, queries = self._vectors(embedder)
        threshold = personal_threshold(embedder)
        traffic, examples = self._traffic, []
        for number, (photo, viewer) in enumerate(zip(self._photos, self._viewers, strict=True)):
            row = self._videos[photo]
            personal: tuple[str, ...] = ()
            if photo in videos and viewer in queries:
                personal = filter_personal(videos[photo][0], self._pasts[viewer], queries[viewer], threshold)
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
                    personal=personal,
                    photo_new=bool(self._created_day[traffic.video[number]] == traffic.day),
                )
            )
        return examples

    def _vectors(self, embedder: Embedder) -> tuple[Mapping[str, Matrix], Mapping[str, Matrix]]:
        """Return float32 [1, d] of videos and float32 [past queries, d] of viewers, where there are any."""
        if embedder.embeds_texts:
            texts = {photo: [self._text(photo)] for photo in self._videos}
            return embed_lists(embedder, texts), embed_lists(embedder, self._pasts)
        return (
            stored_vectors(self._evidence_file, ("photo_id", "embedding"), self._videos, embedder),
            stored_vectors(self._users_file, ("user_id", "embeddings"), self._pasts, embedder),
        )

    def _text(self, photo: str) -> str:
        row = self._videos[photo]
        return video_text(build_evidence(raw_text_of_row(row), row["summary"]))
