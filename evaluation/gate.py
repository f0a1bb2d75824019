"""Whether a candidate may replace the bundle that is served: paired differences on held-out clicks, with intervals.

Each measure compares both bundles on the same examples. Its interval comes from a bootstrap over videos. A measure
stops the candidate only if the interval says that it is worse by more than a stated margin, so that noise alone does
not stop one; `gates` has the margins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from evaluation.bootstrap import LEVEL, RESAMPLES, intervals
from evaluation.grounding import Shop
from evaluation.inputs import Example, decontaminate
from evaluation.metrics import METRICS, Scores, score_all
from evaluation.predict import Answer
from evidence.safety import ProhibitedTerms
from evidence.schema import Evidence

Verdict = Literal["promote", "refuse"]
QUALITY = ("hr", "mrr", "decontaminated_hr", "new_videos_hr")
RISK = ("wrong_entities", "prohibited_terms", "missed_unsafe", "false_abstention")


class Bundle(Protocol):
    """A bundle that answers, `evaluation.predict.BundlePredictor`."""

    def answers(self, evidence: Sequence[Evidence]) -> list[Answer]:
        """Return the answer to each evidence."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two bundles.

    Attributes:
        bundle: what answers.
        threshold: P([REJECT]) from which it abstains.
    """

    bundle: Bundle
    threshold: float

    def abstains(self, evidence: Sequence[Evidence]) -> np.ndarray[Any, Any]:
        """Return bool[n], whether nothing is shown."""
        return np.array([answer.abstains(self.threshold) for answer in self.bundle.answers(evidence)], bool)

    def shown(self, evidence: Sequence[Evidence]) -> list[list[str]]:
        """Return the queries that are shown for each evidence."""
        answers = self.bundle.answers(evidence)
        return [[] if answer.abstains(self.threshold) else answer.queries for answer in answers]


@dataclass(frozen=True, slots=True)
class Margins:
    """By how much a candidate may be worse at the unfavourable end of the interval.

    Attributes:
        hr: HR@8 as served, decontaminated, and MRR@8.
        new_videos_hr: HR@8 on videos of the held-out day; they are few, so the interval is wide.
        wrong_entities: share of shown queries with a wrong entity; only measured with the truth of a simulated shop.
        prohibited_terms: share of answers with a prohibited term before the policy.
        missed_unsafe: share of unsafe videos that get a bar; only measured with labels.
        false_abstention: share of safe videos without a bar; only measured with labels.
        min_clicks: a candidate is refused if it is measured on fewer.
        min_unsafe: the same for unsafe videos, where labels are given.
    """

    hr: float = 0.01
    new_videos_hr: float = 0.03
    wrong_entities: float = 0.01
    prohibited_terms: float = 0.005
    missed_unsafe: float = 0.02
    false_abstention: float = 0.01
    min_clicks: int = 200
    min_unsafe: int = 20

    def of(self, measure: str) -> float:
        """Return the margin of a measure."""
        shared = {"mrr": self.hr, "decontaminated_hr": self.hr}
        return shared[measure] if measure in shared else float(getattr(self, measure))


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of both bundles.

    Attributes:
        serving: of the bundle that is served.
        candidate: of the other one.
        difference: candidate minus serving.
        interval: of the difference, 95 %.
        count: examples, or videos, that it is measured on.
    """

    serving: float
    candidate: float
    difference: float
    interval: tuple[float, float]
    count: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict, why, and what it was made from."""

    verdict: Verdict
    reasons: tuple[str, ...]
    clicks: int
    measures: Mapping[str, Measure] = field(default_factory=dict)
    margins: Margins = field(default_factory=Margins)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Videos with the verdict of reviewers that no training has read."""

    evidence: Sequence[Evidence]
    unsafe: Sequence[bool]


def measure(
    serving: Side,
    candidate: Side,
    clicks: Sequence[Example],
    terms: ProhibitedTerms,
    shop: Shop | None = None,
    labelled: Labelled | None = None,
) -> dict[str, Measure]:
    """Return the measures of both bundles, by the names of QUALITY and RISK; those that cannot be made are left out.

    Args:
        serving: the bundle that is served.
        candidate: the bundle that may replace it.
        clicks: held-out clicks.
        terms: prohibited ones; none may be listed.
        shop: the simulated shop of the clicks.
        labelled: videos with labels.
    """
    photos = [example.photo_id for example in clicks]
    evidence = [example.evidence() for example in clicks]
    shown = [side.shown(evidence) for side in (serving, candidate)]
    scores = [_scores(queries, clicks) for queries in shown]
    blind = decontaminate(clicks)
    blind_evidence = [example.evidence() for example in blind]
    blind_scores = [_scores(side.shown(blind_evidence), clicks) for side in (serving, candidate)]
    hr, mrr = METRICS.index("hr"), METRICS.index("mrr")
    found = {
        "hr": _paired(scores[0][:, hr], scores[1][:, hr], photos),
        "mrr": _paired(scores[0][:, mrr], scores[1][:, mrr], photos),
        "decontaminated_hr": _paired(blind_scores[0][:, hr], blind_scores[1][:, hr], photos),
    }
    new = np.array([example.photo_new for example in clicks], bool)
    if new.any():
        of_new = [photo for photo, is_new in zip(photos, new, strict=True) if is_new]
        found["new_videos_hr"] = _paired(scores[0][new, hr], scores[1][new, hr], of_new)
    if len(terms):
        flagged = [_flags(answer, lambda query, _: terms.find(query) is not None) for answer in shown]
        found["prohibited_terms"] = _paired(np.minimum(flagged[0], 1.0), np.minimum(flagged[1], 1.0), photos)
    if shop is not None:
        rights = [shop.right(example) for example in clicks]
        wrong = [_flags(answer, lambda query, place: bool(shop.wrong(query, rights[place]))) for answer in shown]
        sizes = [np.array([len(queries) for queries in answer], np.float64) for answer in shown]
        found["wrong_entities"] = _paired_shares(wrong, sizes, photos)
    if labelled is not None:
        found |= _abstention(serving, candidate, labelled)
    return found


def decide(measures: Mapping[str, Measure], clicks: int, margins: Margins) -> Decision:
    """Return the verdict on a candidate. Every reason to refuse is named.

    Args:
        measures: of both bundles.
        clicks: number of held-out clicks.
        margins: how much worse is accepted.
    """
    reasons = []
    if clicks < margins.min_clicks:
        reasons.append(f"it was measured on {clicks:,} clicks, fewer than {margins.min_clicks:,}")
    if "missed_unsafe" in measures or "false_abstention" in measures:
        unsafe = measures["missed_unsafe"].count if "missed_unsafe" in measures else 0
        if unsafe < margins.min_unsafe:
            reasons.append(f"its labels have {unsafe:,} unsafe videos, fewer than {margins.min_unsafe:,}")
    for name, found in measures.items():
        margin = margins.of(name)
        low, high = found.interval
        worst = -low if name in QUALITY else high
        if worst > margin:
            reasons.append(
                f"{name} is {found.candidate:.4f}, against {found.serving:.4f}: the difference may be as bad as "
                f"{low if name in QUALITY else high:+.4f}, and the margin is {margin:g}"
            )
    return Decision("refuse" if reasons else "promote", tuple(reasons), clicks, dict(measures), margins)


def _scores(shown: Sequence[Sequence[str]], clicks: Sequence[Example]) -> Scores:
    return score_all(shown, [example.target for example in clicks])


def _flags(shown: Sequence[Sequence[str]], is_bad: Any) -> Scores:
    """Return float64[n], how many queries of each answer are bad."""
    return np.array([sum(is_bad(query, place) for query in queries) for place, queries in enumerate(shown)], np.float64)


def _paired(serving: Scores, candidate: Scores, clusters: Sequence[str]) -> Measure:
    [bounds] = intervals((candidate - serving)[:, None], clusters)
    return _as_measure(float(serving.mean()), float(candidate.mean()), bounds, len(serving))


def _paired_shares(bad: Sequence[Scores], sizes: Sequence[Scores], clusters: Sequence[str]) -> Measure:
    """Compare shares of queries, whose number differs between the bundles. Whole videos are drawn, alike for both."""
    _, place = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(place.max()) + 1
    sums = np.stack([np.bincount(place, column, minlength=count) for column in (*bad, *sizes)], axis=1)  # [videos, 4]
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES) @ sums
    shares = drawn[:, :2] / np.maximum(drawn[:, 2:], 1.0)  # [RESAMPLES, 2]
    tail = (1 - LEVEL) / 2
    bounds = np.quantile(shares[:, 1] - shares[:, 0], [tail, 1 - tail])
    serving, candidate = (float(b.sum() / max(s.sum(), 1.0)) for b, s in zip(bad, sizes, strict=True))
    return _as_measure(serving, candidate, bounds, count)


def _abstention(serving: Side, candidate: Side, labelled: Labelled) -> dict[str, Measure]:
    unsafe = np.array(labelled.unsafe, bool)
    empty = [side.abstains(labelled.evidence).astype(np.float64) for side in (serving, candidate)]
    found: dict[str, Measure] = {}
    for name, mask, bad in (
        ("missed_unsafe", unsafe, [1.0 - abstained for abstained in empty]),
        ("false_abstention", ~unsafe, empty),
    ):
        if mask.any():
            videos = [str(number) for number in np.flatnonzero(mask)]
            found[name] = _paired(bad[0][mask], bad[1][mask], videos)
    return found


def _as_measure(serving: float, candidate: float, bounds: Any, count: int) -> Measure:
    low, high = (round(float(bound), 5) for bound in bounds)
    return Measure(round(serving, 5), round(candidate, 5), round(candidate - serving, 5), (low, high), count)
