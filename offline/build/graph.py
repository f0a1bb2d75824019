"""Which steps of a build must run, and running them.

A step is skipped if its inputs, settings and versions are those of the manifest and its outputs have the size and hash
that the manifest says. Else it writes into a hidden folder, and its outputs are renamed into place when it has ended.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from offline.build.errors import BuildError
from offline.build.manifest import (
    KEPT,
    LEFT_OUT,
    RUN,
    SKIPPED,
    StepRecord,
    describe_outputs,
    read_manifest,
    write_manifest,
)
from offline.build.measure import measured
from offline.build.versions import versions_of

PARTIAL = ".partial"
PENDING = "pending"
"""A count. A step with pending work runs again."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a build.

    Attributes:
        name: in the manifest.
        run: writes into the folder that it is given and returns counts.
        outputs: files and folders that it writes.
        inputs: by name, hashes of what it reads and no step writes.
        after: steps whose outputs it reads.
        settings: plain values that decide what it writes.
        code, libraries: what decides it too; see `versions_of`.
        in_place: it writes into OUT itself, because it keeps files there from build to build.
        keeps: an earlier output is used, whatever its inputs and versions were.
    """

    name: str
    run: Callable[[Path], Mapping[str, Any]]
    outputs: tuple[str, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    in_place: bool = False
    keeps: bool = False

    @property
    def versions(self) -> dict[str, str]:
        """Of the code and the libraries."""
        return versions_of(self.code, self.libraries)

    def all_inputs(self, done: Mapping[str, StepRecord]) -> dict[str, str]:
        """Return the inputs with the hashes of the outputs of the steps before."""
        outputs = {path: output.sha256 for name in self.after for path, output in done[name].outputs.items()}
        return {**self.inputs, **outputs}


def plan(steps: Sequence[Step], out: Path) -> dict[str, str]:
    """Return by step why it will run, "" where it will not.

    Raises:
        BuildError: an earlier output is to be kept and cannot be.
    """
    records = read_manifest(out)
    reasons: dict[str, str] = {}
    done: dict[str, StepRecord] = {}
    for step in steps:
        waits_for = [name for name in step.after if reasons[name]]
        if waits_for and not step.keeps:
            reasons[step.name] = f"after {' and '.join(waits_for)}"
            continue
        reasons[step.name] = why(step, records.get(step.name), {} if step.keeps else step.all_inputs(done), out)
        if not reasons[step.name]:
            done[step.name] = records[step.name]
    return reasons


def why(step: Step, record: StepRecord | None, inputs: Mapping[str, str], out: Path) -> str:
    """Return why a step must run, "" if it need not.

    Raises:
        BuildError: an earlier output is to be kept and cannot be.
    """
    reason = _difference(step, record, inputs, out)
    if step.keeps and reason:
        raise BuildError(
            f"the {step.name} of an earlier build cannot be kept in {out} ({reason}); build once without --since"
        )
    return reason


def _difference(step: Step, record: StepRecord | None, inputs: Mapping[str, str], out: Path) -> str:
    if record is None:
        return "not done yet"
    if record.settings != step.settings:
        return f"other settings: {_differing(record.settings, step.settings)}"
    if not step.keeps and record.versions != step.versions:
        return f"other versions: {_differing(record.versions, step.versions)}"
    if not step.keeps and record.inputs != inputs:
        return f"other inputs: {_differing(record.inputs, inputs)}"
    if record.counts.get(PENDING):
        return f"{record.counts[PENDING]:,} pending"
    changed = [path for path, output in record.outputs.items() if not output.is_at(out / path)]
    return f"missing or changed: {', '.join(changed)}" if changed else ""


def execute(
    steps: Sequence[Step], out: Path, build: Mapping[str, Any], say: Callable[[str], object]
) -> dict[str, StepRecord]:
    """Run the steps that must run, in their order, and return their records.

    Args:
        steps: each after those that it needs.
        out: the folder of the build, whose lock the caller holds.
        build: what the manifest says of the whole build.
        say: called when a step begins and when it has ended.

    Raises:
        BuildError: an earlier output is to be kept and cannot be.
    """
    records = read_manifest(out)
    done: dict[str, StepRecord] = {}
    partial = out / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    for step in steps:
        inputs = step.all_inputs(done)
        reason = why(step, records.get(step.name), inputs, out)
        if reason:
            say(f"{step.name}: begins ({reason})")
            done[step.name] = _run(step, inputs, out, partial / step.name)
            say(f"{step.name}: {summary_of(done[step.name])}")
        else:
            state = KEPT if step.keeps else SKIPPED
            done[step.name] = replace(records[step.name], state=state)
            say(f"{step.name}: {'kept as it was trained' if step.keeps else 'unchanged, skipped'}")
        # Records of later steps stay until they are replaced, so that a killed build does not forget them.
        write_manifest(out, build, {**records, **done})
    shutil.rmtree(partial, ignore_errors=True)
    left_out = {name: replace(record, state=LEFT_OUT) for name, record in records.items() if name not in done}
    write_manifest(out, build, {**left_out, **done})
    return done


def summary_of(record: StepRecord) -> str:
    """Return the counts and costs of a step in one line."""
    counts = ", ".join(
        f"{value:,} {name.replace('_', ' ')}"
        for name, value in record.counts.items()
        if isinstance(value, int) and not name.endswith("_day")
    )
    return f"{counts}; {record.seconds:,.1f} s, {record.peak_memory_bytes / 2**20:,.0f} MiB at the peak"


def _run(step: Step, inputs: Mapping[str, str], out: Path, partial: Path) -> StepRecord:
    folder = out if step.in_place else partial
    folder.mkdir(parents=True, exist_ok=True)
    with measured() as usage:
        counts = step.run(folder)
    outputs = describe_outputs(folder, step.outputs)
    if not step.in_place:
        _move_into_place(partial, out)
    return StepRecord(
        state=RUN,
        inputs=dict(inputs),
        settings=dict(step.settings),
        versions=step.versions,
        counts=dict(counts),
        seconds=usage.seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_memory_bytes=usage.peak_memory_bytes,
        outputs=outputs,
    )


def _move_into_place(partial: Path, out: Path) -> None:
    """Rename files and folders; a folder in their place is renamed away first, because it cannot be replaced."""
    for item in sorted(partial.iterdir()):
        target = out / item.name
        if target.is_dir():
            os.replace(target, partial.with_name(f"old-{item.name}"))
        os.replace(item, target)
    shutil.rmtree(partial)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return ", ".join(sorted(name for name in {*one, *other} if one.get(name) != other.get(name)))
