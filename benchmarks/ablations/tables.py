"""Tables 3 to 7: their rows, and the figures of the paper beside them (section 5.2, paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.ablations.answers import VIEWS, Measured, Views
from benchmarks.ablations.statistics import Figure, difference, figure
from benchmarks.ablations.variants import (
    ALL_EVIDENCE,
    COMPACT,
    CONSTRUCTIONS,
    SKIPPED,
    STAGE_1,
    STAGE_2,
    STAGE_3,
    TITLE,
    VERBOSE,
)

Cell = str | int | float | None | Figure

METRICS = {
    "hr": "HR@8", "mrr": "MRR@8", "ed_hr": "ED-HR@8", "ed": "ED@8", "bleu": "BLEU@8", "bas": "BAS@8",
}  # fmt: skip
VIEW_NAMES = {"decontaminated": "decontaminated", "as_served": "as served"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Attributes:
        part: of the report, the name of its files.
        title: of the table.
        columns: heads.
        rows: cells; figures carry their intervals.
        note: what a reader must know.
    """

    part: str
    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a comparison.

    Attributes:
        label: of the row.
        group: of the runs that it shows.
        against: the group that it is compared with, None for none.
        paper: HR@8 and MRR@8 of the paper.
    """

    label: str
    group: str
    against: str | None = None
    paper: tuple[float | None, float | None] = (None, None)


_FULL = (0.3690, 0.2402)
_SFT = (0.3564, 0.2398)
_II = (0.3586, 0.1789)
_ANN = (0.1322, 0.0739)

SYSTEMS = (
    Row("title only", TITLE, STAGE_1, (0.1787, 0.0805)),
    Row("Stage I", STAGE_1, None, _SFT),
    Row("+ Stage II", STAGE_2, STAGE_1, _II),
    Row("+ Stage III", STAGE_3, STAGE_1, _FULL),
)
"""The trained rows of Table 3; those of the baselines come before them."""

COMPARISONS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "table4-evidence": (
        "Table 4, block 1: evidence, one training budget each",
        (
            Row("title only", TITLE, None, (0.1787, 0.0805)),
            Row("+ summary", "evidence-summary", TITLE, (0.3046, 0.1694)),
            Row("+ anchors and histories", "evidence-collaborative", "evidence-summary", (0.3357, 0.2098)),
            Row("+ personal", ALL_EVIDENCE, "evidence-collaborative", _SFT),
        ),
    ),
    "table4-prompt": (
        "Table 4, block 2: prompt, new models with one training budget each",
        (
            Row("verbose prompt", VERBOSE, None, (0.1864, 0.1059)),
            Row("compact [SEP] schema", COMPACT, VERBOSE, _SFT),
        ),
    ),
    "table4-piopd": (
        "Table 4, block 3: progressive preference internalisation",
        (
            Row("Stage I", STAGE_1, None, _SFT),
            Row("Stage II", STAGE_2, STAGE_1, _II),
            Row("control: Stage III's steps with Stage I's loss alone", "piopd-control", STAGE_2),
            Row("Stage III base: 0.5 RKL + 0.5 FKL", "piopd-base", STAGE_2, (0.3630, 0.2399)),
            Row("0.5 RKL + 0.5 FKL + SFT", "piopd-sft", "piopd-base", (0.3654, 0.2408)),
            Row("0.7 RKL + 0.5 FKL + SFT", "piopd-reverse", "piopd-sft", (0.3669, 0.2403)),
            Row("+ teacher smoothing", "piopd-smooth", "piopd-reverse", (0.3673, 0.2399)),
            Row("+ R-Drop + FGM", "piopd-stable", "piopd-smooth", (0.3675, 0.2404)),
            Row("full: + entropy", STAGE_3, "piopd-stable", _FULL),
        ),
    ),
    "table6-objective": (
        "Table 6: divergence between teacher and student",
        (
            Row("FKL", "objective-fkl", STAGE_3, (0.3662, 0.2406)),
            Row("RKL", "objective-rkl", STAGE_3, (0.3626, 0.2385)),
            Row("JSD", "objective-jsd", STAGE_3, (0.3632, 0.2411)),
            Row("CKD", "objective-ckd", STAGE_3, (0.3617, 0.2385)),
            Row("FKL + RKL", STAGE_3, None, _FULL),
        ),
    ),
    "table6-support": (
        "Table 6: tokens of the teacher that are compared",
        (
            Row("top 16", "support-16", STAGE_3, (0.3615, 0.2381)),
            Row("top 50", "support-50", STAGE_3, (0.3612, 0.2384)),
            Row("top 100", "support-100", STAGE_3, (0.3611, 0.2379)),
            Row("whole vocabulary", STAGE_3, None, _FULL),
        ),
    ),
    "table7": (
        "Table 7: initialisation of Stage III",
        (
            Row("Stage I", STAGE_1, None, _SFT),
            Row("Stage I, Stage III", SKIPPED, STAGE_1, (0.3628, 0.2397)),
            Row("Stage I, Stage II", STAGE_2, STAGE_1, _II),
            Row("Stage I, Stage II, Stage III", STAGE_3, SKIPPED, _FULL),
        ),
    ),
    "teacher": (
        "Teacher: frozen, or moved towards the student",
        (
            Row("every 5 steps", "teacher-ema-5", STAGE_3, (0.3651, 0.2394)),
            Row("every 100 steps", "teacher-ema-100", STAGE_3, (0.3639, 0.2400)),
            Row("frozen", STAGE_3, None, _FULL),
        ),
    ),
}
"""Rows of the parts that are comparisons: title, rows."""

_TABLE_5 = {"append": 0.40775, "histories": 0.39987, "random": 0.49638, "masked_random": 0.49041}

Groups = Mapping[str, Sequence[Views]]
"""The finished runs of each group, one for each seed."""


def _runs(groups: Groups, name: str | None, view: str) -> list[Measured]:
    return [] if name is None else [run[view] for run in groups.get(name, ()) if view in run]


def comparison(part: str, groups: Groups, photos: Sequence[str]) -> Table:
    """Return a table of COMPARISONS. A row without a finished run is left empty."""
    title, rows = COMPARISONS[part]
    columns = ["variant", "seeds"]
    for view in VIEWS:
        columns += [f"{METRICS[name]}, {VIEW_NAMES[view]}" for name in ("hr", "mrr")]
        columns += [f"change of {METRICS[name]}, {VIEW_NAMES[view]}" for name in ("hr", "mrr")]
    columns += ["HR@8, paper", "MRR@8, paper", "change against"]
    labels = {row.group: row.label for row in rows}
    table = Table(part, title, columns)
    for row in rows:
        cells: list[Cell] = [row.label, len(_runs(groups, row.group, VIEWS[0]))]
        for view in VIEWS:
            runs, others = _runs(groups, row.group, view), _runs(groups, row.against, view)
            cells += [figure(runs, name, photos) for name in ("hr", "mrr")]
            both = bool(runs and others)
            cells += [difference(runs, others, name, photos) if both else None for name in ("hr", "mrr")]
        against = None if row.against is None else labels.get(row.against, row.against)
        table.rows.append([*cells, *row.paper, against])
    return table


def systems_table(view: str, groups: Groups, baselines: Mapping[str, Views], photos: Sequence[str]) -> Table:
    """Return Table 3 in one view."""
    title = f"Table 3: all systems, {VIEW_NAMES[view]}"
    paper = ["HR@8, paper", "MRR@8, paper"]
    table = Table(f"table3-{view}", title, ["system", "seeds", *METRICS.values(), "no answer", *paper])
    is_papers = view == "decontaminated"
    shown: list[tuple[Row, list[Measured]]] = [
        (Row(name, name, paper=_ANN if name == "ANN" else (None, None)), [views[view]])
        for name, views in baselines.items()
    ]
    shown += [(row, _runs(groups, row.group, view)) for row in SYSTEMS]
    for row, runs in shown:
        figures: list[Cell] = [figure(runs, name, photos) for name in METRICS]
        bars = [answer for run in runs for answer in run.predictions]
        empty = sum(not answer for answer in bars) / len(bars) if bars else None
        table.rows.append([row.label, len(runs), *figures, empty, *(row.paper if is_papers else (None, None))])
    return table


def system_differences(groups: Groups, baselines: Mapping[str, Views], photos: Sequence[str]) -> Table:
    """Return the paired differences between the last stage that is there and every other system."""
    names = [f"difference in {METRICS[name]}, {VIEW_NAMES[view]}" for view in VIEWS for name in ("hr", "mrr")]
    columns = ["systems", *names]
    table = Table("table3-differences", "Table 3: paired differences", columns)
    last = next((row for row in reversed(SYSTEMS) if groups.get(row.group)), None)
    if last is None:
        return table
    others: dict[str, Sequence[Views]] = {name: [views] for name, views in baselines.items()}
    others |= {row.label: groups[row.group] for row in SYSTEMS if row is not last and groups.get(row.group)}
    for label, runs in others.items():
        cells: list[Cell] = [f"{last.label} − {label}".replace("+ ", "")]
        for view in VIEWS:
            mine, theirs = _runs(groups, last.group, view), [run[view] for run in runs]
            cells += [difference(mine, theirs, name, photos) for name in ("hr", "mrr")]
        table.rows.append(cells)
    return table


def teacher_table(teachers: Sequence[Mapping[str, Views]], photos: Sequence[str]) -> Table:
    """Return Table 5, the figures of a teacher that reads the clicked query, by construction.

    Args:
        teachers: the answers by construction, of each seed.
        photos: of the clicks.
    """
    columns = ["clicked query", "seeds", *(f"{METRICS[m]}, {VIEW_NAMES[v]}" for v in VIEWS for m in ("hr", "mrr"))]
    table = Table("table5", "Table 5: the teacher by construction of its source", [*columns, "HR@8, paper"])
    for construction, label in CONSTRUCTIONS.items():
        cells: list[Cell] = [label, len(teachers)]
        for view in VIEWS:
            runs = [teacher[construction][view] for teacher in teachers]
            cells += [figure(runs, name, photos) for name in ("hr", "mrr")]
        table.rows.append([*cells, _TABLE_5[construction]])
    return table
