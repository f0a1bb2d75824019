"""Everything that is measured on the held-out clicks of one shop, the own one or an unseen one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.baselines import CopyEvidence, MostPopular, TitleNeighbours
from evaluation.grounding import Shop, entity_report
from evaluation.inputs import Example, TitledQuery, read_examples, read_titled_queries
from evaluation.novelty import TRAINING_FILE, Seen, novelty_masks
from evaluation.predict import BundlePredictor
from evaluation.reading import reading_masks, reading_report
from evaluation.systems import (
    Outcome,
    System,
    run_system,
    slices,
    summarize,
    summarize_difference,
    summarize_slices,
)

CACHED = "cached queries"

Outcomes = Mapping[str, Mapping[str, Outcome]]
"""Outcomes by the name of the system and the view."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Which held-out clicks are measured: the split, the most of them (None for all), the seed of the draw."""

    split: str = "test"
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """A shop to measure on.

    Attributes:
        folder: of its examples; the baselines learn from its training split.
        truth: the folder `truth` of the simulated shop, None where there is none.
        title_only: whether the bundles are also measured on the title alone.
    """

    folder: Path
    truth: Path | None = None
    title_only: bool = False


def measure_world(world: World, predictors: Mapping[str, BundlePredictor], seen: Seen, draw: Draw) -> dict[str, Any]:
    """Return what the bundles and the baselines reach on one shop.

    Args:
        world: the shop.
        predictors: the bundles by name.
        seen: what the training of the bundles has seen.
        draw: which clicks are measured.

    Returns:
        `examples` and `videos`, their numbers; `systems`, `differences`; `new_targets`, slices of each system;
        `reading`, one report for each bundle; `entities`, None without a truth.

    Raises:
        InputError: the folder has no such examples, or the truth is of another shop.
        WorldError: the truth cannot be read (demo.errors).
    """
    examples = read_examples(
        world.folder / f"examples_{draw.split}.parquet", kind="click", limit=draw.limit, seed=draw.seed
    )
    shop = Shop(world.truth) if world.truth is not None else None
    if shop is not None:
        shop.check(examples)
    systems = [*_baselines(read_titled_queries(world.folder / TRAINING_FILE)), *_bundles(world, predictors)]
    outcomes = {system.name: run_system(system, examples) for system in systems}
    photos = [example.photo_id for example in examples]
    masks, new = slices(examples), novelty_masks(examples, seen)
    return {
        "examples": len(examples),
        "videos": len(set(photos)),
        "systems": {
            name: {
                **{view: summarize(outcome, photos) for view, outcome in views.items()},
                "slices": summarize_slices(views["as_served"], masks),
            }
            for name, views in outcomes.items()
        },
        "differences": {
            f"{name} - {other}": summarize_difference(
                outcomes[name]["decontaminated"], outcomes[other]["decontaminated"], photos
            )
            for name in predictors
            for other in outcomes
            if other != name
        },
        "new_targets": {name: summarize_slices(views["as_served"], new) for name, views in outcomes.items()},
        "reading": {name: _reading(name, predictor, examples, outcomes) for name, predictor in predictors.items()},
        "entities": entity_report(shop, examples, _shown(outcomes)) if shop is not None else None,
    }


def _baselines(training: list[TitledQuery]) -> list[System]:
    return [
        System("most popular", MostPopular(pair.query for pair in training).predict),
        System("title neighbours", TitleNeighbours(training).predict),
        System(CACHED, CopyEvidence().predict, ("anchors", "histories")),
    ]


def _bundles(world: World, predictors: Mapping[str, BundlePredictor]) -> list[System]:
    systems = []
    for name, predictor in predictors.items():
        if world.title_only:
            systems.append(System(f"{name}, title only", predictor.predict_title_only))
        systems.append(System(name, predictor.predict, ("anchors", "histories", "personal")))
    return systems


def _reading(name: str, predictor: BundlePredictor, examples: Sequence[Example], outcomes: Outcomes) -> dict[str, Any]:
    served = {system: outcomes[system]["as_served"] for system in (name, CACHED)}
    masks = reading_masks(
        [example.target for example in examples], predictor.sources(examples), served[CACHED].predictions
    )
    photos = [example.photo_id for example in examples]
    return reading_report(masks, {system: outcome.hits for system, outcome in served.items()}, photos)


def _shown(outcomes: Outcomes) -> dict[str, list[list[str]]]:
    return {name: views["as_served"].predictions for name, views in outcomes.items()}
