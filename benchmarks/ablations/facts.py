"""What runs depend on, and which are finished. Nothing here imports torch, so a report is made in seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.ablations.config import AblationConfig
from benchmarks.ablations.plan import (
    STAGES,
    Run,
    checkpoint_folder,
    examples_folder,
    lists_folder,
    run_folder,
    stage_settings,
)
from evaluation.inputs import Example, read_examples
from evidence.embedder import Embedder, HashedEmbedder
from evidence.static_embedder import load_static_embedder
from training.cached_arrays import file_hash

ANSWERS, RESULT, TRAINED, FACTS = "answers.parquet", "result.json", "trained.json", "run.json"
"""The files of a run, see benchmarks/ablations/run.py."""

WITHOUT_ANSWERS = ("lists", "prompts")
"""Actions that make data for other runs."""

_WEIGHTS = "model.safetensors"
_LOG_TABLES = ("impressions", "exposures", "searches")


@dataclass(frozen=True, slots=True)
class Workplace:
    """The configuration, the folder of its runs, and what all measurements share."""

    config: AblationConfig
    work: Path

    @property
    def clicks(self) -> list[Example]:
        """The clicks of the test day that are measured.

        Raises:
            InputError: the examples cannot be read.
        """
        measure = self.config.measure
        return _clicks(self.config.inputs.examples / "examples_test.parquet", measure.clicks, measure.seed)

    @property
    def embedder(self) -> Embedder:
        """The embedder of the examples.

        Raises:
            EmbedderError: the folder is no embedder (evidence.errors).
        """
        return _embedder(self.config.inputs.embedder)

    @property
    def measured_on(self) -> dict[str, Any]:
        """What the figures of a trained model depend on."""
        test = self.config.inputs.examples / "examples_test.parquet"
        return {"test": _hash(test), **self.config.measure.model_dump(), "embedder": self.embedder.version}


@lru_cache(maxsize=1)
def _clicks(path: Path, limit: int, seed: int) -> list[Example]:
    return read_examples(path, kind="click", limit=limit, seed=seed)


@lru_cache(maxsize=1)
def _embedder(folder: Path | None) -> Embedder:
    return HashedEmbedder() if folder is None else load_static_embedder(folder)


def _hash(path: Path) -> str | None:
    """Return 16 hex digits of a file; None if it is missing."""
    return _hash_at(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=256)
def _hash_at(path: Path, changed: int) -> str:
    return file_hash(path)


def is_finished(run: Run, place: Workplace) -> bool:
    """Return whether a run is done, with the data and settings and on the clicks of the configuration."""
    folder = run_folder(place.work, run.name)
    path = folder / RESULT
    if not path.is_file() or not (folder / FACTS).is_file():
        return False
    if json.loads((folder / FACTS).read_text(encoding="utf-8")) != run_facts(run, place):
        return False
    if run.action in WITHOUT_ANSWERS:
        return True
    before: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["measured_on"]
    return before == place.measured_on


def run_facts(run: Run, place: Workplace) -> dict[str, Any]:
    """Return what the result of a run depends on apart from the clicks, as plain values without paths."""
    config, inputs, work = place.config, place.config.inputs, place.work
    facts: dict[str, Any] = {"action": run.action}
    if run.action in STAGES:
        facts |= {"settings": list(stage_settings(run, config)), "processes": config.processes}
        facts["valid"] = _hash(inputs.examples / "examples_valid.parquet")
        if run.action == "preference":
            facts["train"] = _hash(lists_folder(config, work) / "lists_train.parquet")
        else:
            facts["train"] = _hash(examples_folder(run, config, work) / "examples_train.parquet")
    if run.action == "sft":
        begin = inputs.new_tokenizer if inputs.foundation is None else inputs.foundation / _WEIGHTS
        facts["start"] = None if begin is None else _hash(begin)
    if run.start is not None or run.action == "given":
        facts["start"] = _hash(checkpoint_folder(run.start or run.name, config, work) / _WEIGHTS)
    if run.action == "prompts":
        facts |= {name: _hash(inputs.examples / f"examples_{name}.parquet") for name in ("train", "valid")}
        facts["tokenizer"] = None if inputs.new_tokenizer is None else _hash(inputs.new_tokenizer)
    if run.action == "lists":
        facts |= {"first_day": inputs.lists_first_day, "embedder": place.embedder.version}
        facts |= _hashes_of_logs(inputs.logs)
    if run.action == "baselines":
        facts |= {"embedder": place.embedder.version, "cascade": inputs.logs is not None}
        facts["zero_shot"] = None if config.zero_shot is None else config.zero_shot.model
        facts["train"] = _hash(inputs.examples / "examples_train.parquet")
        facts |= _hashes_of_logs(inputs.logs)
    return facts


def _hashes_of_logs(logs: Path | None) -> dict[str, Any]:
    return {name: None if logs is None else _hash(logs / f"{name}.parquet") for name in _LOG_TABLES}
