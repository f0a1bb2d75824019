"""Figures of the paper (OneBar, section 5) that stand beside one's own. They were measured on other data."""

from __future__ import annotations

from typing import Final

from service.page.reports.form import Bar, Table

NOTE: Final = "The figures of the paper come from its own logs. Compare the order and the differences, not the heights."

# Table 3, exact HR@8 on decontaminated inputs.
HR_AT_8: Final = (
    Bar(label="paper: BART, basic video information", value=0.1787, paper=True),
    Bar(label="paper: Stage I", value=0.3564, paper=True),
    Bar(label="paper: Stage III", value=0.3690, paper=True),
)

STAGES: Final = Table(
    title="The paper, Table 3: decontaminated",
    columns=["system", "HR@8", "MRR@8", "ED-HR@8", "ED@8", "BLEU@8", "BAS@8", "SR"],
    rows=[
        ["GPT-5.5 (zero-shot)", 0.0224, 0.0139, 0.1384, 5.2667, 0.1779, 0.6261, 4.9286],
        ["ANN", 0.1322, 0.0739, 0.3052, 4.0630, 0.3218, 0.8326, 2.4759],
        ["BART, basic video information", 0.1787, 0.0805, 0.2490, 5.2471, 0.2532, 0.5839, 2.8537],
        ["Stage I", 0.3564, 0.2398, 0.4864, 3.1785, 0.4951, 0.6678, 3.8019],
        ["Stage II", 0.3586, 0.1789, 0.4470, 3.5556, 0.4489, 0.6649, 3.7488],
        ["Stage III", 0.3690, 0.2402, 0.4934, 3.1760, 0.5039, 0.6687, 3.7945],
    ],
)

ABLATION: Final = Table(
    title="The paper, Table 4: ablation",
    columns=["variant", "HR@8", "MRR@8"],
    rows=[
        ["basic trigger information", 0.1787, 0.0805],
        ["+ multimodal evidence", 0.3046, 0.1694],
        ["+ collaborative anchors", 0.3357, 0.2098],
        ["+ personalized evidence", 0.3564, 0.2398],
        ["Stage II", 0.3586, 0.1789],
        ["Stage III, full", 0.3690, 0.2402],
    ],
)

AB_TEST: Final = Table(
    title="The paper, Table 8: online A/B test against the cascade",
    columns=["metric", "change"],
    rows=[
        ["query exposure", "+16.91 %"],
        ["query clicks", "+18.68 %"],
        ["query CTR", "+0.19 %"],
        ["guided orders", "+20.36 %"],
        ["guided GMV", "+21.67 %"],
        ["bad cases of query quality", "-9.00 pp"],
    ],
)

BUDGET_MS: Final = Bar(label="paper: time for the bar", value=30, paper=True)
"""The upper end of the 20 to 30 ms of section 1."""
