"""One dataset, read and embedded once, from which evidence as of any day can be made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from offline.anchors import AnchorSettings, anchors_as_of
from offline.embedder import Embedder, HashedEmbedder, Matrix, embed_videos
from offline.histories import HistorySettings, histories_as_of
from offline.intent import IntentSettings, item_intent
from offline.logs import BoolArray, Logs, load_logs
from offline.ranked import IntArray, RankedQueries
from offline.user_histories import UserSettings


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """Everything that decides what evidence looks like."""

    anchors: AnchorSettings = field(default_factory=AnchorSettings)
    histories: HistorySettings = field(default_factory=HistorySettings)
    users: UserSettings = field(default_factory=UserSettings)
    intent: IntentSettings = field(default_factory=IntentSettings)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The logs with their vectors.

    Attributes:
        logs: the log tables.
        settings: how evidence is made.
        embedding_version: names the space of the vectors.
        video_vectors: float32 [videos, d].
        query_vectors: float32 [queries, d].
    """

    logs: Logs
    settings: EvidenceSettings
    embedding_version: str
    video_vectors: Matrix
    query_vectors: Matrix

    def has_intent(self, before_day: int) -> BoolArray:
        """bool[queries], which have item-search intent as far as days before `before_day` tell."""
        intent = item_intent(self.logs, self.query_vectors, before_day, self.settings.intent)
        return np.asarray(intent >= self.settings.intent.threshold)

    def collaborative(self, photos: IntArray, as_of_day: int) -> tuple[RankedQueries, RankedQueries]:
        """Anchors and histories of these videos, one row each, at the start of `as_of_day`."""
        logs, settings = self.logs, self.settings
        usable = self.has_intent(as_of_day)
        anchors = anchors_as_of(
            logs, self.video_vectors, self.query_vectors, photos, as_of_day, settings.anchors, usable
        )
        histories = histories_as_of(logs, as_of_day, settings.histories, usable).take(photos)
        return anchors, histories


def prepare(
    dataset: Path,
    settings: EvidenceSettings | None = None,
    embedder: Embedder | None = None,
    *,
    show_progress: bool = False,
) -> Prepared:
    """Reads the logs and embeds videos and queries.

    Raises:
        OfflineError: the logs cannot be used.
    """
    embedder = embedder or HashedEmbedder()
    with steps(3, "reading", show_progress) as step:
        step("reading the logs")
        logs = load_logs(dataset)
        step(f"embedding {logs.num_photos:,} videos")
        video_vectors = embed_videos(logs.videos, embedder)
        step(f"embedding {len(logs.queries):,} queries")
        query_vectors = embedder.embed(logs.queries.to_pylist())
    return Prepared(logs, settings or EvidenceSettings(), embedder.version, video_vectors, query_vectors)


class _Step:
    """Names the step that begins and moves the bar past the one before."""

    def __init__(self, bar: tqdm[NoReturn]) -> None:
        self._bar = bar
        self._begun = False

    def __call__(self, name: str) -> None:
        if self._begun:
            self._bar.update()
        self._begun = True
        self._bar.set_description(name)


@contextmanager
def steps(total: int, name: str, show_progress: bool) -> Iterator[_Step]:
    """A progress bar of `total` named steps."""
    bar_format = "{desc}: {n_fmt}/{total_fmt} [{elapsed}]"
    with tqdm(total=total, desc=name, disable=not show_progress, bar_format=bar_format) as bar:
        yield _Step(bar)
        bar.update(total - bar.n)
