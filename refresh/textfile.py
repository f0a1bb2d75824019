"""Metrics of the latest refresh, for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from refresh.files import write_text
from refresh.record import Record, last_ended

_OUTCOMES = ("promoted", "refused", "failed")


def write_metrics(path: Path, record: Record, state: Path) -> None:
    """Write the metrics of a record.

    Args:
        path: a file that ends in `.prom`, in the folder that the collector reads.
        record: of the refresh that has ended; it is in the history already.
        state: of the refresh.
    """
    lines: list[str] = []

    def gauge(name: str, text: str, *samples: tuple[str, float]) -> None:
        lines.append(f"# HELP onebar_refresh_{name} {text}")
        lines.append(f"# TYPE onebar_refresh_{name} gauge")
        lines.extend(f"onebar_refresh_{name}{labels} {value:.10g}" for labels, value in samples)

    gauge("day", "Log day of the latest refresh.", ("", record.day))
    gauge("outcome", "1 for the outcome of the latest refresh.",
          *((f'{{outcome="{name}"}}', float(name == record.outcome)) for name in _OUTCOMES))  # fmt: skip
    for name, text, outcomes in (
        ("last_end_timestamp_seconds", "End of the latest refresh.", _OUTCOMES),
        ("last_success_timestamp_seconds", "End of the latest refresh that did not fail.", _OUTCOMES[:2]),
        ("last_promotion_timestamp_seconds", "End of the latest refresh that promoted.", _OUTCOMES[:1]),
    ):
        ended = last_ended(state, *outcomes)
        if ended is not None:
            gauge(name, text, ("", datetime.fromisoformat(ended).timestamp()))
    gauge("step_seconds", "Seconds of each step of the latest refresh.",
          *((f'{{step="{name}"}}', seconds) for name, seconds in record.seconds.items()))  # fmt: skip
    if record.events is not None:
        gauge("feedback", "Feedback of the day by outcome.",
              *((f'{{outcome="{name}"}}', count) for name, count in record.events["feedback"].items()))  # fmt: skip
    if record.decision is not None:
        gauge("gate_difference", "Candidate minus served bundle, by measure.",
              *((f'{{measure="{name}"}}', found["difference"])
                for name, found in record.decision["measures"].items()))  # fmt: skip
    write_text(path, "\n".join(lines) + "\n")
