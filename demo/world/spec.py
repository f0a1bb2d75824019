"""The size of a world, and the rates at which its fields are noisy or missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from demo.errors import WorldError
from demo.world.vocabulary import departments

DAY_MS = 86_400_000
EPOCH_MS = 1_767_225_600_000
"""Midnight (UTC) of the first log day, unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares between 0 and 1 that the world is drawn with; each one is stated in docs/data_formats.md.

    `missing_*` hold for safe videos. `names_*` say how often a text that is there names that part of the product.
    """

    missing_caption: float = 0.25
    missing_photo_title: float = 0.55
    missing_title: float = 0.60
    missing_item_title: float = 0.70
    missing_summary: float = 0.15
    hashtags: float = 0.45
    noun_in_hashtags: float = 0.20
    emoji: float = 0.40
    mention: float = 0.15
    promotion: float = 0.25
    clickbait: float = 0.20
    url: float = 0.04
    shouting: float = 0.06
    selling: float = 0.15
    unsafe: float = 0.04
    unsafe_only_in_summary: float = 0.30
    unsafe_disguised: float = 0.30
    listed_terms: float = 0.70
    reviewed_unsafe: float = 0.60
    reviewed_safe: float = 0.10
    stock_videos: float = 0.40
    trend_videos: float = 0.30
    new_products: float = 0.25
    bar_shown: float = 0.85
    other_intent: float = 0.12
    typo: float = 0.015
    curiosity: float = 0.012
    near_click: float = 0.60
    reformulates: float = 0.15


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """The seed and the sizes of a world, which determine it.

    Attributes:
        seed: the same seed and sizes give byte-identical tables.
        videos: videos over the whole log, those made before its first day included.
        users: users who watch.
        days: log days; the last is the test day, the one before it is for validation.
        impressions_per_day: videos watched a day; impressions without any intent are thinned out.
        departments: names of the departments that the shop has, in the order of `departments.txt`; all when empty.
            The order and the repetition of names that are given do not matter.
        rates: how often fields are missing or noisy.
    """

    seed: int = 7
    videos: int = 12_000
    users: int = 6_000
    days: int = 12
    impressions_per_day: int = 48_000
    departments: tuple[str, ...] = ()
    rates: Rates = field(default_factory=Rates)

    def __post_init__(self) -> None:
        """Refuse sizes that are too small to simulate, and unknown departments, with WorldError."""
        for name, lowest in (("videos", 200), ("users", 50), ("days", 3), ("impressions_per_day", 100)):
            if getattr(self, name) < lowest:
                raise WorldError(f"a world needs at least {lowest} {name.replace('_', ' ')}, got {getattr(self, name)}")
        chosen = tuple(department.name for department in departments(self.departments))
        object.__setattr__(self, "departments", () if len(chosen) == len(departments()) else chosen)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for `truth/world.json`; a shop with every department has no `departments` there."""
        plain = asdict(self)
        return plain if self.departments else {name: value for name, value in plain.items() if name != "departments"}
