"""The settings of the evidence for one embedder: tuned on the validation day, measured on the day after it.

The hashed embedder with its own settings is measured beside it, on the same clicks. Both are also measured on the last
day that the embedder was trained on. If the trained one gains much more there, evidence of its training days is better
than serving will have (ADR 73).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from offline.embedder.vectors import Embedder
from offline.evidence.anchor_report import (
    TUNING_STEPS,
    Clicks,
    anchor_figures,
    candidates_of,
    clicks_of_day,
    personal_figures,
    tune_anchors,
    tune_personal,
)
from offline.evidence.embedded_logs import (
    TUNED_ANCHORS,
    TUNED_USERS,
    EmbeddedLogs,
    EvidenceSettings,
    embed_coded_logs,
)
from offline.logs.coded import Logs


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was chosen, and the figures that it was chosen by.

    Attributes:
        tuned: values of TUNED_ANCHORS and TUNED_USERS by name, for the manifest of the embedder.
        report: plain values.
    """

    tuned: dict[str, float]
    report: dict[str, Any]


def tune_evidence(logs: Logs, embedder: Embedder, valid_day: int, *, show_progress: bool = False) -> Tuning:
    """Tune the settings of anchors and of the personal part for an embedder.

    Args:
        logs: the log tables.
        embedder: trained on the days before `valid_day`.
        valid_day: settings are chosen on its clicks and measured on those of the next day.
        show_progress: show a progress bar.
    """
    hashed = embed_coded_logs(logs)
    embedded = embed_coded_logs(logs, EvidenceSettings(), embedder)
    seen, valid, test = (clicks_of_day(hashed, day) for day in (valid_day - 1, valid_day, valid_day + 1))
    with tqdm(total=TUNING_STEPS, desc="tuning", unit="setting", disable=not show_progress) as bar:
        anchors = tune_anchors(embedded, valid, embedded.settings.anchors, bar.update)
    users, tried = tune_personal(embedded, valid, embedded.settings.users)
    chosen = {
        **{name: getattr(anchors.settings, name) for name in TUNED_ANCHORS},
        **{name: getattr(users, name) for name in TUNED_USERS},
    }

    def figures(of: EmbeddedLogs, settings: EvidenceSettings, clicks: Clicks) -> dict[str, Any]:
        return {
            "anchors": anchor_figures(candidates_of(of, clicks, settings.anchors), clicks, settings.anchors),
            "personal": personal_figures(of, clicks, settings.users),
        }

    tuned = EvidenceSettings(anchors=anchors.settings, users=users)
    days: list[tuple[str, Clicks]] = [("seen", seen), ("valid", valid), ("test", test)]
    return Tuning(
        chosen,
        {
            "valid_day": valid_day,
            "tuned": chosen,
            "indexes": anchors.indexes,
            "hashed": {name: figures(hashed, hashed.settings, clicks) for name, clicks in days},
            "trained": {name: figures(embedded, tuned, clicks) for name, clicks in days},
            "tried": {"anchors": anchors.tried, "personal": tried},
        },
    )


def lines_of(report: dict[str, Any], say: Callable[[str], object]) -> None:
    """Print the figures of the test day."""
    for name in ("hashed", "trained"):
        anchors, personal = report[name]["test"]["anchors"], report[name]["test"]["personal"]
        say(
            f"{name:<8} anchors: hit rate {anchors['hit_rate']:.3f}, new videos {anchors['hit_rate_new']:.3f}, "
            f"coverage {anchors['coverage']:.3f}; personal: hit rate {personal['hit_rate']:.3f}, "
            f"coverage {personal['coverage']:.3f}"
        )
