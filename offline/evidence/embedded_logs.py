"""The logs with the vectors of their videos and queries. Evidence for any day is made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from evidence.embedder import HashedEmbedder
from offline.arrays import BoolArray, IntArray, Matrix
from offline.embedder.vectors import Embedder, embed_videos
from offline.evidence.anchor_search import anchors_of, open_search
from offline.evidence.anchors import AnchorSettings
from offline.evidence.histories import HistorySettings, histories_as_of
from offline.evidence.intent import IntentSettings, item_intent
from offline.evidence.personal import UserSettings
from offline.evidence.ranked import RankedQueries
from offline.evidence.user_histories import user_histories_as_of
from offline.logs.coded import Logs, load_logs
from offline.logs.engine import Engine
from offline.logs.intake import IntakeSettings


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """All settings of the evidence."""

    anchors: AnchorSettings = field(default_factory=AnchorSettings)
    histories: HistorySettings = field(default_factory=HistorySettings)
    users: UserSettings = field(default_factory=UserSettings)
    intent: IntentSettings = field(default_factory=IntentSettings)


def tuned_settings(tuned: Mapping[str, float]) -> EvidenceSettings:
    """Return the default settings with those that were tuned for a space (docs/embedder.md)."""
    defaults = EvidenceSettings()
    anchors: dict[str, Any] = {name: tuned[name] for name in TUNED_ANCHORS if name in tuned}
    users: dict[str, Any] = {name: tuned[name] for name in TUNED_USERS if name in tuned}
    return replace(defaults, anchors=replace(defaults.anchors, **anchors), users=replace(defaults.users, **users))


TUNED_ANCHORS = ("similarity_threshold", "query_weight", "query_threshold", "popularity")
TUNED_USERS = ("personal_threshold",)
"""The settings that depend on the vector space; an embedder's folder has their values."""


@dataclass(frozen=True, slots=True)
class EmbeddedLogs:
    """The logs with their vectors.

    Attributes:
        logs: the log tables.
        settings: how evidence is made.
        embedding_version: the name of the vector space.
        video_vectors: float32 [videos, d].
        query_vectors: float32 [queries, d].
    """

    logs: Logs
    settings: EvidenceSettings
    embedding_version: str
    video_vectors: Matrix
    query_vectors: Matrix
    _intent: dict[int, BoolArray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def has_intent(self, before_day: int) -> BoolArray:
        """Return bool[queries]: which have item-search intent, learnt from the days before `before_day`.

        The answer of a day is kept: anchors, histories and user histories of a day need the same.
        """
        if before_day not in self._intent:
            intent = item_intent(self.logs, self.query_vectors, before_day, self.settings.intent)
            self._intent[before_day] = np.asarray(intent >= self.settings.intent.threshold)
        return self._intent[before_day]

    def user_histories(self, as_of_day: int) -> RankedQueries:
        """Return the past queries with item-search intent of every user, newest first, at the start of `as_of_day`."""
        limit = self.settings.users.limit
        return user_histories_as_of(self.logs, as_of_day, limit, self.has_intent(as_of_day))

    def collaborative(self, photos: IntArray, as_of_day: int) -> tuple[RankedQueries, RankedQueries]:
        """Return the anchors and the histories of videos, one row each, at the start of `as_of_day`."""
        logs, settings = self.logs, self.settings
        usable = self.has_intent(as_of_day)
        wanted = (settings.anchors.query_weight < 1, settings.anchors.query_weight > 0)
        search = open_search(logs, self.video_vectors, self.query_vectors, as_of_day, settings.anchors, usable, wanted)
        anchors = anchors_of(search, photos)
        histories = histories_as_of(logs, as_of_day, settings.histories, usable).take(photos)
        return anchors, histories


def embed_logs(
    dataset: Path | str,
    settings: EvidenceSettings | None = None,
    embedder: Embedder | None = None,
    *,
    engine: Engine | None = None,
    intake: IntakeSettings | None = None,
    show_progress: bool = False,
) -> EmbeddedLogs:
    """Read the logs of a dataset folder and embed their videos and queries.

    Args:
        dataset: folder or URL of the log tables.
        settings: how evidence is made; the ones tuned for the embedder when None.
        embedder: text to vectors; the hashed one when None.
        engine: reads and joins the tables; DuckDB when None.
        intake: how bad rows are treated; the defaults when None.
        show_progress: show a progress bar.

    Raises:
        OfflineError: the logs cannot be used.
    """
    with named_steps(3, "reading", show_progress) as step:
        step("reading the logs")
        return _embed(load_logs(dataset, engine, intake), settings, embedder, step)


def embed_coded_logs(
    logs: Logs,
    settings: EvidenceSettings | None = None,
    embedder: Embedder | None = None,
    *,
    show_progress: bool = False,
) -> EmbeddedLogs:
    """Embed the videos and queries of logs that are in memory; see `embed_logs`."""
    with named_steps(2, "embedding", show_progress) as step:
        return _embed(logs, settings, embedder, step)


def _embed(
    logs: Logs, settings: EvidenceSettings | None, embedder: Embedder | None, step: Callable[[str], object]
) -> EmbeddedLogs:
    embedder = embedder or HashedEmbedder()
    step(f"embedding {logs.num_photos:,} videos")
    video_vectors = embed_videos(logs.videos, embedder)
    step(f"embedding {len(logs.queries):,} queries")
    query_vectors = embedder.embed_queries(logs.queries.to_pylist())
    return EmbeddedLogs(
        logs, settings or tuned_settings(embedder.tuned), embedder.version, video_vectors, query_vectors
    )


class _Step:
    """Shows the name of a step that begins, and counts the step before it as done."""

    def __init__(self, bar: tqdm[NoReturn]) -> None:
        self._bar = bar
        self._begun = False

    def __call__(self, name: str) -> None:
        if self._begun:
            self._bar.update()
        self._begun = True
        self._bar.set_description(name)


@contextmanager
def named_steps(total: int, name: str, show_progress: bool) -> Iterator[Callable[[str], None]]:
    """Show a progress bar of `total` named steps; call what it yields with the name of each as it begins."""
    bar_format = "{desc}: {n_fmt}/{total_fmt} [{elapsed}]"
    with tqdm(total=total, desc=name, disable=not show_progress, bar_format=bar_format) as bar:
        yield _Step(bar)
        bar.update(total - bar.n)
