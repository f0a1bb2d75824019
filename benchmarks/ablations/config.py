"""The configuration of a set of ablations, a YAML file. Paths in it are relative to the working directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.errors import InputError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Inputs(_Section):
    """What the runs read."""

    examples: Path = Field(description="Folder of `onebar offline examples`.")
    logs: Path | None = Field(default=None, description="Log tables: for behaviour lists, the cascade and some slices.")
    truth: Path | None = Field(default=None, description="Folder `truth` of a simulated shop, for wrong entities.")
    lists: Path | None = Field(default=None, description="Folder of `onebar offline lists`; made from logs if null.")
    lists_first_day: int = Field(default=1, ge=0, description="First day of the lists that are made.")
    embedder: Path | None = Field(default=None, description="Static embedder of the examples; the hashed one if null.")
    foundation: Path | None = Field(default=None, description="Stage I starts here; from nothing if null.")
    tokenizer: Path | None = Field(default=None, description="Of new models; that of the foundation if null.")
    stage_1: Path | None = Field(default=None, description="A finished Stage I; trained here if null.")

    @property
    def new_tokenizer(self) -> Path | None:
        """The tokenizer of a new model."""
        if self.tokenizer is not None or self.foundation is None:
            return self.tokenizer
        return self.foundation / "tokenizer.json"


class Measure(_Section):
    """How a trained model is measured."""

    clicks: int = Field(default=2000, ge=1, description="Clicks of the test day, the same for all.")
    seed: int = Field(default=0, description="Of the draw of the clicks.")
    weights: Literal["best", "last"] = Field(
        default="best", description="best: those with the best validation HR@8, the start included; last: of the end."
    )


class Endpoint(_Section):
    """A language model behind an OpenAI-compatible endpoint."""

    url: str
    model: str
    concurrency: int = Field(default=4, ge=1)


class Settings(_Section):
    """Values that override the YAML files of the stages, `section.key=value`; `common` is for all stages."""

    common: tuple[str, ...] = ()
    sft: tuple[str, ...] = ()
    preference: tuple[str, ...] = ()
    piopd: tuple[str, ...] = ()


class AblationConfig(_Section):
    """The whole configuration."""

    name: str = Field(description="In the title of the report.")
    smoke: bool = Field(default=False, description="A test of the paths: every output says that its figures are void.")
    inputs: Inputs
    seeds: tuple[int, ...] = Field(default=(17, 18, 19), min_length=1, description="Of Stages II and III.")
    variant_seeds: tuple[int, ...] | None = Field(
        default=None, min_length=1, description="Of the variants of Stage III, some of seeds; all if null."
    )
    processes: int = Field(default=1, ge=1, description="Of a training run; torchrun starts them if over 1.")
    threads: int = Field(default=0, ge=0, description="Of a process, and of measuring; 0 lets torch choose.")
    measure: Measure = Measure()
    zero_shot: Endpoint | None = None
    settings: Settings = Settings()

    @property
    def seeds_of_variants(self) -> tuple[int, ...]:
        """The seeds of the variants of Stage III."""
        return self.seeds if self.variant_seeds is None else self.variant_seeds


def load_config(path: Path, overrides: Sequence[str] = ()) -> AblationConfig:
    """Read a configuration, and override values by `section.key=value` (values are YAML).

    Raises:
        InputError: the file cannot be read, or a value is wrong; the message names it.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for override in overrides:
            _override(values, override)
        config = AblationConfig.model_validate(values)
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    extra = set(config.seeds_of_variants) - set(config.seeds)
    if extra:
        raise InputError(
            f"{path}: variant_seeds has {min(extra)}, which is none of seeds; they continue Stage II of it"
        )
    if config.inputs.foundation is None and config.inputs.tokenizer is None:
        raise InputError(f"{path}: inputs.foundation and inputs.tokenizer are null; give one of them")
    if config.inputs.lists is None and config.inputs.logs is None:
        raise InputError(f"{path}: inputs.lists and inputs.logs are null; give one of them")
    return config


def _override(values: Any, override: str) -> None:
    dotted, equals, text = override.partition("=")
    *sections, key = dotted.split(".")
    for section in sections:
        values = values.setdefault(section, {}) if isinstance(values, dict) else None
    if not equals or not isinstance(values, dict):
        raise InputError(f"--set {override}: the form is section.key=value, and the section must be a mapping")
    values[key] = yaml.safe_load(text)
