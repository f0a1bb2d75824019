"""The runs that the paper's tables compare: what each changes in its stage, and which parts of the report need it."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = (
    "table3", "table4-evidence", "table4-prompt", "table4-piopd", "table5", "table6-objective", "table6-support",
    "table7", "teacher", "figure4", "figure5", "figure6", "figure7",
)  # fmt: skip
"""Parts of the report. `teacher` is the comparison of a frozen teacher with moving ones in the paper's text."""

STAGE_1, STAGE_2, STAGE_3, SKIPPED = "stage-1", "stage-2", "stage-3", "stage-3-without-2"
ALL_EVIDENCE, TITLE = "evidence-all", "evidence-title"
VERBOSE, COMPACT = "prompt-verbose", "prompt-compact"
BASELINES, TEACHERS, LISTS, PROMPTS = "baselines", "teachers", "lists", "prompts"


@dataclass(frozen=True, slots=True)
class Variant:
    """A training run that differs from its stage in few values.

    Attributes:
        name: of the run.
        overrides: `section.key=value` over the settings of the stage.
        parts: of the report that show it.
    """

    name: str
    overrides: tuple[str, ...]
    parts: tuple[str, ...]


def _without(*fields: str) -> tuple[str, ...]:
    return tuple(f"render.{field}=0" for field in fields)


EVIDENCE = (
    Variant(TITLE, _without("summary", "anchors", "histories", "personal"), ("table3", "table4-evidence")),
    Variant("evidence-summary", _without("anchors", "histories", "personal"), ("table4-evidence",)),
    Variant("evidence-collaborative", _without("personal"), ("table4-evidence",)),
    Variant(ALL_EVIDENCE, (), ("table4-evidence",)),
)
"""Table 4, block 1. A field with a budget of 0 is rendered neither in training nor in the test."""

_STEPS_TO_FULL = (
    # Each adds one thing to the one before; the values that are added are those of training/configs/piopd.yaml.
    ("piopd-base", "weights.sft=0.0"),
    ("piopd-sft", "weights.reverse_kl=0.5"),
    ("piopd-reverse", "teacher.temperature=1.0"),
    ("piopd-smooth", "weights.r_drop=0.0", "weights.fgm=0.0"),
    ("piopd-stable", "weights.entropy=0.0"),
)

CONTROL = Variant(
    "piopd-control",
    tuple(f"weights.{term}=0.0" for term in ("forward_kl", "reverse_kl", "entropy", "r_drop", "fgm")),
    ("table4-piopd",),
)
"""Stage III's steps, batches and learning rate with Stage I's loss alone: what more of Stage I would have done."""

TERMS = tuple(
    Variant(name, tuple(value for _, *values in _STEPS_TO_FULL[place:] for value in values), ("table4-piopd",))
    for place, (name, *_) in enumerate(_STEPS_TO_FULL)
)
"""Table 4, block 3: the terms of eq. (16), added one after another. With all of them it is STAGE_3."""

OBJECTIVES = (
    Variant("objective-fkl", ("weights.forward_kl=1.0", "weights.reverse_kl=0.0"), ("table6-objective",)),
    Variant("objective-rkl", ("weights.forward_kl=0.0", "weights.reverse_kl=1.0"), ("table6-objective",)),
    Variant("objective-jsd", ("objective=jsd",), ("table6-objective",)),
    Variant("objective-ckd", ("objective=ckd",), ("table6-objective",)),
)
SUPPORTS = tuple(Variant(f"support-{size}", (f"top_k={size}",), ("table6-support",)) for size in (16, 50, 100))
TEACHERS_THAT_MOVE = tuple(
    Variant(f"teacher-ema-{steps}", (f"teacher.ema_every_steps={steps}",), ("teacher",)) for steps in (5, 100)
)

STAGE_3_VARIANTS = (CONTROL, *TERMS, *OBJECTIVES, *SUPPORTS, *TEACHERS_THAT_MOVE)
"""All continue Stage II of the same seed, as STAGE_3 does."""

FULL_PARTS = (
    "table3", "table4-piopd", "table6-objective", "table6-support", "table7", "teacher", "figure4", "figure5",
    "figure6", "figure7",
)  # fmt: skip
"""What shows STAGE_3."""

CONSTRUCTIONS = {"append": "append", "histories": "histories", "random": "random", "masked_random": "masked, random"}
"""Table 5: constructions of the teacher's source, see training/piopd/posterior.py."""
