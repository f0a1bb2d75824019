"""The commands of one day, in their order.

events      the events of the service become impressions and exposures of the logs
build       evidence, user histories and examples of the logs up to the day
publish     the evidence goes to the store; it does not depend on the candidate
lists       behaviour lists, for Stage II only
sft         Stage I from the checkpoint that is served
preference  Stage II
piopd       Stage III
export      the candidate
gate        the candidate against the bundle that is served, on the clicks of the day, which no training has read
promote     the services change to the candidate, if the gate says so
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refresh.config import Config, StageSection
from refresh.errors import ConfigError
from refresh.serving import Serving

EVENTS, BUILD, PUBLISH, LISTS = "events", "build", "publish", "lists"
SFT, PREFERENCE, PIOPD = "sft", "preference", "piopd"
EXPORT, GATE, PROMOTE = "export", "gate", "promote"

EVENTS_REPORT = "events_report.json"
"""What `onebar events export` reports."""

GATE_REFUSED = 3
"""Exit status of `onebar gate` where it refuses a candidate."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: of the step.
        command: arguments of `onebar`, with `${NAME}` for environment variables.
        makes: what it writes and cannot continue; it is removed before the command runs.
        continues: a folder that it continues if it was broken off; it is removed before another beginning.
        keeps: files that it writes elsewhere, and that are copied to the folder of the day.
        environment: further variables of the process, with `${NAME}` as above.
        accepted: exit statuses that are no failure.
    """

    name: str
    command: tuple[str, ...]
    makes: tuple[Path, ...] = ()
    keeps: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    accepted: tuple[int, ...] = (0,)
    continues: Path | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of a day are.

    Attributes:
        state: of the refresh.
        day: the log day.
    """

    state: Path
    day: int

    @property
    def folder(self) -> Path:
        """Everything that belongs to this day alone."""
        return self.state / "days" / f"day-{self.day:05d}"

    @property
    def build(self) -> Path:
        """The build, which every day continues."""
        return self.state / "build"

    @property
    def examples(self) -> Path:
        """The examples of the build."""
        return self.build / "examples"

    @property
    def packed(self) -> Path:
        """Packed examples of training; they are made again where they are missing."""
        return self.folder / "packed"

    @property
    def bundle(self) -> Path:
        """The candidate."""
        return self.folder / "bundle"

    @property
    def decision(self) -> Path:
        """What the gate writes."""
        return self.folder / "gate.json"


def last_stage(config: Config) -> str:
    """Return the name of the last training stage, whose checkpoint is exported."""
    if config.train.piopd is not None:
        return PIOPD
    return SFT if config.train.preference is None else PREFERENCE


def embedder_of(config: Config, serving: Serving, places: Places) -> str | None:
    """Return the folder of the embedder that makes the evidence and goes into the bundle; None for the hashed one.

    Raises:
        ConfigError: the served bundle has only the version of its embedder.
    """
    if config.embedder == "build":
        return str(places.build / "embedder")
    if config.embedder != "serving":
        return config.embedder
    if serving.embedder == "hashed":
        return None
    if not Path(serving.embedder).is_dir():
        raise ConfigError(
            f"the served bundle uses the embedder {serving.embedder}, which is not in it; name its folder as `embedder`"
        )
    return serving.embedder


def steps_of(config: Config, serving: Serving, places: Places, since: int | None) -> list[Step]:
    """Return the steps of a day, but for `promote`.

    Args:
        config: the settings.
        serving: what was served when the refresh of this day began.
        places: the files of the day.
        since: the first day that the build has not seen, where the build trained the embedder; else None.
    """
    embedder = embedder_of(config, serving, places)
    with_embedder = () if embedder is None else ("--embedder", embedder)
    steps = []
    if config.events is not None:
        steps.append(_events(config, places))
    steps.append(_build(config, places, with_embedder or ("--hashed",), since))
    if config.publish is not None:
        steps.append(_publish(config, places))
    folder, checkpoint, train = places.folder, serving.checkpoint, config.train
    lists = folder / "lists"
    if train.preference is not None:
        terms = ("--terms", str(config.gate.terms)) if config.gate.terms else ()
        command = ("offline", "lists", str(config.logs), str(lists), *with_embedder, *terms)
        steps.append(Step(LISTS, command, (lists,)))
    steps.append(_stage(SFT, train.sft, places.examples, checkpoint, places))
    if train.preference is not None:
        steps.append(_stage(PREFERENCE, train.preference, lists, str(folder / SFT), places, places.examples))
    if train.piopd is not None:
        before = SFT if train.preference is None else PREFERENCE
        steps.append(_stage(PIOPD, train.piopd, places.examples, str(folder / before), places))
    steps.append(_export(config, places, with_embedder))
    steps.append(_gate(config, serving, places))
    return steps


def promotion(config: Config, places: Places, reason: str) -> Step:
    """Return the step that promotes the candidate."""
    command = ("bundle", "promote", str(places.bundle), "--promoted", str(config.promoted), "--reason", reason)
    return Step(PROMOTE, command)


def _events(config: Config, places: Places) -> Step:
    section = config.events
    assert section is not None
    key = ("--user-key", str(section.user_key)) if section.user_key else ()
    ignored = tuple(part for name in section.ignore_keys for part in ("--ignore-key", name))
    command = (
        "events", "export", section.sink, str(config.logs), "--day", str(places.day), "--stream", section.stream,
        "--window-hours", f"{section.window_hours:g}", *key, *ignored,
    )  # fmt: skip
    return Step(EVENTS, command, keeps=(config.logs / EVENTS_REPORT,))  # the next export replaces it


def _build(config: Config, places: Places, with_embedder: tuple[str, ...], since: int | None) -> Step:
    terms = ("--terms", str(config.gate.terms)) if config.gate.terms else ()
    if config.embedder == "build":
        with_embedder = () if since is None else ("--since", str(since))
    return Step(BUILD, ("offline", "build", str(config.logs), str(places.build), "--examples", *with_embedder, *terms))


def _publish(config: Config, places: Places) -> Step:
    section = config.publish
    assert section is not None
    key = ("--user-key", str(section.user_key)) if section.user_key else ()
    raw = ("--raw-user-ids",) if section.raw_user_ids else ()
    # The URL may have a password, and other users of a machine can read the arguments of a process.
    return Step(
        PUBLISH,
        ("evidence", "publish", str(places.build), *key, *raw),
        environment={"ONEBAR_STORE__URL": section.store},
    )


def _stage(
    name: str, section: StageSection, data: Path, start: str, places: Places, validate_on: Path | None = None
) -> Step:
    """Return a training stage. A run that was killed continues from its last saved state."""
    config = ("--config", str(section.config)) if section.config else ()
    overrides = tuple(part for value in section.set for part in ("--set", value))
    held_out = ("--validate-on", str(validate_on)) if validate_on else ()
    command = (
        "train",
        name,
        str(data),
        str(places.folder / name),
        "--init-from",
        start,
        *config,
        *overrides,
        *held_out,
    )
    return Step(name, (*command, "--cache", str(places.packed), "--resume"), continues=places.folder / name)


def _export(config: Config, places: Places, with_embedder: tuple[str, ...]) -> Step:
    section = config.export
    command = (
        "export", str(places.folder / last_stage(config)), str(places.bundle), "--precision", section.precision,
        "--calibration-inputs", str(places.examples / "examples_train.parquet"),
        "--calibration-count", str(section.calibration_count),
        "--parity-inputs", str(places.examples / "examples_valid.parquet"),
        "--parity-count", str(section.parity_count), *with_embedder,
    )  # fmt: skip
    return Step(EXPORT, command, (places.bundle,))


def _gate(config: Config, serving: Serving, places: Places) -> Step:
    section = config.gate
    terms = section.terms or config.logs / "prohibited_terms.tsv"
    command = ["gate", serving.bundle, str(places.bundle), "--examples", str(places.examples)]
    command += ["--out", str(places.decision)]
    command += ["--limit", str(section.limit)] if section.limit else []
    command += ["--terms", str(terms)] if terms.is_file() else []
    command += ["--labels", str(section.labels)] if section.labels else []
    command += ["--truth", str(section.truth)] if section.truth else []
    for name, value in section.margins.items():
        command += ["--margin", f"{name}={value:g}"]
    return Step(GATE, tuple(command), (places.decision,), accepted=(0, GATE_REFUSED))
