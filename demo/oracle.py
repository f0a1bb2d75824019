"""Upper bounds for a world: the oracle, which knows intent and wording, and ideal readers of a part of the evidence.

The targets of a day are those of an evaluation: item queries that were clicked in the bar or typed after a video. The
world draws the query of a user from P(query | video, user) *before* the bar is looked at, and users act with the same
probability for every bar. So clicked and typed targets together follow that distribution, up to near-miss clicks,
curiosity clicks and typing errors. The oracle answers with the eight most probable strings.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demo.errors import WorldError
from demo.world.fields import PARTS
from demo.world.truth import Truth, read_truth
from demo.world.videos import HALF_LIFE_DAYS
from demo.world.wording import IS_PERSONAL, Triggers
from evidence.rows import TEXT_FIELDS

WIDTH = 8
_NEGLIGIBLE, _RARE = 1e-5, 1e-3


@dataclass(frozen=True, slots=True)
class Targets:
    """Item-intent targets of one day on safe videos, N rows."""

    user: NDArray[np.int64]
    video: NDArray[np.int64]
    source: list[str]
    text: list[str]


def read_targets(world_dir: Path | str, truth: Truth, day: int, sample: int | None = None) -> Targets:
    """Return the targets of `day`, at most `sample` of them, chosen with a fixed seed.

    Raises:
        WorldError: the world has no such day.
    """
    table = pq.read_table(Path(world_dir) / "truth" / "targets.parquet")
    table = table.filter(pc.and_(pc.equal(table["day"], day), pc.greater_equal(table["target_form"], 0)))
    safe = ~truth.unsafe[table["video"].to_numpy()]
    table = table.filter(safe)
    if table.num_rows == 0:
        raise WorldError(f"the world has no targets on day {day}; its days are 0 to {truth.spec['days'] - 1}")
    if sample is not None and sample < table.num_rows:
        table = table.take(np.sort(np.random.default_rng(0).choice(table.num_rows, sample, replace=False)))
    return Targets(
        table["user"].to_numpy().astype(np.int64),
        table["video"].to_numpy().astype(np.int64),
        table["source"].to_pylist(),
        table["target"].to_pylist(),
    )


def distribution(truth: Truth, triggers: Triggers, people: NDArray[np.int64]) -> list[dict[str, float]]:
    """Return the exact P(query | video, user) of each row; equal strings are merged, those under 1e-5 left out."""
    mass = truth.wording.probabilities(triggers, people)
    rows, forms, names = np.nonzero(mass > _NEGLIGIBLE)
    texts = truth.wording.texts(triggers.take(rows), people[rows], forms.astype(np.int32), names.astype(np.int32))
    out: list[dict[str, float]] = [defaultdict(float) for _ in range(len(people))]
    for row, text, share in zip(rows.tolist(), texts, mass[rows, forms, names].tolist(), strict=True):
        out[row][text] += share
    return out


def mixture(truth: Truth, triggers: Triggers, people: NDArray[np.int64]) -> dict[str, float]:
    """Return the mean of P(query | video, user) over the rows; strings under 1e-4 are left out."""
    mass = truth.wording.probabilities(triggers, people) / len(people)
    rows, forms, names = np.nonzero(mass > _RARE / len(people))
    # Most words do not depend on the user: equal slots are filled once.
    person = np.where(IS_PERSONAL[forms], people[rows], 0)
    slots = np.stack([triggers.product[rows], triggers.leading[rows], person, forms, names])
    kept, inverse = np.unique(slots, axis=1, return_inverse=True)
    first = np.zeros(kept.shape[1], dtype=np.int64)
    first[inverse.ravel()] = rows
    sums = np.bincount(inverse.ravel(), weights=mass[rows, forms, names])
    chosen = np.flatnonzero(sums > _RARE / 10)
    texts = truth.wording.texts(
        triggers.take(first[chosen]),
        people[first[chosen]],
        kept[3, chosen].astype(np.int32),
        kept[4, chosen].astype(np.int32),
    )
    out: dict[str, float] = defaultdict(float)
    for text, share in zip(texts, sums[chosen].tolist(), strict=True):
        out[text] += share
    return out


def best(shares: dict[str, float], width: int = WIDTH) -> list[str]:
    """Return the most probable queries, best first; ties by spelling."""
    return sorted(shares, key=lambda text: (-shares[text], text))[:width]


def ceiling(world_dir: Path | str, day: int, sample: int | None = None) -> dict[str, float]:
    """Return the figures of the oracle on the targets of a day.

    Args:
        world_dir: folder written by `onebar world`.
        day: log day; the last one is the test day.
        sample: the most targets to measure on.

    Returns:
        `hr@8`, `mrr@8` and `hr@1` on the realised targets, `hr@8 bar` and `hr@8 post_video` by source, `mass@8`, the
        expected HR@8 on intents without the noise of clicks and typing, and `targets`, their number.
    """
    truth = read_truth(world_dir)
    targets = read_targets(world_dir, truth, day, sample)
    shares = distribution(truth, truth.triggers.take(targets.video), targets.user)
    answers = [best(share) for share in shares]
    ranks = np.array([a.index(t) + 1 if t in a else 0 for a, t in zip(answers, targets.text, strict=True)])
    hit = ranks > 0
    source = np.array(targets.source)
    figures = {
        "hr@8": float(hit.mean()),
        "mrr@8": float(np.where(hit, 1.0 / np.maximum(ranks, 1), 0.0).mean()),
        "hr@1": float((ranks == 1).mean()),
        "mass@8": float(np.mean([sum(s[q] for q in a) for s, a in zip(shares, answers, strict=True)])),
        "targets": float(len(ranks)),
    }
    for name in ("bar", "post_video"):
        if (source == name).any():
            figures[f"hr@8 {name}"] = float(hit[source == name].mean())
    return figures


def title_mask(truth: Truth) -> NDArray[np.int32]:
    """Return int32[V], the parts that the canonical title (the first present text) names."""
    out = np.zeros(len(truth.created_day), dtype=np.int32)
    empty = np.ones(len(out), dtype=np.bool_)
    for name in TEXT_FIELDS:
        here = truth.present[name] & empty
        out[here] = truth.masks[name][here]
        empty &= ~here
    return out


@dataclass(frozen=True, slots=True)
class Reader:
    """What an ideal reader of some evidence knows of a video; everything else is averaged over the world.

    Attributes:
        title: what the canonical title names. summary: what the summary names.
        product: brand, model and attributes of the product, which the queries of neighbours name.
        crowd: how the crowd words its searches on this video, which histories show.
        person: the brand, price tier, taste and preferences of the user, which past queries show.
    """

    title: bool = True
    summary: bool = False
    product: bool = False
    crowd: bool = False
    person: bool = False


def bound(world_dir: Path | str, day: int, reader: Reader, sample: int = 500, draws: int = 60) -> dict[str, float]:
    """Return the figures of an ideal reader on a day: the oracle's posterior given only what the evidence names.

    For each target, videos that agree with it in every named part are drawn by appeal (the prior over products,
    aspects, trends and crowd habits), each with a random user. The mean of their distributions is the posterior
    predictive. The reader has more than a real one: it understands words without error, and knows what is named for
    certain.

    Returns:
        `hr@8` on the realised targets and `targets`, their number.
    """
    truth = read_truth(world_dir)
    targets = read_targets(world_dir, truth, day, sample)
    rng = np.random.default_rng(day)
    masks, keys = np.zeros(len(truth.created_day), dtype=np.int32), part_keys(truth)
    if reader.title:
        masks |= title_mask(truth)
    if reader.summary:
        masks |= truth.masks["summary"]
    if reader.product:
        masks |= (1 << len(PARTS)) - 1 - (1 << PARTS.index("aspect"))
    known = truth.created_day <= day
    people = len(truth.wording.users.tier)
    hits = 0
    for video, user, text in zip(targets.video.tolist(), targets.user.tolist(), targets.text, strict=True):
        agree = known & ~truth.unsafe
        for part, key in keys.items():
            if masks[video] >> PARTS.index(part) & 1:
                agree = agree & (key == key[video])
        picks = draw_videos(truth, agree, day, draws, rng)
        habits = truth.triggers.habit[rng.integers(0, len(known), draws)]
        if reader.crowd:
            habits = np.repeat(truth.triggers.habit[[video]], draws, axis=0)
        crowd = np.full(draws, user) if reader.person else rng.integers(0, people, draws)
        hits += text in best(mixture(truth, replace(truth.triggers.take(picks), habit=habits), crowd))
    return {"hr@8": hits / len(targets.text), "targets": float(len(targets.text))}


def draw_videos(
    truth: Truth, among: NDArray[np.bool_], day: int, draws: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw int64[draws], numbers of videos: one that is `HALF_LIFE_DAYS` older on a day is half as likely.

    Args:
        truth: of the world.
        among: bool[V], the videos to draw from; at least one.
        day: of the world.
        draws: how many.
        rng: source of randomness.
    """
    rows = np.flatnonzero(among)
    appeal = 0.5 ** ((day - truth.created_day[rows]) / HALF_LIFE_DAYS)
    return np.asarray(rng.choice(rows, draws, p=appeal / appeal.sum()), np.int64)


def part_keys(truth: Truth) -> dict[str, NDArray[np.int64]]:
    """Return for each part a number per video; two videos agree in a part when the numbers are equal."""
    catalogue, triggers = truth.wording.catalogue, truth.triggers
    product = triggers.product

    def numbered(words: list[str]) -> NDArray[np.int64]:
        return np.asarray(np.unique(np.array(words), return_inverse=True)[1])

    second = [
        b if truth.triggers.leading_words[lead] != b else a
        for (a, b), lead in zip((catalogue.features[p] for p in product), triggers.leading, strict=True)
    ]
    return {
        "noun": catalogue.product_type[product].astype(np.int64),
        "brand": catalogue.product_brand[product].astype(np.int64),
        "model": numbered([catalogue.models[p] for p in product]),
        "feat": triggers.leading.astype(np.int64),
        "feat2": numbered(second),
        "kind": numbered([catalogue.kinds[p] for p in product]),
        "use": numbered([catalogue.uses[p] for p in product]),
        "aspect": triggers.aspect.astype(np.int64),
    }
