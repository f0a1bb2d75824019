"""The baselines of one shop, as systems with names; each learns from the days before the held-out one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from evaluation.baselines import CopyEvidence, MostPopular, TitleNeighbours
from evaluation.cascade.stages import train_cascade
from evaluation.inputs import TitledQuery, read_parquet
from evaluation.nearest import NearestQueries, TextEmbedder
from evaluation.novelty import TRAINING_FILE
from evaluation.past_clicks import read_past_clicks
from evaluation.shop_logs import ShopLogs
from evaluation.systems import System
from evaluation.zero_shot import ZeroShot

CACHED = "cached queries"
ANN, POPULAR_ANN, CASCADE = "ANN", "ANN, by clicks too", "MCA"
_ALL_QUERIES = ("anchors", "histories", "personal")


def baselines(
    folder: Path,
    split: str,
    embedder: TextEmbedder,
    *,
    popularity: float = 0.0,
    logs: ShopLogs | None = None,
    zero_shot: ZeroShot | None = None,
) -> list[System]:
    """Return the baselines of a shop.

    Args:
        folder: of its examples.
        split: the one that is measured. With `test`, the ANN baselines and the cascade index the validation day too.
        embedder: of the ANN baselines and the cascade.
        popularity: the weight of clicks in the second ANN baseline; it is left out if 0.
        logs: the log tables of the shop; without them there is no cascade.
        zero_shot: a language model, None for none.

    Raises:
        InputError: a file is missing or not of the documented form.
    """
    training = read_past_clicks(folder / TRAINING_FILE).pairs
    past = [*training, *_validation_day(folder)] if split == "test" else training
    queries = [pair.query for pair in past]
    systems = [
        System("most popular", MostPopular(pair.query for pair in training).predict),
        System("title neighbours", TitleNeighbours(training).predict),
        System(CACHED, CopyEvidence().predict, ("anchors", "histories")),
        System(ANN, NearestQueries(queries, embedder).predict),
    ]
    if popularity:
        systems.append(System(POPULAR_ANN, NearestQueries(queries, embedder, popularity).predict))
    if logs is not None:
        day = held_out_day(folder / f"examples_{split}.parquet")
        cascade = train_cascade(folder, logs, embedder).as_of(day)
        systems.append(System(CASCADE, cascade.predict, _ALL_QUERIES))
    if zero_shot is not None:
        systems.append(System(zero_shot.name, zero_shot.predict, _ALL_QUERIES))
    return systems


def held_out_day(path: Path) -> int:
    """Return the log day of a file of held-out examples.

    Raises:
        InputError: the file is missing or has no column `day`.
    """
    return int(pc.max(read_parquet(path, ("day",))["day"]).as_py())


def _validation_day(folder: Path) -> Sequence[TitledQuery]:
    path = folder / "examples_valid.parquet"
    return read_past_clicks(path).pairs if path.is_file() else ()
