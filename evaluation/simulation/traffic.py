"""The traffic of a day: who watches what, with which intent, and the random numbers of the click model.

Everything that does not depend on the bar is drawn here, once. Every system meets the same impressions, intents and
random numbers, so that a difference between two systems is due to their bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.world.behaviour import ACTS, World, choose_videos, choose_viewers, draw_intents, order_values
from demo.world.policy import EXAMINED, SHOWN
from demo.world.registry import QueryRegistry


@dataclass(frozen=True, slots=True)
class Traffic:
    """The impressions of one day, N rows.

    Attributes:
        day: of the log.
        viewer, video: int64[N].
        intent: N queries that the viewers have in mind.
        form: int32[N] of the intent, negative if it looks for no item.
        kind: int32[N], the product type of the video.
        acts: bool[N], the viewer would search.
        looks: bool[N, SHOWN], the viewer looks at the position if there is a query.
        tempted: bool[N, SHOWN], a near miss there would be clicked.
        curious: bool[N, SHOWN], a query there would be clicked without an intent.
        engages, orders: float64[N], uniform draws.
        value: float64[N], dollars of the order if there is one.
    """

    day: int
    viewer: NDArray[np.int64]
    video: NDArray[np.int64]
    intent: Sequence[str]
    form: NDArray[np.int32]
    kind: NDArray[np.int32]
    acts: NDArray[np.bool_]
    looks: NDArray[np.bool_]
    tempted: NDArray[np.bool_]
    curious: NDArray[np.bool_]
    engages: NDArray[np.float64]
    orders: NDArray[np.float64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of impressions."""
        return len(self.viewer)


def draw_traffic(world: World, day: int, count: int, seed: Sequence[int]) -> Traffic:
    """Draw the impressions of a day as the world draws them for its logs.

    Args:
        world: as it was drawn for the logs.
        day: a day of the log.
        count: how many impressions.
        seed: of this traffic; other than that of the world, so that the viewers of the logs are not met again.
    """
    rng = np.random.default_rng(list(seed))
    viewer = choose_viewers(world, count, rng)
    video = choose_videos(world, viewer, day, rng)
    triggers = world.videos.triggers.take(video)
    registry = QueryRegistry()
    intents = draw_intents(world, registry, triggers, viewer, rng, videos=video)
    rates, catalogue = world.spec.rates, world.catalogue

    def uniform(*shape: int) -> NDArray[Any]:
        return rng.random((count, *shape))

    return Traffic(
        day=day,
        viewer=viewer,
        video=video,
        intent=[registry.texts[query] for query in intents.query.tolist()],
        form=intents.form,
        kind=catalogue.product_type[triggers.product],
        acts=uniform() < ACTS,
        looks=uniform(SHOWN) < EXAMINED,
        tempted=uniform(SHOWN) < rates.near_click,
        curious=uniform(SHOWN) < rates.curiosity,
        engages=uniform(),
        orders=uniform(),
        value=order_values(catalogue.product_price[triggers.product], rng),
    )
