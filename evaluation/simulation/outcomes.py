"""What the viewers do with the bars of a system, by the click model of the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.behaviour import (
    ACTS,
    ENGAGED_EXACT,
    ENGAGED_OTHER,
    ORDER_VALUE_SPREAD,
    ORDERED,
    World,
    first_clicks,
)
from demo.world.policy import EXAMINED, SHOWN
from demo.world.wording import GROUP_OF_FORM
from evaluation.metrics import normal_form
from evaluation.simulation.arms import Bar
from evaluation.simulation.meanings import QueryMeanings
from evaluation.simulation.traffic import Traffic

MEASURES = (
    "impressions",
    "exposures",
    "clicks",
    "orders",
    "gmv",
    "expected_orders",
    "expected_gmv",
    "utility",
)
"""Columns of `Outcomes.values`: every one is a sum over impressions."""

_VALUE_OVER_PRICE = math.exp(ORDER_VALUE_SPREAD**2 / 2)
"""The mean of an order's value over the product's price."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What follows the bars of one system at N impressions.

    Attributes:
        values: float64 [N, len(MEASURES)]. `expected_orders` and `expected_gmv` are the means of `orders` and `gmv`
            given the click, which vary less. `utility` is that of eq. (2): the sum over positions of P(looked at) times
            P(the query is clicked and engaged with) given the intent.
    """

    values: NDArray[np.float64]

    def of(self, measure: str) -> NDArray[np.float64]:
        """Return float64[N], one measure."""
        column: NDArray[np.float64] = self.values[:, MEASURES.index(measure)]
        return column


class Viewers:
    """The viewers of a simulated shop."""

    def __init__(self, world: World) -> None:
        """List what queries mean in this shop."""
        self._world = world
        self.meanings = QueryMeanings(world.catalogue)

    def meet(self, traffic: Traffic, bars: Sequence[Bar], shown: NDArray[np.bool_]) -> Outcomes:
        """Return what follows the bars.

        Args:
            traffic: N impressions.
            bars: N bars of one system.
            shown: bool[N], which of them are shown.
        """
        present, exact, near = self._matches(traffic, bars, shown)
        looked = present & traffic.looks
        clicked = first_clicks(looked, exact, near, traffic.acts, traffic.tempted, traffic.curious)
        has_click = clicked >= 0
        is_item = traffic.form >= 0
        on_intent = (looked & exact).any(axis=1) & traffic.acts
        chance = np.where(on_intent, ENGAGED_EXACT, ENGAGED_OTHER) * is_item * has_click
        ordered = (traffic.engages < chance) & (traffic.orders < ORDERED)
        price = self._world.catalogue.product_price[self._world.videos.triggers.product[traffic.video]]
        return Outcomes(
            np.column_stack(
                [
                    np.ones(len(traffic)),
                    shown,
                    has_click,
                    ordered,
                    np.where(ordered, traffic.value, 0.0),
                    chance * ORDERED,
                    chance * ORDERED * price * _VALUE_OVER_PRICE,
                    self._utility(exact & present, near & present) * is_item,
                ]
            ).astype(np.float64)
        )

    def _matches(
        self, traffic: Traffic, bars: Sequence[Bar], shown: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return bool[N, SHOWN] three times: there is a query, it is the intent, it is a near miss."""
        present, exact, near = (np.zeros((len(traffic), SHOWN), bool) for _ in range(3))
        for row in np.flatnonzero(shown).tolist():
            intent, form, kind = normal_form(traffic.intent[row]), int(traffic.form[row]), int(traffic.kind[row])
            for place, query in enumerate(map(normal_form, bars[row].queries)):
                present[row, place] = True
                if query == intent:
                    exact[row, place] = True
                elif form >= 0:
                    near[row, place] = self.meanings.is_near(query, kind, int(GROUP_OF_FORM[form]))
        return present, exact, near

    def _utility(self, exact: NDArray[np.bool_], near: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return float64[N], the position-weighted utility of each bar given the intent."""
        rates = self._world.spec.rates
        wanted = ENGAGED_EXACT * exact + rates.near_click * ENGAGED_OTHER * near
        weighted: NDArray[np.float64] = ACTS * wanted @ EXAMINED
        return weighted
