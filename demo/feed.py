"""Makes the feed of the demo page: some of the shipped videos with what they show, viewers, and the shop's products."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from demo.errors import SelectionError
from demo.selection import PHOTOS, USERS
from demo.world.truth import Truth, read_truth
from demo.world.vocabulary import ASPECTS
from offline.logs.tables import read_table

FEED = "feed.json.gz"
FORMAT = 1
TIERS = ("budget", "middle", "premium")
PRODUCT_COLUMNS = ("type", "brand", "model", "kind", "feature", "second_feature", "use", "price")
_UNSAFE_EVERY = 12
"""One video in so many breaks the rules of the shop, so that the feed shows an empty bar soon."""
_INTERESTS = 3
_FIRST_VIDEOS = 16
"""Viewers are chosen for having searched for what this many videos show, so that their bars differ from the start."""
_QUERIES = 8


def write_feed(world: Path, evidence: Path, videos: int, viewers: int) -> dict[str, int]:
    """Write `feed.json.gz` into the folder of the demo's evidence. The same world and folder give the same bytes.

    Args:
        world: the folder of the world that the evidence was made from, with its truth.
        evidence: the folder with the shipped photos and users.
        videos: how many videos the feed has.
        viewers: how many viewers can be chosen.

    Returns:
        Number of entries by name.

    Raises:
        WorldError: the world has no truth.
        SelectionError: the evidence cannot be read, or it is not of this world.
    """
    truth = read_truth(world)
    photos, users = _rows(evidence / PHOTOS), _rows(evidence / USERS)
    if not photos or not users:
        raise SelectionError(f"{evidence} has no rows; `onebar demo-evidence` makes it")
    last = max(row["photo_id"] for row in photos)
    if int(last[1:]) >= len(truth.created_day):
        raise SelectionError(f"the world has no video {last}, so {evidence} was made from another one")
    impressions = read_table(world, "impressions", ["photo_id"])
    views = Counter(impressions["photo_id"].to_pylist())
    authors = read_table(world, "videos", ["photo_id", "author_id"])
    author_of = dict(zip(authors["photo_id"].to_pylist(), authors["author_id"].to_pylist(), strict=True))
    catalogue = truth.wording.catalogue
    chosen = _videos(truth, photos, views, videos)
    feed: dict[str, Any] = {
        "format": FORMAT,
        "types": [
            {"noun": what.noun, "other_noun": what.other_noun, "department": catalogue.departments[department].name}
            for what, department in zip(catalogue.types, catalogue.type_department.tolist(), strict=True)
        ],
        "brands": list(catalogue.brand_names),
        "product_columns": list(PRODUCT_COLUMNS),
        "products": _products(truth),
        "videos": [_video(truth, row, author_of[row["photo_id"]]) for row in chosen],
        "viewers": _viewers(truth, users, _names_of_first(truth, chosen), viewers),
    }
    text = json.dumps(feed, ensure_ascii=False, separators=(",", ":")).encode()
    (evidence / FEED).write_bytes(gzip.compress(text, 9, mtime=0))
    return {"videos": len(feed["videos"]), "viewers": len(feed["viewers"]), "products": len(feed["products"])}


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with gzip.open(path, "rb") as lines:
            return [json.loads(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SelectionError(f"{path} is not gzipped JSON Lines: {error}") from error


def _index(name: str) -> int:
    """Return the row of the world's tables for `p000060` or `u000027`."""
    return int(name[1:])


def _videos(truth: Truth, photos: list[dict[str, Any]], views: Counter[str], count: int) -> list[dict[str, Any]]:
    """Return rows in the order of the feed: departments take turns, and each varies its types and aspects."""
    catalogue, triggers = truth.wording.catalogue, truth.triggers
    by_views = sorted(photos, key=lambda row: (-views[row["photo_id"]], row["photo_id"]))
    unsafe = [row for row in by_views if truth.unsafe[_index(row["photo_id"])]]
    waiting: dict[int, list[tuple[int, int, dict[str, Any]]]] = {}
    for row in by_views:
        index = _index(row["photo_id"])
        if not truth.unsafe[index]:
            kind = int(catalogue.product_type[triggers.product[index]])
            department = int(catalogue.type_department[kind])
            waiting.setdefault(department, []).append((kind, int(triggers.aspect[index]), row))
    used_types, used_aspects = Counter[int](), Counter[int]()
    order: list[dict[str, Any]] = []
    while len(order) < count and any(waiting.values()):
        for department in sorted(waiting):
            if len(order) < count and unsafe and len(order) % _UNSAFE_EVERY == _UNSAFE_EVERY // 2:
                order.append(unsafe.pop(0))
            if len(order) < count and waiting[department]:
                best = min(waiting[department], key=lambda entry: (used_types[entry[0]], used_aspects[entry[1]]))
                waiting[department].remove(best)
                used_types[best[0]] += 1
                used_aspects[best[1]] += 1
                order.append(best[2])
    return order


def _video(truth: Truth, row: dict[str, Any], author: str) -> dict[str, Any]:
    triggers, index = truth.triggers, _index(row["photo_id"])
    texts = (row.get(name) for name in ("caption", "photo_title", "title", "item_title"))
    return {
        "photo_id": row["photo_id"],
        "author": author,
        "caption": next((text for text in texts if text), ""),
        "product": int(triggers.product[index]),
        "aspect": ASPECTS[int(triggers.aspect[index])],
        "leading": triggers.leading_words[int(triggers.leading[index])],
    }


def _products(truth: Truth) -> list[list[Any]]:
    """Return a row of `PRODUCT_COLUMNS` for each product; type and brand are indexes."""
    catalogue = truth.wording.catalogue
    return [
        [int(kind), int(brand), model, look, *features, use, round(float(price), 2)]
        for kind, brand, model, look, features, use, price in zip(
            catalogue.product_type, catalogue.product_brand, catalogue.models, catalogue.kinds, catalogue.features,
            catalogue.uses, catalogue.product_price, strict=True,
        )
    ]  # fmt: skip


def _names_of_first(truth: Truth, chosen: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the two names of the product type that each of the first videos shows."""
    catalogue = truth.wording.catalogue
    products = [int(truth.triggers.product[_index(row["photo_id"])]) for row in chosen[:_FIRST_VIDEOS]]
    types = [catalogue.types[int(catalogue.product_type[product])] for product in products]
    return [(what.noun, what.other_noun) for what in types]


def _viewers(
    truth: Truth, users: list[dict[str, Any]], names: list[tuple[str, str]], count: int
) -> list[dict[str, Any]]:
    """Return viewers who differ in first interest and price tier and have searched for many of the products named."""
    people, departments = truth.wording.users, truth.wording.catalogue.departments
    brands = truth.wording.catalogue.brand_names
    waiting = sorted(users, key=lambda row: row["user_id"])
    used: Counter[tuple[str, int]] = Counter()
    chosen: list[dict[str, Any]] = []

    def searched(row: dict[str, Any]) -> int:
        return sum(any(name in query for query in row["queries"] for name in pair) for pair in names)

    found = {row["user_id"]: searched(row) for row in waiting}

    def order(row: dict[str, Any]) -> tuple[int, int, int]:
        index = _index(row["user_id"])
        interest, tier = int(np.argmax(people.interests[index])), int(people.tier[index])
        return used["interest", interest], -found[row["user_id"]], used["tier", tier]

    while waiting and len(chosen) < count:
        row = min(waiting, key=order)
        waiting.remove(row)
        index = _index(row["user_id"])
        first = np.argsort(-people.interests[index], kind="stable")[:_INTERESTS].tolist()
        used["interest", first[0]] += 1
        used["tier", int(people.tier[index])] += 1
        interests = [
            {
                "department": departments[number].name,
                "brand": brands[int(people.brand[index][number])],
                "taste": departments[number].tastes[int(people.taste[index][number])],
            }
            for number in first
        ]
        tier = TIERS[int(people.tier[index])]
        queries = row["queries"][:_QUERIES]
        chosen.append({"user_id": row["user_id"], "tier": tier, "interests": interests, "queries": queries})
    return chosen
