"""The report on a folder of behaviour lists: counts by level, and what each filter removed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from offline.evidence.behaviour_lists import SplitCounts
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.list_candidates import Level, ListSettings

_VIEWINGS = ("viewings", "on_unsafe_videos", "without_intent", "of_one_query", "lists", "beyond_pool")
_CANDIDATES = ("candidates", "contradicting", "not_the_best", "chosen")


@dataclass(frozen=True, slots=True)
class ListsReport:
    """The counts of every split, with the settings that made them."""

    splits: dict[str, SplitCounts]
    settings: dict[str, Any]
    seconds: float

    @classmethod
    def of(
        cls, splits: dict[str, SplitCounts], embedded: EmbeddedLogs, settings: ListSettings, seconds: float
    ) -> ListsReport:
        """Return the report on what `write_lists` wrote."""
        return cls(splits, {"lists": asdict(settings), "evidence": asdict(embedded.settings)}, round(seconds, 1))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        splits = {name: asdict(counts) for name, counts in self.splits.items()}
        return {"splits": splits, "settings": self.settings, "seconds": self.seconds}

    def to_text(self) -> str:
        """Return tables to print."""
        lines = [f"{self.seconds:.0f} s", _line("", list(self.splits))]
        counts = list(self.splits.values())
        lines.extend(_line(name.replace("_", " "), [getattr(c, name) for c in counts]) for name in _VIEWINGS)
        lines.extend(_line(f"lists of {length}", [c.lengths[length] for c in counts]) for length in counts[0].lengths)
        for name, c in self.splits.items():
            removed = c.candidates
            stages = {stage.replace("_", " "): getattr(removed, stage) for stage in _CANDIDATES}
            lines.extend(["", _line(f"{name}, level", [int(level) for level in Level])])
            lines.extend(_line(title, list(stage.values())) for title, stage in stages.items())
            lines.extend([_line("written", list(c.levels.values())), _line("repeated", [removed.repeated])])
        return "\n".join(lines)


def _line(label: str, values: list[Any]) -> str:
    texts = (value if isinstance(value, str) else f"{value:,}" for value in values)
    return f"{label:<22}" + "".join(f"{text:>12}" for text in texts)
