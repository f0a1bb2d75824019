"""The users: interests, activity, and the attributes that each one usually searches for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.catalogue import PRICE_TIERS, Catalogue

ACTIVITY_LEVELS = 5
_INTEREST_SHARES = (0.40, 0.22, 0.13)


@dataclass(frozen=True, slots=True)
class Users:
    """U users as parallel arrays.

    Attributes:
        activity: int32[U], 0 (rarely here) to 4 (always here).
        interests: float64[U, D], the share of a person's watching that goes to each department; rows sum to 1.
        brand: int32[U, D], the brand that the person asks for in a department.
        taste: int32[U, D], index of the attribute that the person asks for in a department.
        tier: int32[U], price tier, 0 budget to 2 premium.
        brand_pull, price_pull, taste_pull: float32[U], how strongly queries of that group are preferred (logits).
    """

    activity: NDArray[np.int32]
    interests: NDArray[np.float64]
    brand: NDArray[np.int32]
    taste: NDArray[np.int32]
    tier: NDArray[np.int32]
    brand_pull: NDArray[np.float32]
    price_pull: NDArray[np.float32]
    taste_pull: NDArray[np.float32]


def make_users(count: int, catalogue: Catalogue, rng: np.random.Generator) -> Users:
    """Draw the users. Favourite brands follow market share, with more weight on the user's own price tier."""
    shop = catalogue.departments
    crowd = np.bincount(catalogue.type_department, weights=catalogue.type_weight)
    shares = _INTEREST_SHARES[: len(shop)]
    interests = np.tile(crowd * (1 - sum(shares)), (count, 1))
    favourites = np.argsort(-(np.log(crowd) + rng.gumbel(size=(count, len(shop)))), axis=1)
    for rank, share in enumerate(shares):
        interests[np.arange(count), favourites[:, rank]] += share
    tier = rng.choice(PRICE_TIERS, count, p=(0.45, 0.35, 0.20)).astype(np.int32)
    brand = np.empty((count, len(shop)), dtype=np.int32)
    taste = np.empty((count, len(shop)), dtype=np.int32)
    for index, department in enumerate(shop):
        own = catalogue.department_brands[index]
        fits = catalogue.brand_tier[own][None, :] == tier[:, None]
        score = np.log(catalogue.brand_weight[index]) + 1.5 * fits + rng.gumbel(size=(count, len(own)))
        brand[:, index] = own[np.argmax(score, axis=1)]
        taste[:, index] = rng.integers(0, len(department.tastes), count)
    pulls = rng.normal(0.0, 0.9, size=(3, count)).astype(np.float32)
    activity = rng.choice(ACTIVITY_LEVELS, count, p=(0.30, 0.28, 0.20, 0.14, 0.08)).astype(np.int32)
    return Users(activity, interests, brand, taste, tier, pulls[0], pulls[1], pulls[2])
