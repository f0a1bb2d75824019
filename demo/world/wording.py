"""How users word their intents: the true distribution P(query | video, user).

A query is a form (table `FORMS`) with its slots filled, and one of the two names of the product type. The form's
logit is the sum of its base, the video's aspect, the habit of the crowd for that product type, the habit of the crowd
for that video, and the preferences of the user; the name is drawn separately. So the distribution is a softmax over a
few dozen strings. It can be enumerated exactly, and `demo.oracle` does so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.catalogue import Catalogue
from demo.world.users import Users
from demo.world.vocabulary import ASPECTS

GROUPS = ("type", "attribute", "use", "brand", "model", "own_brand", "own_price", "own_taste", "rare")
"""The subject of a form. `own_*` forms name what the user usually searches for; the others what the video shows."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of query: a pattern, its group, its base logit, and the aspects that favour it."""

    pattern: str
    group: str
    logit: float
    aspects: tuple[str, ...] = ()

    @property
    def has_noun(self) -> bool:
        """Whether the product type is named, by either of its two names."""
        return "{noun}" in self.pattern


FORMS: tuple[Form, ...] = (
    Form("{noun} price", "type", -0.4, ("price",)),
    Form("best {noun}", "type", -0.4, ("review",)),
    Form("cheap {noun}", "type", -0.6, ("price",)),
    Form("{feat} {noun}", "attribute", 1.1, ("showcase",)),
    Form("best {feat} {noun}", "attribute", 0.3, ("review",)),
    Form("{feat} {noun} price", "attribute", -0.1, ("price",)),
    Form("{feat} {feat2} {noun}", "attribute", 0.0, ("showcase",)),
    Form("{kind} {noun}", "attribute", 0.1, ("showcase",)),
    Form("{feat} {kind} {noun}", "attribute", -0.2, ("showcase", "unboxing")),
    Form("{noun} for {use}", "use", 0.6, ("use",)),
    Form("best {noun} for {use}", "use", 0.1, ("use", "review")),
    Form("{feat} {noun} for {use}", "use", 0.2, ("use",)),
    Form("{brand} {noun}", "brand", 0.8, ("unboxing", "showcase")),
    Form("{brand} {noun} price", "brand", 0.2, ("price",)),
    Form("{brand} {feat} {noun}", "brand", 0.4, ("showcase",)),
    Form("{brand} {noun} review", "brand", 0.1, ("review",)),
    Form("{brand} {kind} {noun}", "brand", -0.5, ("showcase",)),
    Form("{brand} {model}", "model", 1.3, ("unboxing",)),
    Form("{brand} {model} price", "model", 0.7, ("price",)),
    Form("{brand} {model} review", "model", 0.6, ("review",)),
    Form("{brand} {model} {noun}", "model", 0.1, ("unboxing",)),
    Form("{brand} {model} {kind}", "model", -0.3, ("showcase",)),
    Form("{brand} {model} vs {rival}", "model", -0.5, ("review",)),
    Form("{own_brand} {noun}", "own_brand", 0.5),
    Form("{own_brand} {feat} {noun}", "own_brand", 0.2, ("showcase",)),
    Form("{own_brand} {noun} for {use}", "own_brand", -0.5, ("use",)),
    Form("{noun} under {points}", "own_price", 0.4, ("price",)),
    Form("{feat} {noun} under {points}", "own_price", 0.1, ("price",)),
    Form("{brand} {noun} under {points}", "own_price", -0.6, ("price",)),
    Form("{taste} {noun}", "own_taste", 0.5),
    Form("{taste} {feat} {noun}", "own_taste", -0.1, ("showcase",)),
    Form("{taste} {noun} for {use}", "own_taste", -0.3, ("use",)),
    Form("{taste} {noun} under {points}", "own_price", -0.7, ("price",)),
    Form("{noun} for {use_0}", "rare", -1.3, ("use",)),
    Form("{noun} for {use_1}", "rare", -1.3, ("use",)),
    Form("{noun} for {use_2}", "rare", -1.3, ("use",)),
    Form("{kind_0} {noun}", "rare", -1.6, ("showcase",)),
    Form("{kind_1} {noun}", "rare", -1.6, ("showcase",)),
    Form("{kind_2} {noun}", "rare", -1.6, ("showcase",)),
)

SCALE = 1.45
"""Sharpness of the whole distribution; chosen so that the HR@8 of the oracle is in the middle of its range."""
_HABIT_ROWS = 1 << 16
"""Videos whose habits are drawn at once, in double precision."""
_ASPECT_LOGIT, _TYPE_HABIT, _VIDEO_HABIT, _TREND_LOGIT = 1.1, 0.6, 0.5, 0.8

GROUP_OF_FORM = np.array([GROUPS.index(form.group) for form in FORMS], dtype=np.int32)
HAS_NOUN = np.array([form.has_noun for form in FORMS])
IS_PERSONAL = np.array([form.group.startswith("own_") for form in FORMS])
BASE = np.array([form.logit for form in FORMS], dtype=np.float32)
ASPECT_LOGITS = np.array([[_ASPECT_LOGIT * (a in form.aspects) for form in FORMS] for a in ASPECTS], dtype=np.float32)
TREND_LOGITS = np.array([_TREND_LOGIT * ("{feat}" in form.pattern) for form in FORMS], dtype=np.float32)
SPECIFIC = np.isin(GROUP_OF_FORM, [GROUPS.index(g) for g in ("model", "own_brand", "own_price")])


@dataclass(frozen=True, slots=True)
class Triggers:
    """The watched videos, N rows: everything that wording depends on, except for the user.

    Attributes:
        product: int32[N]. aspect: int32[N].
        leading: int32[N], index into `leading_words`, the feature that is shown (or a trend's word).
        leading_words: every word that `leading` may point at.
        trending: bool[N]. swapped: bool[N], the crowd of this video prefers the type's less common name.
        habit: float32[N, F], the crowd's wording for this very video.
    """

    product: NDArray[np.int32]
    aspect: NDArray[np.int32]
    leading: NDArray[np.int32]
    leading_words: tuple[str, ...]
    trending: NDArray[np.bool_]
    swapped: NDArray[np.bool_]
    habit: NDArray[np.float32]

    def take(self, rows: NDArray[np.integer]) -> Triggers:
        """Return the chosen rows, in that order."""
        return Triggers(
            self.product[rows],
            self.aspect[rows],
            self.leading[rows],
            self.leading_words,
            self.trending[rows],
            self.swapped[rows],
            self.habit[rows],
        )


def make_type_habits(types: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return float32[T, F], the crowd's preference of forms for each product type."""
    return rng.normal(0.0, _TYPE_HABIT, (types, len(FORMS))).astype(np.float32)


def make_video_habits(videos: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return float32[V, F], the crowd's preference of forms for each video."""
    out = np.empty((videos, len(FORMS)), dtype=np.float32)
    for start in range(0, videos, _HABIT_ROWS):
        part = out[start : start + _HABIT_ROWS]
        part[:] = rng.normal(0.0, _VIDEO_HABIT, part.shape)
    return out


@dataclass(frozen=True, slots=True)
class Wording:
    """The true distribution over queries for pairs of a trigger and a user."""

    catalogue: Catalogue
    users: Users
    type_habit: NDArray[np.float32]

    def logits(self, triggers: Triggers, people: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return float32[N, F], the unnormalised log-probability of each form."""
        pulls = np.zeros((len(people), len(GROUPS)), dtype=np.float32)
        for group, pull in (
            ("own_brand", self.users.brand_pull),
            ("own_price", self.users.price_pull),
            ("own_taste", self.users.taste_pull),
        ):
            pulls[:, GROUPS.index(group)] = pull[people]
        out = BASE + ASPECT_LOGITS[triggers.aspect] + self.type_habit[self.catalogue.product_type[triggers.product]]
        out += triggers.habit + pulls[:, GROUP_OF_FORM] + triggers.trending[:, None] * TREND_LOGITS
        return np.asarray(SCALE * out, dtype=np.float32)

    def probabilities(self, triggers: Triggers, people: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return float64[N, F, 2], the probability of each form and name; forms without a noun use the first slot."""
        logits = self.logits(triggers, people).astype(np.float64)
        form = np.exp(logits - logits.max(axis=1, keepdims=True))
        form /= form.sum(axis=1, keepdims=True)
        first = self.first_noun_share(triggers)
        noun = np.stack([first, 1.0 - first], axis=1)[:, None, :]  # [N, 1, 2]
        noun = np.where(HAS_NOUN[None, :, None], noun, np.array([1.0, 0.0]))  # [N, F, 2]
        return np.asarray(form[:, :, None] * noun)

    def first_noun_share(self, triggers: Triggers) -> NDArray[np.float64]:
        """Return float64[N], the share of users who use the first name of the type."""
        share = self.catalogue.noun_share[self.catalogue.product_type[triggers.product]]
        return np.where(triggers.swapped, 1.0 - share, share)

    def sample(
        self,
        triggers: Triggers,
        people: NDArray[np.integer],
        rng: np.random.Generator,
        boost: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Draw (form int32[N], name 0 or 1 int32[N]); `boost` float32[F] is added to the logits."""
        logits = self.logits(triggers, people)
        if boost is not None:
            logits = logits + boost
        logits += rng.gumbel(size=logits.shape).astype(np.float32)
        form = np.argmax(logits, axis=1).astype(np.int32)
        second = rng.random(len(people)) >= self.first_noun_share(triggers)
        return form, (second & HAS_NOUN[form]).astype(np.int32)

    def texts(
        self,
        triggers: Triggers,
        people: NDArray[np.integer],
        forms: NDArray[np.int32],
        names: NDArray[np.int32],
    ) -> list[str]:
        """Return the N queries as strings, in lower case."""
        brands = self.catalogue.brand_names
        rows = zip(
            triggers.product.tolist(),
            triggers.leading.tolist(),
            people.tolist(),
            forms.tolist(),
            names.tolist(),
            strict=True,
        )
        out = []
        for product, leading, person, form, name in rows:
            slots = Slots(self, product, triggers.leading_words[leading], person, name, brands)
            out.append(_FILL[form](slots))
        return out


class Slots:
    """Words of one (product, user) pair, looked up only when a pattern needs them."""

    __slots__ = ("brands", "leading", "name", "person", "product", "wording")

    def __init__(
        self, wording: Wording, product: int, leading: str, person: int, name: int, brands: tuple[str, ...]
    ) -> None:
        self.wording, self.product, self.leading = wording, product, leading
        self.person, self.name, self.brands = person, name, brands

    def word(self, slot: str) -> str:
        """Return the word for one slot of a pattern."""
        shop, users = self.wording.catalogue, self.wording.users
        kind_of = int(shop.product_type[self.product])
        what = shop.types[kind_of]
        number = int(shop.type_department[kind_of])
        department = shop.departments[number]
        if slot == "noun":
            return what.other_noun if self.name else what.noun
        if slot == "feat":
            return self.leading
        if slot == "feat2":
            first, second = shop.features[self.product]
            return second if self.leading != second else first
        if slot == "kind":
            return shop.kinds[self.product]
        if slot == "use":
            return shop.uses[self.product]
        if slot == "brand":
            return self.brands[int(shop.product_brand[self.product])].lower()
        if slot == "rival":
            return self.brands[int(shop.product_rival[self.product])].lower()
        if slot == "model":
            return shop.models[self.product].lower()
        if slot == "own_brand":
            return self.brands[int(users.brand[self.person, number])].lower()
        if slot == "points":
            return str(shop.price_points[kind_of, users.tier[self.person]])
        if slot == "taste":
            return department.tastes[int(users.taste[self.person, number])]
        choices = what.uses if slot.startswith("use_") else department.kinds
        shown = shop.uses[self.product] if slot.startswith("use_") else shop.kinds[self.product]
        others = [word for word in choices if word != shown]
        return others[int(slot[-1]) % len(others)]


def _filler(pattern: str) -> Callable[[Slots], str]:
    """Return a function that fills one pattern from slots."""
    parts = [(part[1:-1], True) if part.startswith("{") else (part, False) for part in pattern.split(" ")]

    def fill(slots: Slots) -> str:
        return " ".join(slots.word(part) if is_slot else part for part, is_slot in parts)

    return fill


_FILL = tuple(_filler(form.pattern) for form in FORMS)
