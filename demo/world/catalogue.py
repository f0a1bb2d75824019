"""The products of the shop: types, brands, models, attributes and prices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.spec import WorldSpec
from demo.world.vocabulary import Department, ProductType, departments, words

BRANDS_PER_DEPARTMENT = 12
PRICE_TIERS = 3
_ROUND_PRICES = np.array(
    [5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 1500, 2000]
)
_TIER_QUANTILES = (0.15, 0.45, 0.80)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The shop as parallel arrays; T types, D departments, B brands, P products.

    Attributes:
        departments: D departments, those of this shop.
        types: T product types.
        type_department: int32[T].
        type_weight: float64[T], how often a type is wanted; sums to 1.
        noun_share: float64[T], the share of users who use `noun` instead of `other_noun`.
        price_points: int32[T, 3], the "under N" of each price tier for a type.
        brand_names: B names. brand_tier: int32[B], 0 budget to 2 premium. department_brands: int32[D, 12].
        brand_weight: float64[D, 12], market shares.
        product_type, product_brand, product_rival, product_launch_day: int32[P]; the rival is another brand.
        product_price: float64[P] dollars. product_weight: float64[P].
        models: P model names. features: P pairs of features, the first leading. kinds, uses: P each.
    """

    departments: tuple[Department, ...]
    types: tuple[ProductType, ...]
    type_department: NDArray[np.int32]
    type_weight: NDArray[np.float64]
    noun_share: NDArray[np.float64]
    price_points: NDArray[np.int32]
    brand_names: tuple[str, ...]
    brand_tier: NDArray[np.int32]
    department_brands: NDArray[np.int32]
    brand_weight: NDArray[np.float64]
    product_type: NDArray[np.int32]
    product_brand: NDArray[np.int32]
    product_rival: NDArray[np.int32]
    product_launch_day: NDArray[np.int32]
    product_price: NDArray[np.float64]
    product_weight: NDArray[np.float64]
    models: tuple[str, ...]
    features: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]
    uses: tuple[str, ...]


def zipf(count: int, exponent: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return Zipf weights in a random order; they sum to 1."""
    weights = 1.0 / np.arange(1, count + 1) ** exponent
    return rng.permutation(weights / weights.sum())


def _brand_names(count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Return invented brand names: no duplicates, no series words."""
    starts, middles, ends = words("brand_starts"), words("brand_middles"), words("brand_ends")
    taken = {word.lower() for word in words("series")}
    names: list[str] = []
    while len(names) < count:
        name = rng.choice(starts) + (rng.choice(middles) if rng.random() < 0.6 else "") + rng.choice(ends)
        if name.lower() not in taken:
            taken.add(name.lower())
            names.append(str(name))
    return tuple(names)


class ModelNames:
    """The model names of one brand: a series and a suffix, such as "Aero Pro"; each is given to one product.

    When every pair is taken, the pairs return as later generations: "Aero G2 Pro", "Aero G3 Pro".
    """

    def __init__(self, series: NDArray[np.str_]) -> None:
        """Start without any name taken."""
        self._series, self._suffixes = series, words("suffixes")
        self._taken: set[tuple[str, str]] = set()
        self._generations: Counter[tuple[str, str]] = Counter()

    def draw(self, rng: np.random.Generator) -> str:
        """Return a name that no other product of the brand has."""
        pairs = len(self._series) * len(self._suffixes)
        while True:
            pair = series, suffix = str(rng.choice(self._series)), str(rng.choice(self._suffixes))
            if len(self._taken) == pairs:
                self._generations[pair] += 1
                return f"{series} G{self._generations[pair] + 1} {suffix}"
            if pair not in self._taken:
                self._taken.add(pair)
                return f"{series} {suffix}"


def make_catalogue(spec: WorldSpec, rng: np.random.Generator) -> Catalogue:
    """Draw the catalogue: about one product for five videos, a quarter of them launched while the log runs."""
    shop = departments(spec.departments)
    types = tuple(t for d in shop for t in d.types)
    type_department = np.repeat(np.arange(len(shop), dtype=np.int32), [len(d.types) for d in shop])
    low = np.array([t.lowest_price for t in types])
    high = np.array([t.highest_price for t in types])
    points = low[:, None] * (high / low)[:, None] ** np.array(_TIER_QUANTILES)
    price_points = _ROUND_PRICES[np.searchsorted(_ROUND_PRICES, points).clip(max=len(_ROUND_PRICES) - 1)]
    brand_count = len(shop) * BRANDS_PER_DEPARTMENT
    brand_tier = rng.integers(0, PRICE_TIERS, brand_count).astype(np.int32)
    department_brands = np.arange(brand_count, dtype=np.int32).reshape(len(shop), BRANDS_PER_DEPARTMENT)
    brand_weight = np.stack([zipf(BRANDS_PER_DEPARTMENT, 0.8, rng) for _ in shop])
    type_weight = zipf(len(types), 0.6, rng)
    products = max(len(types), spec.videos // 5)
    product_type = np.concatenate(
        [np.arange(len(types)), rng.choice(len(types), products - len(types), p=type_weight)]
    ).astype(np.int32)
    department = type_department[product_type]
    picks = [rng.choice(BRANDS_PER_DEPARTMENT, 2, replace=False, p=brand_weight[d]) for d in department]
    brands, rivals = (department_brands[department, np.array(picks)[:, k]] for k in (0, 1))
    tier_quantile = (brand_tier[brands] + rng.random(products)) / PRICE_TIERS
    price = np.round(low[product_type] * (high / low)[product_type] ** tier_quantile) - 0.01
    launched = rng.random(products) < spec.rates.new_products
    launched[: len(types)] = False
    launch_day = np.where(launched, rng.integers(0, spec.days, products), -30).astype(np.int32)
    models, features, kinds, uses = [], [], [], []
    series = words("series")
    # Brands belong to one department each: with fewer departments, a brand has more products and needs more series.
    series_each = min(len(series), 4 + products * len(departments()) // len(shop) // 1000)
    names = [ModelNames(rng.choice(series, series_each, replace=False)) for _ in range(brand_count)]
    for index in range(products):
        kind = shop[department[index]]
        what = types[product_type[index]]
        models.append(names[brands[index]].draw(rng))
        first, second = rng.choice(len(what.features), 2, replace=False)
        features.append((what.features[first], what.features[second]))
        kinds.append(str(rng.choice(kind.kinds)))
        uses.append(str(rng.choice(what.uses)))
    return Catalogue(
        departments=shop,
        types=types,
        type_department=type_department,
        type_weight=type_weight,
        noun_share=rng.choice([0.12, 0.3, 0.7, 0.85, 0.93], len(types)),
        price_points=price_points.astype(np.int32),
        brand_names=_brand_names(brand_count, rng),
        brand_tier=brand_tier,
        department_brands=department_brands,
        brand_weight=brand_weight,
        product_type=product_type,
        product_brand=brands.astype(np.int32),
        product_rival=rivals.astype(np.int32),
        product_launch_day=launch_day,
        product_price=price,
        product_weight=zipf(products, 0.7, rng),
        models=tuple(models),
        features=tuple(features),
        kinds=tuple(kinds),
        uses=tuple(uses),
    )
