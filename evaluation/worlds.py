"""Everything that is measured on the held-out clicks of one shop, the own one or an unseen one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.baseline_systems import CACHED, baselines, held_out_day
from evaluation.errors import ModelError
from evaluation.grounding import Shop, entity_report
from evaluation.inputs import Example, read_examples
from evaluation.judging import Shown
from evaluation.novelty import Seen, novelty_masks
from evaluation.predict import BundlePredictor
from evaluation.reading import reading_masks, reading_report
from evaluation.relevance import relevance_report, similarity
from evaluation.shop_logs import ShopLogs
from evaluation.slices import slice_report, slices
from evaluation.systems import (
    Outcome,
    System,
    run_system,
    summarize,
    summarize_difference,
    summarize_slices,
)
from evaluation.zero_shot import ZeroShot
from evidence.embedder import Embedder

COMPARED_VIEWS = ("as_served", "decontaminated")
"""The views in which every bundle is compared with every other system."""


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
        folder: of its examples; the baselines learn from its earlier days.
        embedder: of the ANN baselines, the cascade, and BAS.
        truth: the folder `truth` of the simulated shop, None where there is none.
        logs: its log tables, None where they are not given; the cascade and some slices need them.
        title_only: whether the bundles are also measured on the title alone.
    """

    folder: Path
    embedder: Embedder
    truth: Path | None = None
    logs: ShopLogs | None = None
    title_only: bool = False


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The held-out clicks of a shop.

    Attributes:
        split: which held-out day they are of.
        examples: the clicks.
        day: that day, None without log tables.
        shop: its truth, None without one.
    """

    split: str
    examples: list[Example]
    day: int | None
    shop: Shop | None


def read_held_out(world: World, draw: Draw) -> HeldOut:
    """Return the clicks to measure on, so that a wrong folder of any shop is found before hours of measuring.

    Args:
        world: the shop.
        draw: which clicks are measured.

    Raises:
        InputError: the folder has no such examples, or the truth is of another shop.
        WorldError: the truth cannot be read (demo.errors).
    """
    path = world.folder / f"examples_{draw.split}.parquet"
    examples = read_examples(path, kind="click", limit=draw.limit, seed=draw.seed)
    shop = Shop(world.truth) if world.truth is not None else None
    if shop is not None:
        shop.check(examples)
    return HeldOut(draw.split, examples, held_out_day(path) if world.logs is not None else None, shop)


def measure_world(
    world: World,
    held_out: HeldOut,
    predictors: Mapping[str, BundlePredictor],
    seen: Seen,
    zero_shot: ZeroShot | None = None,
) -> tuple[dict[str, Any], Shown]:
    """Return what the bundles and the baselines reach on one shop, and what they show.

    Args:
        world: the shop.
        held_out: its clicks.
        predictors: the bundles by name.
        seen: what the training of the bundles has seen.
        zero_shot: a language model that is measured too, None for none.

    Returns:
        A report: `embedder`, its version; `examples` and `videos`, their numbers; `systems`; `differences` by view;
        `slices`; `relevance`; `new_targets`, slices of each system; `reading`, one report for each bundle; `entities`,
        None without a truth; `not_measured`, the language models that could not be asked, and why.
        And what is shown as served, for a judge.

    Raises:
        InputError: the clicks of earlier days, or a log table, cannot be read.
    """
    examples = held_out.examples
    systems = [
        *baselines(
            world.folder,
            held_out.split,
            world.embedder,
            popularity=world.embedder.tuned.get("popularity", 0.0),
            logs=world.logs,
            zero_shot=zero_shot,
        ),
        *_bundles(world, predictors),
    ]
    outcomes: dict[str, dict[str, Outcome]] = {}
    not_measured: dict[str, str] = {}
    for system in systems:
        try:
            outcomes[system.name] = run_system(system, examples)
        except ModelError as error:  # a language model failed; hours of other systems may be measured
            not_measured[system.name] = str(error)
    served = {name: views["as_served"] for name, views in outcomes.items()}
    photos = [example.photo_id for example in examples]
    new = np.array([example.photo_new for example in examples], bool)
    new_targets = novelty_masks(examples, seen)
    shown = Shown(examples, {name: outcome.predictions for name, outcome in served.items()})
    report = {
        "embedder": world.embedder.version,
        "examples": len(examples),
        "videos": len(set(photos)),
        "systems": {
            name: {view: summarize(outcome, photos, new) for view, outcome in views.items()}
            for name, views in outcomes.items()
        },
        "differences": {
            view: {
                f"{name} - {other}": summarize_difference(outcomes[name][view], outcomes[other][view], photos, new)
                for name in predictors
                for other in outcomes
                if other != name
            }
            for view in COMPARED_VIEWS
        },
        "slices": slice_report(served, slices(examples, world.logs, held_out.day), photos, list(predictors)),
        "relevance": {"bas": _bas(shown, photos, world.embedder)},
        "new_targets": {name: summarize_slices(outcome, new_targets) for name, outcome in served.items()},
        "reading": {name: _reading(name, predictor, examples, served) for name, predictor in predictors.items()},
        "entities": entity_report(held_out.shop, examples, shown.queries) if held_out.shop is not None else None,
        "not_measured": not_measured,
    }
    return report, shown


def _bundles(world: World, predictors: Mapping[str, BundlePredictor]) -> list[System]:
    systems = []
    for name, predictor in predictors.items():
        if world.title_only:
            systems.append(System(f"{name}, title only", predictor.predict_title_only))
        systems.append(System(name, predictor.predict, ("anchors", "histories", "personal")))
    return systems


def _bas(shown: Shown, photos: Sequence[str], embedder: Embedder) -> dict[str, Any]:
    return relevance_report(
        {name: similarity(shown.examples, queries, embedder) for name, queries in shown.queries.items()}, photos
    )


def _reading(
    name: str, predictor: BundlePredictor, examples: Sequence[Example], served: Mapping[str, Outcome]
) -> dict[str, Any]:
    masks = reading_masks(
        [example.target for example in examples], predictor.sources(examples), served[CACHED].predictions
    )
    photos = [example.photo_id for example in examples]
    return reading_report(masks, {system: served[system].hits for system in (name, CACHED)}, photos)
