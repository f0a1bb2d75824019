"""The variants: the foundation's recipe, and the recipe with one thing changed."""

from __future__ import annotations

from dataclasses import dataclass, fields

from training.config import CONFIG_FOLDER, FieldDropout, SftConfig, load_config

RECIPE = CONFIG_FOLDER / "foundation.yaml"
EVERYTHING = "everything"

_RATE = load_config(SftConfig, RECIPE).optim.learning_rate


@dataclass(frozen=True, slots=True)
class Variant:
    """One training run, which differs from the recipe in one thing.

    Attributes:
        name: of the variant and of its folder.
        overrides: `section.key=value` over RECIPE.
        first_shop_only: train on the first shop alone.
        stage_0_first: Stage 0 on the first shop for half of the minutes, then Stage I for the other half.
        own_tokenizer: learnt from the logs of one shop.
    """

    name: str
    overrides: tuple[str, ...] = ()
    first_shop_only: bool = False
    stage_0_first: bool = False
    own_tokenizer: bool = False


VARIANTS = (
    Variant(EVERYTHING),
    Variant("random-start", ("model.copying_start=false",)),
    Variant("no-pointer", ("model.pointer_hidden=0",)),
    Variant("no-substitution", ("substitution=0.0",)),
    Variant("no-weak-evidence", ("weak_evidence=0.0", "unknown_words=0.0")),
    Variant("answer-removal", ("answer_removal=0.15",)),
    Variant("one-target-per-source", ("targets_per_source=1",)),
    Variant("no-field-dropout", tuple(f"field_dropout.{rate.name}=0.0" for rate in fields(FieldDropout))),
    Variant("one-shop", first_shop_only=True),
    Variant("6-encoder-layers", ("model.encoder_layers=6",)),
    Variant("4-encoder-layers", ("model.encoder_layers=4",)),
    Variant("2-encoder-layers", ("model.encoder_layers=2",)),
    Variant("half-learning-rate", (f"optim.learning_rate={_RATE / 2}",)),
    Variant("double-learning-rate", (f"optim.learning_rate={_RATE * 2}",)),
    Variant("stage-0-first", stage_0_first=True),
    Variant("own-tokenizer", own_tokenizer=True),
)
