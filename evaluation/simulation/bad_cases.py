"""Bad cases by rule, for every query that is shown (the manual evaluation of the paper's Table 8).

irrelevant   the query names a brand, model or product type that the video has nothing to do with
             (docs/evaluation.md, wrong entities)
literal      no viewer of the shop would write it: a word is misspelled or cut off, a word is repeated, or a word that
             needs another one stands at an end
risk         the video is unsafe, or the query has a term of a policy category, on the platform's list or not
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.world.safety import TERMS
from evaluation.grounding import Shop
from evaluation.inputs import Example
from evaluation.metrics import normal_form
from evaluation.simulation.arms import Bar
from evaluation.simulation.intervals import ClusterBootstrap, Doubles, bounds, ratio
from evaluation.simulation.meanings import QueryMeanings
from evaluation.words import words_of
from evidence.safety import ProhibitedTerms

KINDS = ("irrelevant", "literal", "risk", "any")
EXAMPLES_SHOWN = 5
_NEED_ANOTHER = frozenset({"for", "under", "vs"})
_ENTITIES = ("brand", "model", "type")


@dataclass(frozen=True, slots=True)
class BadCases:
    """The bad cases of one system.

    Attributes:
        counts: float64 [N, 1 + len(KINDS)], for each impression the queries shown, and those of each kind.
        examples: some (video, query) of each kind.
    """

    counts: Doubles
    examples: Mapping[str, Sequence[tuple[str, str]]]


class BadCaseRules:
    """The rules of one shop."""

    def __init__(self, shop: Shop, meanings: QueryMeanings, unsafe: NDArray[np.bool_]) -> None:
        """Keep what the rules need.

        Args:
            shop: which entities are right for a video and its viewer.
            meanings: what the wording of the shop can produce.
            unsafe: bool[videos], the truth.
        """
        self._shop, self._meanings, self._unsafe = shop, meanings, unsafe
        self._terms = ProhibitedTerms(TERMS)

    def find(
        self,
        examples: Sequence[Example],
        videos: NDArray[np.int64],
        bars: Sequence[Bar],
        shown: NDArray[np.bool_],
    ) -> BadCases:
        """Return the bad cases of one system.

        Args:
            examples: N impressions.
            videos: int64[N].
            bars: N bars.
            shown: bool[N], which of them are shown.
        """
        counts = np.zeros((len(examples), 1 + len(KINDS)))
        found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS[:-1]}
        for row in np.flatnonzero(shown).tolist():
            example = examples[row]
            right = self._shop.right(example)
            for query in bars[row].queries:
                flags = {
                    "irrelevant": any(kind in _ENTITIES for kind in self._shop.wrong(query, right)),
                    "literal": self._is_literal_fault(normal_form(query)),
                    "risk": bool(self._unsafe[videos[row]]) or self._terms.find(query) is not None,
                }
                counts[row] += [1, *flags.values(), any(flags.values())]
                for kind, is_bad in flags.items():
                    if is_bad and len(found[kind]) < EXAMPLES_SHOWN:
                        found[kind].append((example.photo_id, query))
        return BadCases(counts, found)

    def _is_literal_fault(self, query: str) -> bool:
        if query in self._meanings:
            return False
        words = words_of(query)
        hangs = bool(words) and (words[-1] in _NEED_ANOTHER or words[0] in _NEED_ANOTHER)
        return not words or hangs or len(set(words)) < len(words) or self._shop.has_unknown_word(query)


def bad_case_report(control: BadCases, treatment: BadCases, videos: NDArray[np.int64]) -> dict[str, Any]:
    """Return the rates of both systems, and the differences in percentage points with their intervals over videos.

    `kinds` are of all shown queries. `kinds_both` are of the impressions where both systems show a bar: a system that
    shows more bars also shows harder ones.

    Args:
        control: of N impressions.
        treatment: of the same N impressions.
        videos: int64[N], the unit of the intervals. Most viewers of a video get the same bar, and the same bad cases.
    """
    bootstrap = ClusterBootstrap(videos)
    both = (control.counts[:, :1] > 0) & (treatment.counts[:, :1] > 0)  # [N, 1]
    return {
        "control_queries": int(control.counts[:, 0].sum()),
        "treatment_queries": int(treatment.counts[:, 0].sum()),
        "kinds": _rates(control.counts, treatment.counts, bootstrap),
        "both_impressions": int(both.sum()),
        "kinds_both": _rates(control.counts * both, treatment.counts * both, bootstrap),
        "examples": {
            "control": {kind: list(map(list, cases)) for kind, cases in control.examples.items()},
            "treatment": {kind: list(map(list, cases)) for kind, cases in treatment.examples.items()},
        },
    }


def _rates(control: Doubles, treatment: Doubles, bootstrap: ClusterBootstrap) -> dict[str, Any]:
    (old, old_drawn), (new, new_drawn) = (bootstrap.sums(counts) for counts in (control, treatment))
    kinds = {}
    for place, kind in enumerate(KINDS, 1):
        rates = [ratio(total[place], total[0]) for total in (old, new)]
        drawn = [ratio(each[:, place], each[:, 0]) for each in (old_drawn, new_drawn)]
        kinds[kind] = {
            "control": round(float(rates[0]), 5),
            "treatment": round(float(rates[1]), 5),
            "points": round(float(100 * (rates[1] - rates[0])), 3),
            "interval": bounds(100 * (drawn[1] - drawn[0])),
        }
    return kinds
