"""The settings of a refresh, a YAML file. Paths in it are relative to its folder.

In `events.sink`, `publish.store` and `alert.webhook`, `${NAME}` stands for an environment variable, so that the file
has no password. The arguments of commands and the files of the refresh have none in any case.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refresh.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EventsSection(_Section):
    """The event log of the service, see `onebar events export`."""

    sink: str = Field(description="A file, a folder or a Redis URL.")
    stream: str = "onebar:events"
    user_key: Path | None = None
    window_hours: float = Field(default=24.0, gt=0)
    ignore_keys: tuple[str, ...] = ()


class PublishSection(_Section):
    """The store that the evidence of each day is published to, see `onebar evidence publish`."""

    store: str
    user_key: Path | None = None
    raw_user_ids: bool = False


class StageSection(_Section):
    """One training stage, see `onebar train`."""

    config: Path | None = Field(default=None, description="YAML file of the stage; by default that of `onebar train`.")
    set: tuple[str, ...] = Field(default=(), description="Values that override it, section.key=value.")


class TrainSection(_Section):
    """The training stages of a day. Stages II and III are left out unless they are named."""

    sft: StageSection = StageSection(
        set=(
            "optim.learning_rate=1.0e-4", "optim.warmup_steps=50", "optim.epochs=1", "optim.max_steps=1500",
            "optim.max_minutes=null", "validation.every_steps=250",
        )
    )  # fmt: skip
    preference: StageSection | None = None
    piopd: StageSection | None = None


class ExportSection(_Section):
    """The bundle, see `onebar export`."""

    precision: Literal["fp32", "int8"] = "int8"
    parity_count: int = Field(default=50, ge=1)
    calibration_count: int = Field(default=128, ge=1)


class GateSection(_Section):
    """What a candidate is compared on, see `onebar gate`."""

    limit: int | None = Field(default=5000, ge=1)
    terms: Path | None = Field(default=None, description="By default prohibited_terms.tsv of the logs, if it is there.")
    labels: Path | None = None
    truth: Path | None = Field(default=None, description="Only for a simulated shop.")
    margins: dict[str, float] = Field(default_factory=dict)


class AlertSection(_Section):
    """Whom to tell of a refresh that failed, or of a candidate that was refused."""

    command: tuple[str, ...] = Field(default=(), description="A command and its arguments.")
    webhook: str | None = Field(default=None, description="A URL that gets a JSON object by POST.")


class Config(_Section):
    """The whole file."""

    logs: Path = Field(description="Folder of log tables; the platform adds each day's searches, videos and users.")
    state: Path = Field(description="Folder of the refresh: the build, and a folder for each day.")
    promoted: Path = Field(description="Folder of the record that the services follow.")
    bundle: Path = Field(description="The bundle that is served before the first promotion.")
    checkpoint: Path = Field(description="The checkpoint that `bundle` was exported from.")
    embedder: str = Field(
        default="serving",
        description="`serving`: that of the served bundle. `build`: trained by the build. Or a folder.",
    )
    events: EventsSection | None = Field(default=None, description="Without it, the logs have the day already.")
    publish: PublishSection | None = Field(default=None, description="Without it, no evidence is published.")
    train: TrainSection = TrainSection()
    export: ExportSection = ExportSection()
    gate: GateSection = GateSection()
    alert: AlertSection = AlertSection()
    metrics_file: Path | None = Field(default=None, description="For the textfile collector of the node exporter.")
    nice: int = Field(default=15, ge=0, le=19, description="Priority of the commands; 19 is the lowest.")
    threads: int = Field(default=1, ge=1, description="Threads of training and of the build (OMP_NUM_THREADS).")


def load_config(path: Path) -> Config:
    """Read a file of settings.

    Raises:
        ConfigError: it cannot be read, or a setting is wrong; the message names each.
    """
    try:
        with path.open(encoding="utf-8") as file:  # given a text, YAML quotes lines in errors; they may have a password
            document = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML ({error}); docs/refresh.md has an example") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is not a mapping of settings; docs/refresh.md has an example")
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            for detail in error.errors(include_url=False)
        ]
        raise ConfigError(f"{path} has wrong settings. " + "; ".join(faults)) from error
    folder = path.resolve().parent
    resolved: Config = _absolute(config, folder)
    if resolved.embedder not in ("serving", "build"):
        resolved = resolved.model_copy(update={"embedder": str(folder / resolved.embedder)})
    if resolved.events is not None and "://" not in resolved.events.sink and "$" not in resolved.events.sink:
        events = resolved.events.model_copy(update={"sink": str(folder / resolved.events.sink)})
        resolved = resolved.model_copy(update={"events": events})
    return resolved


def _absolute(section: Any, folder: Path) -> Any:
    """Return the section with every path under a folder; an absolute one stays as it is."""
    changed: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changed[name] = folder / value
        elif isinstance(value, BaseModel):
            changed[name] = _absolute(value, folder)
    return section.model_copy(update=changed)
