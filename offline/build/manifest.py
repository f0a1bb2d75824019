"""OUT/manifest.json: for each step, what it was made from, what it wrote and what it cost.

The file is replaced as a whole after each step. A build that is killed leaves the steps before; the outputs of the step
that was under way are not in it, so that step runs again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offline.build.contents import file_hash

MANIFEST_FILE = "manifest.json"
FORMAT = 1

RUN, SKIPPED, KEPT, LEFT_OUT = "run", "skipped", "kept", "left out"
"""States of a step in the last build: it ran, nothing of it had changed, `--since` kept it, or it was not asked for."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a step wrote."""

    bytes: int
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Whether a file still has this content."""
        return path.is_file() and path.stat().st_size == self.bytes and file_hash(path) == self.sha256


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step.

    Attributes:
        state: RUN, SKIPPED, KEPT or LEFT_OUT in the last build. All other values are of the build in which it ran.
        inputs: by name, the hash of what it read.
        settings: what it was told, plain values.
        versions: of the code and the libraries.
        counts: what it has counted.
        seconds: by the clock.
        cpu_seconds: of all threads.
        peak_memory_bytes: the highest resident size of the process while it ran.
        outputs: by path in OUT, the files that it wrote.
    """

    state: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    counts: Mapping[str, Any]
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    outputs: Mapping[str, Output]


def read_manifest(out: Path) -> dict[str, StepRecord]:
    """Return the steps of the builds before, by name.

    A manifest that is missing, damaged or of another format says nothing: then every step runs.
    """
    try:
        found = json.loads((out / MANIFEST_FILE).read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            return {}
        return {
            name: StepRecord(
                **{**step, "outputs": {path: Output(**output) for path, output in step["outputs"].items()}}
            )
            for name, step in found["steps"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_manifest(out: Path, build: Mapping[str, Any], steps: Mapping[str, StepRecord]) -> None:
    """Replace the manifest.

    Args:
        out: the folder of the build.
        build: what holds for the whole build, plain values.
        steps: by name.
    """
    content = {"format": FORMAT, **build, "steps": {name: asdict(step) for name, step in steps.items()}}
    hidden = out / f".{MANIFEST_FILE}"
    hidden.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(hidden, out / MANIFEST_FILE)


def describe_outputs(folder: Path, names: tuple[str, ...]) -> dict[str, Output]:
    """Return size and hash of files of a folder; a name may be that of a folder, of which all files are taken."""
    found = {}
    for name in names:
        path = folder / name
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            found[str(file.relative_to(folder))] = Output(file.stat().st_size, file_hash(file))
    return found
