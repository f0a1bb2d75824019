"""The log tables of a world: the rows of a day are collected as integer codes, and written when the day has ended."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demo.world.behaviour import ENGAGED_EXACT, ENGAGED_OTHER, ORDERED, Watching, World, order_values
from demo.world.ids import impression_ids, named, photo_ids, search_ids, user_ids
from demo.world.policy import POLICIES, SHOWN
from demo.world.registry import QueryRegistry
from demo.world.spec import DAY_MS, EPOCH_MS
from offline.logs.tables import TableWriter

SOURCES = ("bar", "post_video", "search_box", "reformulation")
_ORDERS, _CLICKS_MEAN, _CLICKS_OTHER = 0.06, 1.1, 0.04

Array = NDArray[Any]


_TARGETS = pa.schema(
    [
        ("impression_id", pa.string()),
        *((name, pa.int32()) for name in ("day", "user", "video")),
        *((name, pa.string()) for name in ("source", "target", "intent")),
        *((name, pa.int32()) for name in ("target_form", "intent_form")),
        ("acted", pa.bool_()),
    ]
)
"""Of `truth/targets.parquet`."""


class Logs:
    """The behaviour tables and `truth/targets.parquet`; the rows of one day at a time are in memory."""

    def __init__(self, world: World, registry: QueryRegistry, out: Path) -> None:
        """Start the files of a folder, which has the folder `truth`; queries get their codes from `registry`."""
        self._world, self._registry = world, registry
        self._photo_ids = photo_ids(np.arange(world.videos.count))
        self._files = {
            name: TableWriter(out, name) for name in ("impressions", "exposures", "searches", "search_clicks")
        }
        self._targets = pq.ParquetWriter(out / "truth" / "targets.parquet", _TARGETS, compression="zstd")
        self._columns: dict[str, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
        self._impressions = 0
        self._searches = 0

    def append(self, table: str, **columns: Array) -> None:
        """Add rows, given as columns of equal length, to a table."""
        for name, values in columns.items():
            self._columns[table][name].append(values)

    def impressions(self, day: int, seen: Watching, rng: np.random.Generator) -> tuple[Array, Array]:
        """Log the impressions, exposures and targets of a day.

        Returns:
            (engaged bool[N], order_value float64[N]) of the click of each impression.
        """
        count = len(seen.user)
        number = self._impressions + np.arange(count)
        self._impressions += count
        stamp = EPOCH_MS + day * DAY_MS + (seen.second * 1000).astype(np.int64)
        days = np.full(count, day, dtype=np.int32)
        self.append("impressions", number=number, day=days, ts=stamp, user=seen.user, photo=seen.video)
        has_click = seen.clicked >= 0
        engaged = has_click & (rng.random(count) < np.where(seen.on_intent, ENGAGED_EXACT, ENGAGED_OTHER))
        engaged &= seen.intents.form >= 0
        price = self._world.catalogue.product_price[self._world.videos.triggers.product[seen.video]]
        order = np.where(engaged & (rng.random(count) < ORDERED), order_values(price, rng), 0.0)
        row, column = np.nonzero(seen.candidates >= 0)
        shown = column < SHOWN
        is_click = column == seen.clicked[row]
        # Positions count shown entries: empty ones come last, so the column is the position.
        self.append(
            "exposures",
            number=number[row],
            day=days[row],
            position=np.where(shown, column + 1, 0).astype(np.int32),
            query=seen.candidates[row, column],
            policy=seen.policies[row, column],
            clicked=is_click,
            engaged=is_click & engaged[row],
            order_value=np.where(is_click, order[row], 0.0),
        )
        target = np.where(has_click, seen.candidates[np.arange(count), seen.clicked], seen.typed_query)
        rows = np.flatnonzero(has_click | seen.typed)
        self.append(
            "targets",
            number=number[rows],
            day=days[rows],
            user=seen.user[rows],
            photo=seen.video[rows],
            source=np.where(has_click, 0, 1)[rows],
            target=target[rows],
            intent=seen.intents.query[rows],
            intent_form=seen.intents.form[rows],
            acted=seen.acts[rows],
        )
        return engaged, order

    def searches(
        self,
        day: int,
        second: Array,
        user: Array,
        query: NDArray[np.int32],
        form: Array,
        product: Array,
        source: int,
        rng: np.random.Generator,
        *,
        video: Array | None = None,
        previous: Array | None = None,
        engaged: Array | None = None,
        order: Array | None = None,
    ) -> None:
        """Log searches and their item clicks; -1 in `video` or `previous` is null.

        For bar clicks, `engaged` and `order` are the values that `impressions` returned.
        """
        count = len(user)
        clicks = np.where(form >= 0, rng.poisson(_CLICKS_MEAN, count), rng.random(count) < _CLICKS_OTHER)
        clicks = clicks.astype(np.int32)
        if engaged is not None:
            clicks = np.where(engaged, np.maximum(clicks, 1), np.where(form >= 0, clicks // 2, clicks)).astype(np.int32)
        value = order
        if value is None:
            bought = (clicks > 0) & (form >= 0) & (rng.random(count) < _ORDERS)
            value = np.where(bought, order_values(self._world.catalogue.product_price[product], rng), 0.0)
        none = np.full(count, -1, dtype=np.int64)
        self.append(
            "searches",
            day=np.full(count, day, dtype=np.int32),
            ts=EPOCH_MS + day * DAY_MS + np.minimum(second * 1000, DAY_MS - 1).astype(np.int64),
            user=user,
            query=query,
            source=np.full(count, source),
            photo=none if video is None else video,
            previous=none if previous is None else previous,
            item_clicks=clicks,
            order_value=value,
            product=product,
            form=form,
        )

    def search_clicks(self, day: int, live: Array, specific: Array, rng: np.random.Generator) -> None:
        """Log the videos that searches led to: of the same product, or of the same type for general queries.

        Args:
            day: the day whose searches are complete.
            live: bool[V], videos that exist.
            specific: bool[F], forms that name one product.
            rng: source of randomness.
        """
        table = self._columns["searches"]
        clicks, product, form, query = (
            np.concatenate(table[name]) for name in ("item_clicks", "product", "form", "query")
        )
        first = self._searches
        self._searches += len(clicks)
        rows = np.repeat(np.arange(len(clicks)), np.where(form >= 0, np.minimum(clicks, 2), 0))
        videos = np.flatnonzero(live & (self._world.videos.unsafe.term < 0))
        shown = self._world.videos.triggers.product[videos]
        kind = self._world.catalogue.product_type
        photo = np.full(len(rows), -1, dtype=np.int64)
        exact = specific[np.maximum(form[rows], 0)]
        for keys, wanted, use in ((shown, product[rows], exact), (kind[shown], kind[product[rows]], ~exact)):
            order = np.argsort(keys, kind="stable")
            low, high = (np.searchsorted(keys[order], wanted, side=side) for side in ("left", "right"))
            found = use & (high > low)
            at = low + (rng.random(len(rows)) * (high - low)).astype(np.int64)
            photo[found] = videos[order[at[found]]]
        rows, photo = rows[photo >= 0], photo[photo >= 0]
        self.append(
            "search_clicks",
            search=first + rows,
            day=np.full(len(rows), day, dtype=np.int32),
            query=query[rows],
            photo=photo,
        )

    def end_day(self) -> None:
        """Write the rows of the day, whose columns are then dropped."""
        queries = pa.array(self._registry.texts)
        rows = self._take("impressions")
        self._files["impressions"].append(
            {
                "impression_id": impression_ids(rows["number"]),
                "user_id": user_ids(rows["user"]),
                "photo_id": photo_ids(rows["photo"]),
                **{c: rows[c] for c in ("day", "ts")},
            }
        )
        rows = self._take("exposures")
        self._files["exposures"].append(
            {
                "impression_id": impression_ids(rows["number"]),
                "query": named(queries, rows["query"]),
                "policy": named(pa.array(POLICIES), rows["policy"]),
                **{c: rows[c] for c in ("day", "position", "clicked", "engaged", "order_value")},
            }
        )
        rows = self._take("searches")
        done = self._files["searches"].rows
        self._files["searches"].append(
            {
                "search_id": search_ids(done + np.arange(len(rows["day"]))),
                "user_id": user_ids(rows["user"]),
                "query": named(queries, rows["query"]),
                "source": named(pa.array(SOURCES), rows["source"]),
                "photo_id": named(self._photo_ids, rows["photo"]),
                "previous_query": named(queries, rows["previous"]),
                **{c: rows[c] for c in ("day", "ts", "item_clicks", "order_value")},
            }
        )
        rows = self._take("search_clicks")
        self._files["search_clicks"].append(
            {
                "search_id": search_ids(rows["search"]),
                "day": rows["day"],
                "query": named(queries, rows["query"]),
                "photo_id": photo_ids(rows["photo"]),
            }
        )
        rows = self._take("targets")
        self._targets.write_table(
            pa.table(
                {
                    "impression_id": impression_ids(rows["number"]),
                    "day": rows["day"],
                    "user": rows["user"].astype(np.int32),
                    "video": rows["photo"].astype(np.int32),
                    "source": named(pa.array(SOURCES), rows["source"]).cast(pa.string()),
                    "target": named(queries, rows["target"]).cast(pa.string()),
                    "intent": named(queries, rows["intent"]).cast(pa.string()),
                    "target_form": self._registry.forms(rows["target"]),
                    "intent_form": rows["intent_form"].astype(np.int32),
                    "acted": rows["acted"],
                },
                schema=_TARGETS,
            )
        )

    def close(self) -> dict[str, int]:
        """Put all files in place and return the number of rows of each behaviour table."""
        for file in self._files.values():
            file.close()
        self._targets.close()
        return {name: file.rows for name, file in self._files.items()}

    def _take(self, table: str) -> dict[str, Array]:
        """Return the columns of a table, which becomes empty."""
        return {column: np.concatenate(parts) for column, parts in self._columns.pop(table).items()}
