"""What all variants of a run have in common, and the `onebar train` commands of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.ingredients.variants import RECIPE, Variant
from evaluation.errors import InputError
from training.cached_arrays import file_hash
from training.config import PretrainConfig, SftConfig, load_config

FIGURES = ("hr@8", "decontaminated", "mrr@8", "loss")
"""Of each shop. `decontaminated` is HR@8 of that view (docs/evaluation.md), of as many other clicks."""

_EVALUATION = ("validation.click_examples=128", "validation.reject_examples=64")
_UNTIL_THE_TIME_IS_UP = ("optim.epochs=1000", "validation.patience=1000000")


@dataclass(frozen=True, slots=True)
class Plan:
    """What all variants of a run have in common.

    Attributes:
        work: one folder for each variant.
        shops: folders of examples to train on.
        unseen: folders of examples to test on, with different names.
        validate_on: folder of examples whose validation day gives the learning curve.
        tokenizer: tokenizer.json of the new models.
        logs: log tables of one shop, for the tokenizer of `own-tokenizer`.
        minutes: of training, for each variant.
        every_steps: steps between the points of a learning curve.
        clicks: of each shop that is measured.
        threads: of each training process.
        seed: of training and of all samples.
        overrides: `section.key=value`, for every variant.
    """

    work: Path
    shops: tuple[Path, ...]
    unseen: tuple[Path, ...]
    validate_on: Path
    tokenizer: Path
    logs: Path | None
    minutes: float
    every_steps: int
    clicks: int
    threads: int
    seed: int
    overrides: tuple[str, ...] = ()

    def training_facts(self) -> dict[str, Any]:
        """Return what the weights of a variant depend on, as plain values without paths.

        Raises:
            InputError: a file is missing.
        """
        return {
            "shops": {shop.name: _hash(shop / "examples_train.parquet") for shop in self.shops},
            "validate_on": {self.validate_on.name: _hash(self.validate_on / "examples_valid.parquet")},
            "tokenizer": _hash(self.tokenizer),
            "logs": self.logs.name if self.logs else None,
            "minutes": self.minutes,
            "every_steps": self.every_steps,
            "threads": self.threads,
            "seed": self.seed,
            "overrides": list(self.overrides),
        }

    def measuring_facts(self) -> dict[str, Any]:
        """Return what the figures of a trained variant depend on, as plain values without paths.

        Raises:
            InputError: a file is missing.
        """
        return {
            "own": {self.shops[0].name: _hash(self.shops[0] / "examples_valid.parquet")},
            "unseen": {shop.name: _hash(shop / "examples_test.parquet") for shop in self.unseen},
            "clicks": self.clicks,
            "figures": list(FIGURES),
        }


def _hash(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path} is missing; make examples with `onebar offline examples`")
    return file_hash(path)


def stage_1_settings(variant: Variant, plan: Plan) -> tuple[str, ...]:
    """Return the overrides of Stage I over RECIPE; later ones win, so the variant's own change always holds."""
    return (
        f"optim.max_minutes={_minutes(variant, plan)}",
        *_UNTIL_THE_TIME_IS_UP,
        *_EVALUATION,
        f"validation.every_steps={plan.every_steps}",
        *_common(plan, SftConfig),
        *variant.overrides,
    )


def stage_0_settings(variant: Variant, plan: Plan) -> tuple[str, ...]:
    """Return the overrides of Stage 0 over training/configs/pretrain.yaml."""
    return (f"optim.max_minutes={_minutes(variant, plan)}", *_common(plan, PretrainConfig))


def _minutes(variant: Variant, plan: Plan) -> float:
    return plan.minutes / 2 if variant.stage_0_first else plan.minutes


def _common(plan: Plan, stage: type[SftConfig] | type[PretrainConfig]) -> Iterator[str]:
    yield f"optim.seed={plan.seed}"
    yield f"runtime.threads={plan.threads}"
    other = PretrainConfig if stage is SftConfig else SftConfig
    has, other_has = ({field.name for field in fields(kind)} for kind in (stage, other))
    for override in plan.overrides:
        section = override.partition("=")[0].split(".")[0]
        # A section that no stage has goes to Stage I, which refuses it.
        if section in has or (stage is SftConfig and section not in other_has):
            yield override


def check_settings(variants: Sequence[Variant], plan: Plan) -> None:
    """Refuse settings before anything is trained.

    Raises:
        ConfigError: an override cannot be used.
    """
    for variant in variants:
        load_config(SftConfig, RECIPE, stage_1_settings(variant, plan))
        if variant.stage_0_first:
            load_config(PretrainConfig, RECIPE.parent / "pretrain.yaml", stage_0_settings(variant, plan))


def commands(variant: Variant, plan: Plan) -> Iterator[list[str]]:
    """Yield the arguments of `onebar` that train a variant; its checkpoint is then in its folder.

    Commands that were run before can be run again: an interrupted stage continues, a finished one ends at once.
    """
    folder = plan.work / variant.name
    shops = plan.shops[:1] if variant.first_shop_only else plan.shops
    start = ["--tokenizer", str(plan.tokenizer)]
    if variant.own_tokenizer:
        own = folder / "tokenizer.json"
        yield ["train", "tokenizer", str(plan.logs), str(own)]
        start = ["--tokenizer", str(own)]
    if variant.stage_0_first:
        pretrained = folder / "pretrained"
        settings = _as_options(stage_0_settings(variant, plan))
        yield ["train", "pretrain", str(shops[0]), str(pretrained), *start, "--resume", *settings]
        start = ["--init-from", str(pretrained)]
    yield [
        *("train", "sft", *map(str, shops), str(folder / "checkpoint"), "--config", str(RECIPE), *start, "--resume"),
        *("--validate-on", str(plan.validate_on)),
        *_as_options(stage_1_settings(variant, plan)),
    ]


def _as_options(settings: Sequence[str]) -> Iterator[str]:
    for setting in settings:
        yield from ("--set", setting)
