"""The data of Figures 4 to 7, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.ablations.curves import Point, mean_curve
from benchmarks.ablations.results import Results
from benchmarks.ablations.statistics import Figure, hit_rates
from benchmarks.ablations.tables import SYSTEMS, Cell, Table
from benchmarks.ablations.variants import STAGE_1, STAGE_2, STAGE_3
from evaluation.inputs import decontaminate
from evaluation.metrics import CUTOFF
from evaluation.shop_logs import ShopLogs
from evaluation.slices import slice_report, slices
from evaluation.systems import Outcome

DIAGNOSTICS = (
    "teacher_entropy", "student_entropy", "teacher_top1_mass", "student_top1_mass", "teacher_tail_mass",
    "student_tail_mass", "support_overlap", "student_mass_outside", "gold_outside", "teacher_hr@8",
)  # fmt: skip
CHECKPOINTS = ("hr@8", "mrr@8")
KL = ("forward_kl", "reverse_kl")
FIELDS = ("caption", "text", "summary", "anchors", "histories", "personal")
"""Fields whose presence makes the first slices of Figure 5."""


def diagnostics(results: Results) -> Table:
    """Return Figure 4: how teacher and student differ on the validation day, by step of Stage III."""
    curves = [points for points, _ in results.curves(STAGE_3)]
    return _by_step("figure4", "Figure 4: diagnostics of Stage III, validation day", curves, DIAGNOSTICS)


def checkpoint_curve(results: Results) -> Table:
    """Return Figure 7: divergence in training and validation figures, by step of Stage III."""
    both = [(points, logged) for points, logged in results.curves(STAGE_3)]
    merged = [[*points, *logged] for points, logged in both]
    return _by_step("figure7", "Figure 7: Stage III by step, validation day", merged, (*CHECKPOINTS, *KL))


def _by_step(part: str, title: str, curves: Sequence[Sequence[Point]], names: Sequence[str]) -> Table:
    table = Table(part, title, ["step", *names], note=f"Means over {len(curves)} seeds.")
    found = {name: dict(zip(*mean_curve(curves, name), strict=True)) for name in names}
    for step in sorted({step for values in found.values() for step in values}):
        cells: list[Cell] = [int(step)]
        table.rows.append([*cells, *(found[name].get(step) for name in names)])
    return table


def hit_rate_by_cutoff(results: Results) -> Table:
    """Return Figure 6: HR@k by stage, decontaminated."""
    stages = [row for row in SYSTEMS if row.group in (STAGE_1, STAGE_2, STAGE_3) and results.groups.get(row.group)]
    cutoffs = range(1, CUTOFF + 1)
    table = Table("figure6", "Figure 6: HR@k by stage, decontaminated", ["k", *(row.label for row in stages)])
    if not stages:
        return table
    columns = [
        hit_rates([run["decontaminated"] for run in results.groups[row.group]], cutoffs, results.photos)
        for row in stages
    ]
    for place, cutoff in enumerate(cutoffs):
        table.rows.append([cutoff, *(column[place] for column in columns)])
    return table


def slice_table(results: Results) -> Table:
    """Return Figure 5: HR@8 by slice, decontaminated; a slice is of the input that is read then."""
    shown = [row for row in SYSTEMS if row.group in (STAGE_1, STAGE_3) and results.groups.get(row.group)]
    table = Table(
        "figure5",
        "Figure 5: HR@8 by slice, decontaminated",
        ["slice", "clicks", *(row.label for row in shown)],
        note="Intervals over videos. Slices are natural parts of the clicks, and differ in more than their name.",
    )
    if not shown:
        return table
    outcomes = {}
    for row in shown:
        runs = [run["decontaminated"] for run in results.groups[row.group]]
        # Only hits and ranks are read; a click counts with its mean over the seeds.
        outcomes[row.label] = Outcome(runs[0].predictions, np.mean([run.scores for run in runs], axis=0))
    inputs = results.config.inputs
    logs, day = None, None
    if inputs.logs is not None:
        from evaluation.baseline_systems import held_out_day  # imports scikit-learn

        logs, day = ShopLogs(inputs.logs), held_out_day(inputs.examples / "examples_test.parquet")
    masks = slices(decontaminate(results.examples), logs, day)
    for name, found in slice_report(outcomes, masks, results.photos).items():
        figures = [Figure(found["hr"][row.label]["mean"], *found["hr"][row.label]["interval"]) for row in shown]
        table.rows.append([name, found["examples"], *figures])
    return table
