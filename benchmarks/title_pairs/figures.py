"""Hit rates by group of queries, paired differences, and reading recall: the share of readable targets answered.

Groups of the dev pairs, by their target:
- `all`: every pair;
- `seen`: the target is the target of a training pair;
- `held_out`: the target was held out of training;
- `other`: the rest, queries that only the dev split has, or only the pairs of validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.title_pairs.pairs import Split
from evaluation.bootstrap import estimate, intervals
from evaluation.inputs import TitledQuery
from evaluation.metrics import METRICS, normal_form, score_all

NAMES = {"hr": "hr@8", "mrr": "mrr@8", "ed_hr": "within_two_edits@8"}
"""Reported metrics. hr@8 is the share whose target is generated exactly."""

Mask = npt.NDArray[np.bool_]


def group_masks(pairs: Sequence[TitledQuery], split: Split) -> dict[str, Mask]:
    """Return the masks bool [n] of the groups over the dev pairs."""
    targets = {pair.query for pair in split.train}
    seen = np.array([pair.query in targets for pair in pairs], bool)
    held_out = np.array([pair.query in split.held_out for pair in pairs], bool)
    return {"all": np.ones(len(pairs), bool), "seen": seen, "held_out": held_out, "other": ~seen & ~held_out}


def hit_rates(
    pairs: Sequence[TitledQuery], systems: dict[str, list[list[str]]], groups: dict[str, Mask]
) -> dict[str, Any]:
    """Return size and metrics of each system by group, with 95 % intervals over items; empty groups have no metrics.

    Args:
        pairs: the dev pairs.
        systems: the queries for each pair, by the name of the system.
        groups: masks over the pairs.
    """
    scores = {name: score_all(answers, [pair.query for pair in pairs]) for name, answers in systems.items()}
    items = np.array([pair.item for pair in pairs])
    found: dict[str, Any] = {}
    for group, mask in groups.items():
        found[group] = {"pairs": int(mask.sum())}
        if not mask.any():
            continue
        for name, values in scores.items():
            means, bounds = values[mask].mean(axis=0), intervals(values[mask], items[mask].tolist())
            found[group][name] = {
                label: {"mean": round(float(means[column]), 4), "interval": bounds[column].round(4).tolist()}
                for metric, label in NAMES.items()
                for column in [METRICS.index(metric)]
            }
    return found


def paired_differences(
    pairs: Sequence[TitledQuery],
    generated: Sequence[Sequence[str]],
    retrieved: dict[str, list[list[str]]],
    groups: dict[str, Mask],
) -> dict[str, Any]:
    """Return the generator's HR@8 minus that of each retrieval system on the same pairs, by group.

    Args:
        pairs: the dev pairs.
        generated: the queries of the generator.
        retrieved: those of each retrieval system, by its name.
        groups: masks over the pairs.

    Returns:
        `best_retrieval`, the name of the system with the highest HR@8 on all pairs; then for each group the difference
        to each system, with a 95 % interval over items.
    """
    wanted = [pair.query for pair in pairs]
    items = np.array([pair.item for pair in pairs])
    column = METRICS.index("hr")
    generator = score_all(generated, wanted)[:, column]
    hits = {name: score_all(answers, wanted)[:, column] for name, answers in retrieved.items()}
    found: dict[str, Any] = {"best_retrieval": max(hits, key=lambda name: float(hits[name].mean()))}
    for group, mask in groups.items():
        own = items[mask].tolist()
        found[group] = {name: estimate(generator[mask] - values[mask], own) for name, values in hits.items()}
    return found


def reading_recall(
    pairs: Sequence[TitledQuery],
    readable: Sequence[frozenset[str]],
    generated: Sequence[Sequence[str]],
    retrieval: str,
    baseline: Sequence[Sequence[str]],
    groups: dict[str, Mask],
) -> dict[str, Any]:
    """Return, by group, how many targets stand in the source, and the share of them that each system answers.

    Args:
        pairs: the dev pairs.
        readable: the anchors in the source of each pair, as normal forms.
        generated: the queries of the generator.
        retrieval: the name of the system whose queries the anchors are.
        baseline: the first eight anchors.
        groups: masks over the pairs.

    Returns:
        For each group `in_source`, its share, and `generator` and the retrieval system among them; `beyond_eight`
        counts the targets that stand in the source behind the first eight anchors, where retrieval answers none. A
        share of no pairs is None.
    """
    wanted = [pair.query for pair in pairs]
    can_read = np.array([query in entries for query, entries in zip(wanted, readable, strict=True)], bool)
    by_generator, by_baseline = (
        np.array([query in map(normal_form, answer) for query, answer in zip(wanted, answers, strict=True)], bool)
        for answers in (generated, baseline)
    )
    found = {}
    for group, mask in groups.items():
        beyond = can_read & mask & ~by_baseline
        found[group] = {
            "in_source": int((can_read & mask).sum()),
            "share": _share(can_read, mask),
            "generator": _share(by_generator, can_read & mask),
            retrieval: _share(by_baseline, can_read & mask),
            "beyond_eight": {"in_source": int(beyond.sum()), "generator": _share(by_generator, beyond)},
        }
    return found


def _share(values: Mask, among: Mask) -> float | None:
    return round(float(values[among].mean()), 4) if among.any() else None
