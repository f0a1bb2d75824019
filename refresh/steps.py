"""The commands of one day, in their order.

events-N    the same as `events`, again, for the day N days before, whose viewers have gone on to click and to order
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

import re
from collections.abc import Mapping, Sequence
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

_CREDENTIALS = re.compile(r"(?<=://).*@")
_OPTIONS = re.compile(r"[?#].*")
"""Parts of a URL that may be or have a password; it may have any of these characters itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: of the step.
        command: arguments of `onebar`; other users of a machine can read them.
        makes: what it writes and cannot continue; it is removed before the command runs.
        continues: a folder that it continues if it was broken off; it is removed before another beginning.
        keeps: files that it writes elsewhere, by the name that they are copied to in the folder of the day.
        environment: further variables of the process, URLs that may have a password; `${NAME}` in them stands for
            another variable.
        accepted: exit statuses that are no failure.
    """

    name: str
    command: tuple[str, ...]
    makes: tuple[Path, ...] = ()
    keeps: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    accepted: tuple[int, ...] = (0,)
    continues: Path | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment without passwords, as a shell has it before a command."""
        return tuple(f"{name}={_without_password(url)}" for name, url in self.environment.items())

    @property
    def identity(self) -> tuple[str, ...]:
        """What the journal knows the step by. It has no password."""
        return (*self.variables, *self.command)

    @property
    def line(self) -> str:
        """The command line for people. It has no password."""
        return " ".join((*self.variables, "onebar", *self.command))


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


def steps_of(config: Config, serving: Serving, places: Places, since: int | None, late: Sequence[int]) -> list[Step]:
    """Return the steps of a day, but for `promote`.

    Args:
        config: the settings.
        serving: what was served when the refresh of this day began.
        places: the files of the day.
        since: the first day that the build has not seen as it is, where the build trained the embedder; else None.
        late: days before, whose events are exported again.
    """
    embedder = embedder_of(config, serving, places)
    with_embedder = () if embedder is None else ("--embedder", embedder)
    steps = []
    if config.events is not None:
        steps += [_events(config, places, day) for day in (*late, places.day)]
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


def events_report_of(places: Places, day: int) -> str:
    """Return the name of the report on the events of a day, in the folder of the day of the refresh."""
    return f"{_events_name(places, day)}_report.json"


def _events_name(places: Places, day: int) -> str:
    return EVENTS if day == places.day else f"{EVENTS}-{places.day - day}"


def _events(config: Config, places: Places, day: int) -> Step:
    section = config.events
    assert section is not None
    key = ("--user-key", str(section.user_key)) if section.user_key else ()
    ignored = tuple(part for name in section.ignore_keys for part in ("--ignore-key", name))
    is_file = "://" not in section.sink and "$" not in section.sink
    command = (
        "events", "export", *((section.sink,) if is_file else ()), str(config.logs), "--day", str(day), "--stream",
        section.stream, "--window-hours", f"{section.window_hours:g}", "--keep-rows", *key, *ignored,
    )  # fmt: skip
    return Step(
        _events_name(places, day),
        command,
        keeps={events_report_of(places, day): config.logs / EVENTS_REPORT},  # the next export replaces it
        environment={} if is_file else {"ONEBAR_EVENTS__URL": section.sink},
    )


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


def _without_password(url: str) -> str:
    """Return a URL without its credentials and options. Where it is not certain what is a password, more is hidden."""
    return _OPTIONS.sub("?***", _CREDENTIALS.sub("***@", url))
