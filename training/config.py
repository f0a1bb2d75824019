"""Configuration of the training stages: dataclasses and a YAML file; every checkpoint records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from evidence.render import RenderBudgets
from training.errors import ConfigError

ConfigT = TypeVar("ConfigT")

CONFIG_FOLDER = Path(__file__).parent / "configs"


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of a new BART. A head is `d_model / attention_heads` wide.

    `copying_start` sets its first weights so that it copies (training/copying_start.py); a model that is adopted or
    continued keeps its own. `pointer_hidden` is the width of the pointer's layer (training/generator.py), which a
    continued model without a pointer is given too; 0 for none.
    """

    encoder_layers: int = 3
    decoder_layers: int = 2
    d_model: int = 256
    ffn_dim: int = 1024
    attention_heads: int = 4
    max_positions: int = 144
    dropout: float = 0.1
    copying_start: bool = True
    pointer_hidden: int = 128


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """AdamW, its schedule and its budget.

    The run ends at the first of `epochs`, `max_steps` and `max_minutes`, and the learning rate decays to zero over the
    same measure. So a run that is limited in minutes on a busy machine still ends with a small rate.

    A step learns from `accumulate_steps` batches of `batch_size` in each process, as from one batch of them all.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    beta2: float = 0.98
    warmup_steps: int = 300
    schedule: Literal["linear", "cosine"] = "linear"
    clip_norm: float = 1.0
    batch_size: int = 64
    accumulate_steps: int = 1
    epochs: int = 6
    max_steps: int | None = None
    max_minutes: float | None = None
    seed: int = 17

    def __post_init__(self) -> None:
        """Check the bounds. Raises ConfigError."""
        _require_positive(self, "optim.", "batch_size", "accumulate_steps", "epochs", "max_steps", "max_minutes")


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Where and how precisely to compute. `auto` uses CUDA where available, and bf16 where the processor has it.

    Attributes:
        device: where to compute.
        precision: of matrix products.
        threads: of torch; 0 lets torch choose.
        epoch_workers: processes that open the next epochs while this one is learnt; null for one on each core of a
            training process but one, at most 8, with a GPU and none without.
        log_every_steps: steps between records of metrics.jsonl.
        save_every_steps: steps between states to resume from.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int = 0
    epoch_workers: int | None = None
    log_every_steps: int = 25
    save_every_steps: int = 500

    def __post_init__(self) -> None:
        """Check the bounds. Raises ConfigError."""
        _require_positive(self, "runtime.", "log_every_steps", "save_every_steps")


@dataclass(frozen=True, slots=True)
class NoisingConfig:
    """How Stage 0 noises a document.

    `mask_ratio` of the words are in spans of Poisson(`span_lambda`) words, each replaced by one <mask>. The document
    objective (reconstruct everything) is drawn with probability `document_share`, else the segment objective; see
    pretrain.py.
    """

    mask_ratio: float = 0.3
    span_lambda: float = 3.0
    segment_mask_ratio: float = 0.4
    document_share: float = 0.3
    permute_probability: float = 0.5


@dataclass(frozen=True, slots=True)
class FieldDropout:
    """Probability that a present field of a training source is blanked, drawn again in each epoch.

    `all_but_text` blanks everything but the text at once, which is the inline evidence of an unknown video.
    """

    text: float = 0.05
    summary: float = 0.1
    anchors: float = 0.1
    histories: float = 0.1
    personal: float = 0.1
    all_but_text: float = 0.05


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """How Stage I validates: HR@8 of beam search on a fixed sample, and P([REJECT]) on both kinds of examples."""

    every_steps: int = 500
    click_examples: int = 768
    reject_examples: int = 256
    patience: int = 6

    def __post_init__(self) -> None:
        """Check the bounds. Raises ConfigError."""
        _require_positive(self, "validation.", "every_steps", "patience")


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """Defaults of beam search in a bundle made from the checkpoint.

    HR@8 is about the eight most probable queries, so scores are not divided by length: on 512 clicks HR@8 was .31, and
    .27 with a penalty of 1.0, which ranks short model names lower. Without a penalty a score can only fall, and
    `early_stopping: false` ends the search exactly when no running hypothesis can enter the list.
    """

    num_beams: int = 8
    length_penalty: float = 0.0
    early_stopping: bool | str = False
    max_new_tokens: int = 16
    min_new_tokens: int = 1


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """The whole configuration of Stage 0."""

    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    noising: NoisingConfig = field(default_factory=NoisingConfig)
    epoch_documents: int = 16384
    validation_documents: int = 1024
    evaluate_every_steps: int = 500
    patience: int = 1000
    render: RenderBudgets = field(default_factory=RenderBudgets)
    generation: GenerationDefaults = field(default_factory=GenerationDefaults)

    def __post_init__(self) -> None:
        """Check the bounds. Raises ConfigError."""
        _require_positive(self, "", "evaluate_every_steps", "patience")


@dataclass(frozen=True, slots=True)
class SftConfig:
    """The whole configuration of Stage I.

    Attributes:
        epoch_examples: an epoch over more examples is taken in equal parts, each counted as an epoch.
        targets_per_source: the most clicks that are learnt from one encoded source.
        substitution: share of the sources in which words are replaced by invented ones (training/augmentation.py).
        answer_removal: share of the clicks whose anchors and histories that contain the target are taken out.
        weak_evidence: share of the sources that are left a text which supports no query; their target is [REJECT].
        unknown_words: share of the sources in which almost every word becomes unknown and the histories go, if the
            other fields have every word of the targets.
        reject_weight: weight of a [REJECT] example in the loss; a click has 1.
        reject_threshold: P([REJECT]) from which the model abstains, for the bundle.
        label_smoothing: share of the target probability that is spread over the vocabulary.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    field_dropout: FieldDropout = field(default_factory=FieldDropout)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    render: RenderBudgets = field(default_factory=RenderBudgets)
    generation: GenerationDefaults = field(default_factory=GenerationDefaults)
    epoch_examples: int = 262_144
    targets_per_source: int = 8
    substitution: float = 0.5
    answer_removal: float = 0.15
    weak_evidence: float = 0.04
    unknown_words: float = 0.2
    reject_weight: float = 1.0
    reject_threshold: float = 0.5
    label_smoothing: float = 0.0


def load_config(kind: type[ConfigT], path: Path | str, overrides: Sequence[str] = ()) -> ConfigT:
    """Read a YAML file into `kind`, then apply `section.key=value` overrides (values are YAML).

    Raises:
        ConfigError: the file cannot be read, or a key or a type is wrong; every message names the key.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must be a mapping of sections, found {type(values).__name__}")
    for override in overrides:
        _apply_override(values, override)
    return from_dict(kind, values)


def from_dict(kind: type[ConfigT], values: Mapping[str, Any], where: str = "") -> ConfigT:
    """Build the dataclass `kind` from nested mappings; `where` is the prefix of keys in messages.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type.
    """
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"unknown key {where}{unknown[0]}; the keys there are {', '.join(known)}")
    built: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        if is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}{name} must be a mapping, got {value!r}")
            built[name] = from_dict(hint, value, f"{where}{name}.")  # type: ignore[arg-type]
        else:
            built[name] = _checked(hint, value, where + name)
    return kind(**built)


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain nested dicts, for JSON."""
    return asdict(config)


def _require_positive(section: Any, where: str, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value is not None and value <= 0:
            without = "; leave it out for no limit" if name in ("max_steps", "max_minutes") else ""
            raise ConfigError(f"{where}{name} must be over 0, got {value}{without}")


def _apply_override(values: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"an override has the form section.key=value, got {override!r}")
    *sections, key = dotted.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{dotted}: {section} is not a section")
    try:
        values[key] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{dotted}: {text!r} is not valid YAML") from error


def _checked(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where} must be one of {', '.join(map(repr, get_args(hint)))}, got {value!r}")
        return value
    allowed = get_args(hint) or (hint,)
    if float in allowed and isinstance(value, int | str) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-3 as a string: it wants 1.0e-3.
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        names = " or ".join(getattr(t, "__name__", str(t)) for t in allowed)
        raise ConfigError(f"{where} must be {names}, got {value!r}")
    return value
