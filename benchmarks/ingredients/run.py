"""Trains and measures the variants, in one folder that can be resumed.

run.json               what all weights depend on
VARIANT/train.log      what the commands wrote
VARIANT/pretrained/    the checkpoint of Stage 0, where the variant has one
VARIANT/checkpoint/    the checkpoint of Stage I, with its metrics.jsonl
VARIANT/result.json    the row of the variant; once it is there the variant is not run again
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.ingredients.measure import measure
from benchmarks.ingredients.plan import Plan, check_settings, commands
from benchmarks.ingredients.variants import Variant
from benchmarks.metric_curves import read_records
from benchmarks.same_facts import require_same_facts
from training.checkpoint import METRICS_FILE, write_json

Onebar = Callable[[Sequence[str], Path], None]
"""Runs `onebar` with arguments, appends its output to a file, and raises CalledProcessError where it fails."""


def run_onebar(arguments: Sequence[str], log: Path) -> None:
    """Run `onebar` in a process of its own; see `Onebar`."""
    with open(log, "ab") as output:
        subprocess.run([sys.executable, "-m", "cli.main", *arguments], stdout=output, stderr=output, check=True)


def run_variants(
    variants: Sequence[Variant], plan: Plan, jobs: int, onebar: Onebar = run_onebar
) -> list[dict[str, Any]]:
    """Train and measure each variant, and return their rows.

    A variant whose training fails has a row with `error` instead of figures, and is run again by the next call.

    Args:
        variants: to run, in this order.
        plan: what they have in common.
        jobs: variants that train at the same time. They are measured one at a time.
        onebar: runs one command.

    Raises:
        InputError: a file is missing, or the folder has runs of another plan.
        TrainingError: an override cannot be used, or examples cannot be read.
    """
    check_settings(variants, plan)
    plan.measuring_facts()  # a missing file is reported before the training
    _check_folder(plan)
    measuring = Lock()

    def run(variant: Variant) -> dict[str, Any]:
        try:
            return run_variant(variant, plan, measuring, onebar)
        except subprocess.CalledProcessError:
            return {"variant": variant.name, "error": _last_line(plan.work / variant.name / "train.log")}

    with ThreadPoolExecutor(jobs) as pool:
        rows = [pool.submit(run, variant) for variant in variants]
        try:
            return [row.result() for row in rows]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_variant(variant: Variant, plan: Plan, measuring: Lock, onebar: Onebar) -> dict[str, Any]:
    """Train and measure one variant, unless its row is there.

    A row of other test shops or another number of clicks is made again, without training.

    Raises:
        CalledProcessError: the training failed.
        TrainingError: see `measure`.
    """
    folder = plan.work / variant.name
    facts = plan.measuring_facts()
    finished = folder / "result.json"
    if finished.is_file():
        row: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        if row["measured_on"] == facts:
            return row
    folder.mkdir(parents=True, exist_ok=True)
    for arguments in commands(variant, plan):
        print(f"{variant.name}: onebar {' '.join(arguments[:2])}", file=sys.stderr, flush=True)
        onebar(arguments, folder / "train.log")
    with measuring:
        print(f"{variant.name}: measuring", file=sys.stderr, flush=True)
        figures = measure(folder / "checkpoint", plan)
    row = {
        "variant": variant.name,
        "overrides": list(variant.overrides),
        "measured_on": facts,
        **figures,
        "curve": learning_curve(folder),
    }
    write_json(finished, row)
    return row


def learning_curve(folder: Path) -> list[dict[str, float]]:
    """Return the evaluations of a variant during Stage I. Steps and seconds count from the start of Stage 0, if any."""
    before = read_records(folder / "pretrained" / METRICS_FILE)
    steps, seconds = (before[-1]["step"], before[-1]["seconds"]) if before else (0, 0.0)
    points = {}
    # A resumed run repeats the steps since its last saved state; the later record is the one that counts.
    for record in read_records(folder / "checkpoint" / METRICS_FILE):
        if (found := record.get("evaluation")) is not None:
            points[record["step"]] = {
                "step": steps + record["step"],
                "seconds": round(seconds + record["seconds"], 1),
                **{name: round(found[name], 4) for name in ("copy_accuracy", "hr@8", "mrr@8", "loss")},
            }
    return [points[step] for step in sorted(points)]


def _check_folder(plan: Plan) -> None:
    path, facts = plan.work / "run.json", plan.training_facts()
    if path.is_file():
        require_same_facts(path, facts)
    else:
        plan.work.mkdir(parents=True, exist_ok=True)
        write_json(path, facts)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
