"""How often the clicked query is among the anchors of its video, on a held-out day, and the choice of settings by it.

A click counts if its query has item-search intent and its video is known. Hits compare case-folded queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from offline.arrays import BoolArray, FloatArray, IntArray
from offline.embedder.vectors import video_texts
from offline.evidence.anchor_search import AnchorSearch, open_search
from offline.evidence.anchors import AnchorCandidates, AnchorSettings
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.nearest import IndexFigures
from offline.evidence.personal import UserSettings, filter_personal_rows
from offline.evidence.ranked import RankedQueries
from offline.logs.coded import caused_by_video

NEIGHBOUR_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
QUERY_THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
QUERY_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
POPULARITIES = (0.0, 0.02, 0.05, 0.1)
PERSONAL_THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
_KEPT_WORDS = 0.95
"""The share of the clicks with a new word without a threshold that a personal threshold must keep."""


@dataclass(frozen=True, slots=True)
class Clicks:
    """The clicks of one day that anchors are measured on.

    Attributes:
        day: of the clicks; evidence uses the days before it.
        photos: int64[m], the distinct photo codes.
        row: int64[n], the place of each click's photo in `photos`.
        user, query: int64[n], codes.
        new: bool[n], whether the video was created on that day.
        folded: int64[queries], equal for queries that differ in case only.
        usable: bool[queries], those with item-search intent as known before that day.
    """

    day: int
    photos: IntArray
    row: IntArray
    user: IntArray
    query: IntArray
    new: BoolArray
    folded: IntArray
    usable: BoolArray


def clicks_of_day(embedded: EmbeddedLogs, day: int) -> Clicks:
    """Return the clicks of a day that a video caused."""
    logs = embedded.logs
    usable = embedded.has_intent(day)
    caused = caused_by_video(logs.events)
    rows = logs.engine.fetch(caused.filter(caused.day == day).order_by("event_id").select("photo", "user", "query"))
    photo, user, query = (np.asarray(column.to_numpy(), np.int64) for column in rows.columns)
    chosen = usable[query]
    photos, row = np.unique(photo[chosen], return_inverse=True)
    created = np.asarray(logs.videos["created_day"].to_numpy(), np.int64)
    _, folded = np.unique([query.casefold() for query in logs.queries.to_pylist()], return_inverse=True)
    return Clicks(
        day,
        photos,
        row,
        user[chosen],
        query[chosen],
        created[photos[row]] == day,
        folded,
        usable,
    )


def candidates_of(embedded: EmbeddedLogs, clicks: Clicks, settings: AnchorSettings) -> AnchorCandidates:
    """Return the candidates of both sources for the videos that were clicked on."""
    return search_of(embedded, clicks, settings).candidates(clicks.photos)


def search_of(embedded: EmbeddedLogs, clicks: Clicks, settings: AnchorSettings) -> AnchorSearch:
    """Return the indexes of both sources, of the days before those clicks."""
    return open_search(
        embedded.logs, embedded.video_vectors, embedded.query_vectors, clicks.day, settings, clicks.usable
    )


def anchor_figures(candidates: AnchorCandidates, clicks: Clicks, settings: AnchorSettings) -> dict[str, float]:
    """Return clicks, coverage (the share on videos with an anchor), anchors a video, and hit rates of a day."""
    lists = candidates.choose(settings)
    hits = _hits(lists, clicks.row, clicks)
    filled = (lists.lengths > 0)[clicks.row]
    return {
        "clicks": len(hits),
        "coverage": _share(filled),
        "anchors": round(float(lists.lengths.mean()), 2) if len(lists.lengths) else 0.0,
        "hit_rate": _share(hits),
        "hit_rate_covered": _share(hits[filled]),
        "hit_rate_new": _share(hits[clicks.new]),
    }


def personal_figures(embedded: EmbeddedLogs, clicks: Clicks, settings: UserSettings) -> dict[str, float]:
    """Return coverage (the share of clicks with personal queries) and hit rates of the personal part of a day."""
    return _personal_figures(embedded, clicks, embedded.user_histories(clicks.day).take(clicks.user), settings)


def _personal_figures(
    embedded: EmbeddedLogs, clicks: Clicks, pasts: RankedQueries, settings: UserSettings
) -> dict[str, float]:
    lists = filter_personal_rows(
        embedded.video_vectors, clicks.photos[clicks.row], pasts, embedded.query_vectors, settings
    )
    hits = _hits(lists, np.arange(len(clicks.row)), clicks)
    filled = lists.lengths > 0
    return {
        "coverage": _share(filled),
        "queries": round(float(lists.lengths.mean()), 2) if len(hits) else 0.0,
        "hit_rate": _share(hits),
        "hit_rate_covered": _share(hits[filled]),
    }


@dataclass(frozen=True, slots=True)
class Tuned:
    """The settings with the best hit rate on a day, the figures of all that were tried, and the indexes."""

    settings: AnchorSettings
    tried: list[dict[str, Any]]
    indexes: dict[str, IndexFigures]


def tune_anchors(
    embedded: EmbeddedLogs, clicks: Clicks, start: AnchorSettings, step: Callable[[], object] = lambda: None
) -> Tuned:
    """Choose the settings of anchors, one after the other: thresholds and popularity of each source alone, then w.

    Of equally good values the last is chosen, which is the highest threshold.

    Args:
        embedded: the logs with their vectors.
        clicks: of the validation day.
        start: the settings that are not tuned.
        step: called after each measurement.
    """
    tried: list[dict[str, Any]] = []
    search = search_of(embedded, clicks, start)
    searched = search.candidates(clicks.photos)

    def best(candidates: Iterable[AnchorSettings]) -> AnchorSettings:
        found = []
        for candidate in candidates:
            figures = anchor_figures(searched, clicks, candidate)
            tried.append({"settings": asdict(candidate), **figures})
            found.append((figures["hit_rate"], candidate))
            step()
        top = max(rate for rate, _ in found)
        return [candidate for rate, candidate in found if rate == top][-1]

    videos = replace(start, query_weight=0.0)
    neighbour = best(replace(videos, similarity_threshold=value) for value in NEIGHBOUR_THRESHOLDS)
    queries = replace(start, query_weight=1.0)
    popular = best(replace(queries, popularity=value, query_threshold=0.0) for value in POPULARITIES)
    nearest = best(replace(popular, query_threshold=value) for value in QUERY_THRESHOLDS)
    both = replace(nearest, similarity_threshold=neighbour.similarity_threshold)
    return Tuned(
        best(replace(both, query_weight=value) for value in QUERY_WEIGHTS), tried, search.figures(clicks.photos)
    )


TUNING_STEPS = len(NEIGHBOUR_THRESHOLDS) + len(POPULARITIES) + len(QUERY_THRESHOLDS) + len(QUERY_WEIGHTS)


def tune_personal(embedded: EmbeddedLogs, clicks: Clicks, start: UserSettings) -> tuple[UserSettings, list[Any]]:
    """Choose the highest threshold of personal queries that keeps nearly all the words that only they have.

    A clicked query is rarely equal to a past one of its viewer. It shares the viewer's brand, price or taste with them,
    which the model combines with the video (ADR 88). So what counts is the share of clicks with a word that neither the
    text nor the summary of the video has, and a personal query has. It can only fall with the threshold; what rises is
    the share of the queries that fit the video.
    """
    pasts = embedded.user_histories(clicks.day).take(clicks.user)
    nearest = _nearest_with_new_word(embedded, clicks, pasts, start)
    tried = []
    for value in PERSONAL_THRESHOLDS:
        figures = _personal_figures(embedded, clicks, pasts, replace(start, personal_threshold=value))
        tried.append({"personal_threshold": value, **figures, "word_rate": _share(nearest > value)})
    needed = _KEPT_WORDS * max(figures["word_rate"] for figures in tried)
    chosen = max(figures["personal_threshold"] for figures in tried if figures["word_rate"] >= needed)
    return replace(start, personal_threshold=chosen), tried


def _nearest_with_new_word(
    embedded: EmbeddedLogs, clicks: Clicks, pasts: RankedQueries, settings: UserSettings
) -> FloatArray:
    """Return float32[n]: the similarity of the first personal query with a new word of each click, or -1.

    A new word is one of the clicked query that neither the text nor the summary of the video has.
    """
    everything = replace(settings, personal_threshold=-1.0)
    vectors = (embedded.video_vectors, embedded.query_vectors)
    lists = filter_personal_rows(vectors[0], clicks.photos[clicks.row], pasts, vectors[1], everything)
    texts = video_texts(embedded.logs.videos.take(clicks.photos))
    known = [set(text.casefold().split()) for text in texts]
    words = [frozenset(query.casefold().split()) for query in embedded.logs.queries.to_pylist()]
    nearest = np.full(len(clicks.row), -1.0, np.float32)
    for click, (row, query) in enumerate(zip(clicks.row.tolist(), clicks.query.tolist(), strict=True)):
        new = words[query] - known[row]
        for place in range(lists.offsets[click], lists.offsets[click + 1]):
            if new & words[lists.queries[place]]:
                nearest[click] = lists.weights[place]
                break
    return nearest


def _hits(lists: RankedQueries, rows: IntArray, clicks: Clicks) -> BoolArray:
    """Return bool[n]: whether each click's query is in the list of its row."""
    size = len(clicks.folded)
    owners = np.repeat(np.arange(len(lists.lengths)), lists.lengths)
    found = owners * size + clicks.folded[lists.queries]
    return np.isin(rows * size + clicks.folded[clicks.query], found)


def _share(values: BoolArray) -> float:
    return round(float(values.mean()), 4) if len(values) else 0.0
