"""The cascade: recall, relevance filter, CTR ranker, risk filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.cascade.features import FeatureMaker
from evaluation.cascade.ranker import Ranker, train_ranker
from evaluation.cascade.recall import Recall
from evaluation.errors import InputError
from evaluation.inputs import Example, examples_of_table, read_parquet
from evaluation.metrics import CUTOFF, normal_form
from evaluation.nearest import TextEmbedder
from evaluation.past_clicks import PastClicks, read_past_clicks
from evaluation.shop_logs import ShopLogs
from evidence.rows import TEXT_FIELDS

RANKER_CLICKS = 12_000
"""The most clicks that the ranker learns from."""
_EXAMPLES_AT_ONCE = 2_000

Ranked = list[tuple[str, float]]
"""Queries with their probabilities, best first."""


class Cascade:
    """The cascade as of one day."""

    def __init__(self, recall: Recall, features: FeatureMaker, ranker: Ranker, logs: ShopLogs, day: int) -> None:
        """Keep the parts; `logs` gives the rules and the reviews of the risk filter, as known before `day`."""
        self._recall, self._features, self._ranker = recall, features, ranker
        self._terms = logs.terms
        self._unsafe = set(logs.reviewed_unsafe(day))
        self._risky_query: dict[str, bool] = {}
        self._risky_video: dict[str, bool] = {}

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return up to eight queries for each example; none for a video that the risk filter holds back."""
        return [[query for query, _ in answer[:CUTOFF]] for answer in self.rank(examples)]

    def rank(self, examples: Sequence[Example]) -> list[Ranked]:
        """Return all candidates that pass the filters, with P(the viewer wants it), best first."""
        answers: list[Ranked] = []
        for start in range(0, len(examples), _EXAMPLES_AT_ONCE):
            answers += self._rank(examples[start : start + _EXAMPLES_AT_ONCE])
        return answers

    def _rank(self, examples: Sequence[Example]) -> list[Ranked]:
        rows = self._features.rows(examples, self._recall.candidates(examples))
        chance = self._ranker.probabilities(rows.features)
        relevant = self._ranker.relevant(rows.features)
        answers: list[Ranked] = [[] for _ in examples]
        for row in np.lexsort((-chance, rows.owner)).tolist():
            owner, query = int(rows.owner[row]), rows.queries[row]
            if relevant[row] and not self._is_risky(query) and not self._is_held_back(examples[owner]):
                answers[owner].append((query, float(chance[row])))
        return answers

    def _is_risky(self, query: str) -> bool:
        if query not in self._risky_query:
            self._risky_query[query] = self._terms.find(query) is not None
        return self._risky_query[query]

    def _is_held_back(self, example: Example) -> bool:
        """Return whether a rule or a review says that the video is unsafe."""
        photo = example.photo_id
        if photo not in self._risky_video:
            texts = [*(getattr(example.raw, name) for name in TEXT_FIELDS), example.summary]
            self._risky_video[photo] = photo in self._unsafe or any(
                self._terms.find(text) is not None for text in texts if text
            )
        return self._risky_video[photo]


@dataclass(frozen=True, slots=True)
class CascadeTraining:
    """What a cascade is made from: one training, and indexes as of any later day.

    Attributes:
        past: clicks of the days that may be indexed.
        ranker: trained on the last training day.
        ranker_day: that day.
        embedder: of videos and queries.
        logs: the log tables of the shop.
    """

    past: PastClicks
    ranker: Ranker
    ranker_day: int
    embedder: TextEmbedder
    logs: ShopLogs

    def as_of(self, day: int) -> Cascade:
        """Return the cascade that a job at the start of `day` would have made.

        Raises:
            InputError: the ranker learnt from that day or a later one.
        """
        if day <= self.ranker_day:
            raise InputError(
                f"the cascade learnt from the clicks of day {self.ranker_day} and cannot answer for day {day}; take "
                f"later days, or examples of logs that end sooner"
            )
        recall = Recall(self.past.before(day), self.logs.category)
        features = FeatureMaker(self.embedder, recall.clicks, self.logs.click_rates(day))
        return Cascade(recall, features, self.ranker, self.logs, day)


def train_cascade(folder: Path, logs: ShopLogs, embedder: TextEmbedder, seed: int = 0) -> CascadeTraining:
    """Train the cascade on the examples of a shop.

    The ranker learns from the clicks of the last training day, with indexes of the days before it. Indexes may hold the
    days of the training and of the validation split.

    Args:
        folder: made by `onebar offline examples`; the test split is not read.
        logs: the tables that the examples were made from.
        embedder: of videos and queries.
        seed: of the choice of clicks, and of the training.

    Raises:
        InputError: a file is missing or not of the documented form, or there are too few days.
    """
    past = read_past_clicks(folder / "examples_train.parquet", folder / "examples_valid.parquet")
    table = read_parquet(folder / "examples_train.parquet")
    clicks = table.filter(pc.equal(table["kind"], "click"))
    day = int(pc.max(clicks["day"]).as_py())
    clicks = clicks.filter(pc.equal(clicks["day"], day))
    chosen = np.sort(np.random.default_rng(seed).permutation(clicks.num_rows)[:RANKER_CLICKS])
    examples = examples_of_table(clicks.take(pa.array(chosen)))
    recall = Recall(past.before(day), logs.category)
    features = FeatureMaker(embedder, recall.clicks, logs.click_rates(day))
    rows = features.rows(examples, recall.candidates(examples))
    ranker = train_ranker(rows, [normal_form(example.target) for example in examples], seed)
    return CascadeTraining(past, ranker, day, embedder, logs)
