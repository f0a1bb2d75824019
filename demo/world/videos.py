"""The videos: their products (latent), authors, creation days, and how often they are watched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.catalogue import Catalogue, zipf
from demo.world.safety import UnsafeVideos, draw_unsafe
from demo.world.spec import WorldSpec
from demo.world.vocabulary import ASPECTS, words
from demo.world.wording import Triggers, make_video_habits

STOCK_AGE_DAYS = 12
"""Videos of the opening stock were made up to this many days before the log starts."""
HALF_LIFE_DAYS = 4.0
_TREND_DAYS = 4
_SWAPPED_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Videos:
    """V videos as parallel arrays.

    Attributes:
        triggers: what is shown, one row a video.
        created_day: int32[V], negative for the opening stock.
        author: int32[V], index into `authors`.
        authors: full names of the creators.
        weight: float64[V], lasting appeal.
        unsafe: which of them break the rules, and how it shows.
    """

    triggers: Triggers
    created_day: NDArray[np.int32]
    author: NDArray[np.int32]
    authors: tuple[str, ...]
    weight: NDArray[np.float64]
    unsafe: UnsafeVideos

    @property
    def count(self) -> int:
        """V, the number of videos."""
        return len(self.created_day)

    def appeal(self, day: int) -> NDArray[np.float64]:
        """Return float64[V], the chance to be shown on `day`: 0 before the video exists, halved every 4 days."""
        age = day - self.created_day
        return np.where(age >= 0, self.weight * 0.5 ** (np.maximum(age, 0) / HALF_LIFE_DAYS), 0.0)


@dataclass(frozen=True, slots=True)
class Trend:
    """A word that users search for with a product type, for a few days."""

    word: str
    product_type: int
    start_day: int


def make_trends(spec: WorldSpec, catalogue: Catalogue, rng: np.random.Generator) -> tuple[Trend, ...]:
    """Draw the new trends of every day: one for each ten product types, and at least one."""
    each_day = max(1, len(catalogue.types) // 10)
    return tuple(
        Trend(str(rng.choice(words("trends"))), int(kind), day)
        for day in range(1 - _TREND_DAYS, spec.days)
        for kind in rng.choice(len(catalogue.types), each_day, replace=False, p=catalogue.type_weight)
    )


def make_videos(spec: WorldSpec, catalogue: Catalogue, trends: tuple[Trend, ...], rng: np.random.Generator) -> Videos:
    """Draw the videos, oldest first; a video shows only products that are launched by then."""
    stock = int(spec.videos * spec.rates.stock_videos)
    fresh = spec.videos - stock
    before = np.sort(rng.integers(-STOCK_AGE_DAYS, 0, stock))
    created = np.concatenate([before, np.arange(fresh) * spec.days // fresh]).astype(np.int32)
    product = _draw_products(catalogue, created, rng)
    leading, leading_words, trending = _draw_leading(spec, catalogue, trends, created, product, rng)
    triggers = Triggers(
        product=product,
        aspect=rng.choice(len(ASPECTS), spec.videos, p=(0.18, 0.2, 0.27, 0.2, 0.15)).astype(np.int32),
        leading=leading,
        leading_words=leading_words,
        trending=trending,
        swapped=rng.random(spec.videos) < _SWAPPED_SHARE,
        habit=make_video_habits(spec.videos, rng),
    )
    author_count = max(20, spec.videos // 15)
    pairs = [(a, b) for a in words("first_names") for b in words("last_names")]
    authors = tuple(" ".join(pairs[i % len(pairs)]) for i in rng.permutation(author_count))
    return Videos(
        triggers=triggers,
        created_day=created,
        author=rng.choice(author_count, spec.videos, p=zipf(author_count, 0.8, rng)).astype(np.int32),
        authors=authors,
        weight=zipf(spec.videos, 0.65, rng),
        unsafe=draw_unsafe(spec, rng),
    )


def _draw_products(catalogue: Catalogue, created: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Return int32[V], the product of each video; recently launched products are shown more often."""
    out = np.empty(len(created), dtype=np.int32)
    base = catalogue.product_weight * catalogue.type_weight[catalogue.product_type]
    for day in np.unique(created):
        age = day - catalogue.product_launch_day
        weight = np.where(age < 0, 0.0, base * np.where(age <= 3, 4.0, 1.0))
        rows = created == day
        out[rows] = rng.choice(len(base), int(rows.sum()), p=weight / weight.sum())
    return out


def _draw_leading(
    spec: WorldSpec,
    catalogue: Catalogue,
    trends: tuple[Trend, ...],
    created: NDArray[np.int32],
    product: NDArray[np.int32],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int32], tuple[str, ...], NDArray[np.bool_]]:
    """Return the leading feature of each video: the first or second one of its product, or the word of a trend."""
    vocabulary = sorted({f for t in catalogue.types for f in t.features} | set(words("trends")))
    index = {word: number for number, word in enumerate(vocabulary)}
    running: dict[tuple[int, int], list[str]] = {}
    for trend in trends:
        for day in range(trend.start_day, trend.start_day + _TREND_DAYS):
            running.setdefault((trend.product_type, day), []).append(trend.word)
    leading = np.empty(len(created), dtype=np.int32)
    trending = np.zeros(len(created), dtype=np.bool_)
    draws = rng.random((len(created), 3))
    for row, (day, item) in enumerate(zip(created.tolist(), product.tolist(), strict=True)):
        words_now = running.get((int(catalogue.product_type[item]), day), [])
        if words_now and draws[row, 0] < spec.rates.trend_videos:
            word = words_now[int(draws[row, 1] * len(words_now))]
            trending[row] = True
        else:
            word = catalogue.features[item][int(draws[row, 2] < 0.25)]
        leading[row] = index[word]
    return leading, tuple(vocabulary), trending
