"""One simulated day: which users watch which videos, their intents, their clicks and their searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.world.catalogue import Catalogue
from demo.world.policy import EXAMINED, SHOWN, LoggingPolicy
from demo.world.registry import OTHER_INTENT, UNSAFE, QueryRegistry
from demo.world.safety import TERMS
from demo.world.spec import WorldSpec
from demo.world.users import Users
from demo.world.videos import Videos
from demo.world.vocabulary import phrases, safety
from demo.world.wording import FORMS, GROUP_OF_FORM, Triggers, Wording

_ACTIVITY_WEIGHT = np.array([0.3, 0.7, 1.2, 2.2, 4.0])
ACTS = 0.62
"""Probability that a watched video (of those logged) ends in a query, clicked or typed."""
ENGAGED_EXACT, ENGAGED_OTHER, ORDERED = 0.5, 0.25, 0.12
"""Probabilities: an item query is engaged with after a click on the intent, or after another click; then ordered."""
ORDER_VALUE_SPREAD = 0.25
"""Standard deviation of the logarithm of an order's value over the product's price."""
_UNSAFE_INTENT = 0.6

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that does not change over the days."""

    spec: WorldSpec
    catalogue: Catalogue
    users: Users
    videos: Videos
    wording: Wording


@dataclass(frozen=True, slots=True)
class Intents:
    """The intents of N users.

    Attributes:
        query: int32[N]. form: int32[N], of the query before typing errors.
    """

    query: NDArray[np.int32]
    form: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Watching:
    """The impressions of a day in the order of time, N rows, and what followed them.

    Attributes:
        second: float64[N] since midnight. user, video: int32[N].
        candidates, policies: int32[N, 5] as `LoggingPolicy.fill` gives them, all -1 where no bar was shown.
        clicked: int32[N], position of the click in `candidates`, -1 for none.
        on_intent: bool[N], the click is on exactly the intended query.
        acts: bool[N], there was an intent. typed: bool[N], it was typed into the search box after the video.
        intents: of every impression, also where no action followed.
        typed_query: int32[N], the typed query, typing errors included; meaningful where `typed`.
    """

    second: NDArray[np.float64]
    user: NDArray[np.int64]
    video: NDArray[np.int64]
    candidates: NDArray[np.int32]
    policies: NDArray[np.int32]
    clicked: NDArray[np.int32]
    on_intent: NDArray[np.bool_]
    acts: NDArray[np.bool_]
    typed: NDArray[np.bool_]
    intents: Intents
    typed_query: NDArray[np.int32]


def draw_intents(
    world: World,
    registry: QueryRegistry,
    triggers: Triggers,
    people: Array,
    rng: np.random.Generator,
    *,
    videos: Array | None = None,
    boost: NDArray[np.float32] | None = None,
) -> Intents:
    """Draw the intent of each user: an item query from the true distribution, something else, or something unsafe."""
    forms, names = world.wording.sample(triggers, people, rng, boost)
    texts = world.wording.texts(triggers, people, forms, names)
    kinds = world.catalogue.product_type[triggers.product]
    if videos is not None:
        other = rng.random(len(people)) < world.spec.rates.other_intent
        term = world.videos.unsafe.term[videos]
        unsafe = (term >= 0) & (rng.random(len(people)) < _UNSAFE_INTENT)
        ways, others = safety("queries"), phrases("other_intents")
        draw = rng.random(len(people)) ** 1.6
        for row in np.flatnonzero(other | unsafe).tolist():
            if unsafe[row]:
                texts[row] = ways[int(draw[row] * len(ways))].format(t=TERMS[term[row]][1])
                forms[row] = UNSAFE
            else:
                creator = world.videos.authors[world.videos.author[videos[row]]].lower()
                noun = world.catalogue.types[kinds[row]].noun
                texts[row] = others[int(draw[row] * len(others))].format(creator=creator, noun=noun)
                forms[row] = OTHER_INTENT
    return Intents(registry.add(texts, forms.tolist(), kinds.tolist()), forms)


def misspell(registry: QueryRegistry, intents: Intents, share: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return the typed queries, int32[N]: `share` of those with five letters or more lose or swap a letter."""
    out = intents.query.copy()
    for row in np.flatnonzero(rng.random(len(out)) < share).tolist():
        text = registry.texts[out[row]]
        if len(text) < 5:
            continue
        at = int(rng.integers(1, len(text) - 2))
        if " " in text[at : at + 2]:
            continue
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        wrong = swapped if rng.random() < 0.5 else text[:at] + text[at + 1 :]
        kind = int(registry.types(out[row : row + 1])[0])
        out[row] = registry.add([wrong], [int(intents.form[row])], [kind])[0]
    return out


def watch(world: World, registry: QueryRegistry, policy: LoggingPolicy, day: int, rng: np.random.Generator) -> Watching:
    """Simulate the impressions of a day. Intents are drawn first, so clicks and typed queries have one distribution."""
    rates = world.spec.rates
    count = int(world.spec.impressions_per_day * (1.0 + 0.08 * np.sin(day * 2 * np.pi / 7)))
    user = choose_viewers(world, count, rng)
    video = choose_videos(world, user, day, rng)
    triggers = world.videos.triggers.take(video)
    intents = draw_intents(world, registry, triggers, user, rng, videos=video)
    kinds = world.catalogue.product_type[triggers.product]
    candidates, policies = policy.fill(kinds, triggers.product, video, rng)
    candidates[rng.random(count) >= rates.bar_shown] = -1
    shown = candidates[:, :SHOWN]
    looked = (rng.random(shown.shape) < EXAMINED) & (shown >= 0)
    acts = rng.random(count) < ACTS
    exact, near = shown == intents.query[:, None], _near(registry, shown, intents, kinds)
    tempted, curious = (rng.random(shown.shape) < rate for rate in (rates.near_click, rates.curiosity))
    clicked = first_clicks(looked, exact, near, acts, tempted, curious)
    return Watching(
        second=np.sort(rng.random(count)) * 86_400,
        user=user,
        video=video,
        candidates=candidates,
        policies=policies,
        clicked=clicked,
        on_intent=(looked & exact).any(axis=1) & acts,
        acts=acts,
        typed=acts & (clicked < 0),
        intents=intents,
        typed_query=misspell(registry, intents, rates.typo, rng),
    )


def first_clicks(
    looked: NDArray[np.bool_],
    exact: NDArray[np.bool_],
    near: NDArray[np.bool_],
    acts: NDArray[np.bool_],
    tempted: NDArray[np.bool_],
    curious: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Return int32[N], the position that each viewer clicks, -1 for none. This is the click model of every bar.

    A viewer with an intent clicks the query that is exactly it. If there is none among those looked at, a near miss is
    clicked by some. A viewer without an intent clicks out of curiosity.

    Args:
        looked: bool[N, K], there is a query, and the viewer looks at it.
        exact: bool[N, K], the query is the intent.
        near: bool[N, K], it is not, but it has the same product type and group of form.
        acts: bool[N], the viewer has an intent.
        tempted: bool[N, K], draws: a near miss would be clicked.
        curious: bool[N, K], draws: a query would be clicked without an intent.
    """
    hits = looked & exact & acts[:, None]
    misses = looked & near & acts[:, None] & tempted & ~hits.any(axis=1, keepdims=True)
    clicks = hits | misses | (looked & ~acts[:, None] & curious)
    return np.where(clicks.any(axis=1), clicks.argmax(axis=1), -1).astype(np.int32)


def order_values(price: Array, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return float64[N], the value in dollars of an order for a product of each price."""
    return np.asarray(np.round(price * rng.lognormal(0.0, ORDER_VALUE_SPREAD, len(price)), 2))


def choose_viewers(world: World, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the viewer of each impression, by activity."""
    weight = _ACTIVITY_WEIGHT[world.users.activity]
    return np.asarray(rng.choice(len(weight), count, p=weight / weight.sum()), np.int64)


def _near(registry: QueryRegistry, shown: NDArray[np.int32], intents: Intents, kinds: Array) -> NDArray[np.bool_]:
    """Return bool[N, 3]: the query differs from the intent, but has the same product type and group of form."""
    safe = np.maximum(shown, 0).ravel()
    form, kind = (lookup(safe).reshape(shown.shape) for lookup in (registry.forms, registry.types))
    group = np.where(form >= 0, GROUP_OF_FORM[np.maximum(form, 0)], -1)
    wanted = np.where(intents.form >= 0, GROUP_OF_FORM[np.maximum(intents.form, 0)], -2)
    return np.asarray((group == wanted[:, None]) & (kind == kinds[:, None]) & (shown != intents.query[:, None]))


def choose_videos(world: World, user: Array, day: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the video of each impression: a department by the user's interests, then a video by its appeal."""
    catalogue = world.catalogue
    cumulative = np.cumsum(world.users.interests, axis=1)[user]
    department = (cumulative < rng.random(len(user))[:, None] * cumulative[:, -1:]).sum(axis=1)
    of_video = catalogue.type_department[catalogue.product_type[world.videos.triggers.product]]
    appeal = world.videos.appeal(day)
    out = np.empty(len(user), dtype=np.int64)
    for number in np.unique(department):
        rows = np.flatnonzero(department == number)
        own = np.flatnonzero((of_video == number) & (appeal > 0))
        if len(own) == 0:
            own = np.flatnonzero(appeal > 0)
        out[rows] = rng.choice(own, len(rows), p=appeal[own] / appeal[own].sum())
    return out


def browse(world: World, count: int, day: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Triggers]:
    """Draw searches that are not related to a video: launched products of the departments that the users like.

    Returns:
        (user int64[count], triggers) where the triggers have no crowd habit and lead with the product's first feature.
    """
    catalogue, videos = world.catalogue, world.videos
    user = choose_viewers(world, count, rng)
    cumulative = np.cumsum(world.users.interests, axis=1)[user]
    department = (cumulative < rng.random(count)[:, None] * cumulative[:, -1:]).sum(axis=1)
    product = np.empty(count, dtype=np.int32)
    of_product = catalogue.type_department[catalogue.product_type]
    appeal = catalogue.product_weight * catalogue.type_weight[catalogue.product_type]
    appeal = np.where(catalogue.product_launch_day <= day, appeal, 0.0)
    for number in np.unique(department):
        rows, own = department == number, np.flatnonzero(of_product == number)
        product[rows] = rng.choice(own, int(rows.sum()), p=appeal[own] / appeal[own].sum())
    words = videos.triggers.leading_words
    index = {word: number for number, word in enumerate(words)}
    first = np.array([index[pair[0]] for pair in catalogue.features], dtype=np.int32)
    return user, Triggers(
        product=product,
        aspect=rng.integers(0, 5, count).astype(np.int32),
        leading=first[product],
        leading_words=words,
        trending=np.zeros(count, dtype=np.bool_),
        swapped=np.zeros(count, dtype=np.bool_),
        habit=np.zeros((count, len(FORMS)), dtype=np.float32),
    )
