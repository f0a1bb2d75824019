"""Recall: the candidates of an example, from five sources.

histories   queries issued on this video, as cached
anchors     queries of similar videos, found with the embedder, as cached
personal    past queries of the viewer that resemble the video
titles      queries of the videos with the nearest titles (TF-IDF)
category    the most clicked queries of the video's category
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.baselines import TitleNeighbours
from evaluation.inputs import Example
from evaluation.metrics import normal_form
from evaluation.past_clicks import PastClicks

SOURCES = ("histories", "anchors", "personal", "titles", "category")
WIDTH = 20
"""The most candidates of one source."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of one example, in the order of the sources, without repetitions.

    Attributes:
        ranks: by normal form, the rank in each source from 1 on; 0 where the source does not have it.
    """

    ranks: Mapping[str, tuple[int, ...]]


class Recall:
    """The five sources as of one day."""

    def __init__(self, past: PastClicks, category_of: Mapping[str, str]) -> None:
        """Index the clicks of earlier days.

        Args:
            past: only days before the one that is answered for.
            category_of: video to category.
        """
        self._titles = TitleNeighbours(past.pairs)
        self._category_of = category_of
        clicks: dict[str, Counter[str]] = {}
        self.clicks: Counter[str] = Counter()
        for photo, pair in zip(past.photo, past.pairs, strict=True):
            form = normal_form(pair.query)
            self.clicks[form] += 1
            clicks.setdefault(category_of.get(photo, ""), Counter())[form] += 1
        self._popular = {
            category: sorted(counts, key=lambda query: (-counts[query], query))[:WIDTH]
            for category, counts in clicks.items()
        }

    def candidates(self, examples: Sequence[Example]) -> list[Candidates]:
        """Return the candidates of each example."""
        titles = self._titles.predict_titles([example.title for example in examples], count=WIDTH)
        return [self._merged(example, nearest) for example, nearest in zip(examples, titles, strict=True)]

    def _merged(self, example: Example, nearest: Sequence[str]) -> Candidates:
        lists = (
            example.histories,
            example.anchors,
            example.personal,
            nearest,
            self._popular.get(self._category_of.get(example.photo_id, ""), ()),
        )
        ranks: dict[str, list[int]] = {}
        for source, queries in enumerate(lists):
            for rank, query in enumerate(queries[:WIDTH], 1):
                form = normal_form(query)
                if form:
                    places = ranks.setdefault(form, [0] * len(SOURCES))
                    places[source] = places[source] or rank
        return Candidates({query: tuple(places) for query, places in ranks.items()})
