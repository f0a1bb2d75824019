"""The figures of a world: bounds, missing fields, head and tail, position bias, safety, freshness."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demo.oracle import WIDTH, Reader, bound, ceiling, read_targets
from demo.world.fields import FIELDS
from demo.world.truth import Truth, read_truth
from evidence.assemble import select_text
from evidence.rows import TEXT_FIELDS, raw_text_of_row
from offline.logs.tables import read_table

Figures = dict[str, dict[str, float | int]]
_READERS = {
    "title": Reader(),
    "title + summary": Reader(summary=True),
    "title + summary + product": Reader(summary=True, product=True),
    "title + summary + crowd": Reader(summary=True, crowd=True),
    "title + summary + person": Reader(summary=True, person=True),
    "all but the aspect": Reader(summary=True, product=True, crowd=True, person=True),
}
_NEIGHBOURS, _BUCKETS = 20, 4096


def report(world_dir: Path | str, day: int | None = None, sample: int = 2000) -> Figures:
    """Measure a world.

    Args:
        world_dir: folder written by `onebar world`.
        day: day to measure bounds and freshness on; the last one when None.
        sample: the number of targets of the day that the bounds are measured on.

    Returns:
        Section to name to figure; every figure is a share unless its name says otherwise.
    """
    truth = read_truth(world_dir)
    day = truth.spec["days"] - 1 if day is None else day
    return {
        f"oracle on day {day}": dict(ceiling(world_dir, day, sample)),
        f"ideal readers on day {day}, HR@8": reader_bounds(world_dir, day, sample),
        "videos": _videos(world_dir, truth),
        "queries": _queries(world_dir),
        "bar": _bar(world_dir),
        "targets": _targets(world_dir, truth, day),
    }


def reader_bounds(world_dir: Path | str, day: int, sample: int) -> dict[str, float | int]:
    """Return HR@8 of ideal readers of more and more evidence, and of nearest neighbours over real titles."""
    # An ideal reader averages over dozens of worlds for each target, so it gets fewer of them.
    out: dict[str, float | int] = {
        name: bound(world_dir, day, reader, max(50, sample // 4))["hr@8"] for name, reader in _READERS.items()
    }
    out["title, nearest neighbours"] = title_neighbours(world_dir, day, sample)
    return out


def title_neighbours(world_dir: Path | str, day: int, sample: int) -> float:
    """Return HR@8 of a predictor that reads titles only: the queries of the 20 most similar titles of earlier days.

    Similarity is the cosine of TF-IDF over hashed words and word pairs of the cleaned canonical title.
    """
    truth = read_truth(world_dir)
    targets = read_targets(world_dir, truth, day, sample)
    earlier: dict[int, Counter[str]] = defaultdict(Counter)
    table = pq.read_table(Path(world_dir) / "truth" / "targets.parquet", columns=["day", "video", "target"])
    table = table.filter(pc.less(table["day"], day))
    for video, query in zip(table["video"].to_pylist(), table["target"].to_pylist(), strict=True):
        earlier[video][query] += 1
    titles = _titles(world_dir)
    known = sorted(earlier)
    memory, idf = _tfidf([titles[v] for v in known])
    searched = sorted(set(targets.video.tolist()))
    probes, _ = _tfidf([titles[v] for v in searched], idf)
    answers = {}
    for start in range(0, len(searched), 256):
        for video, row in zip(searched[start : start + 256], probes[start : start + 256] @ memory.T, strict=True):
            votes: Counter[str] = Counter()
            for near in np.argpartition(-row, min(_NEIGHBOURS, len(row) - 1))[:_NEIGHBOURS]:
                # Earlier queries on the video itself are histories; a title does not show them.
                if known[near] != video:
                    total = sum(earlier[known[near]].values())
                    for query, count in earlier[known[near]].items():
                        votes[query] += float(row[near]) * count / total  # type: ignore[assignment]
            answers[video] = {query for query, _ in votes.most_common(WIDTH)}
    hits = [text in answers[video] for video, text in zip(targets.video.tolist(), targets.text, strict=True)]
    return float(np.mean(hits))


def _titles(world_dir: Path | str) -> list[str]:
    """Return the canonical title of each video, in the order of the truth."""
    videos = read_table(world_dir, "videos", TEXT_FIELDS)
    return [select_text(raw_text_of_row(row)) for row in videos.to_pylist()]


def _tfidf(texts: list[str], idf: NDArray[np.float32] | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit TF-IDF rows float32[N, 4096] of hashed words and word pairs, and their idf."""
    rows = np.zeros((len(texts), _BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        words = text.lower().split()
        for gram in words + [f"{a} {b}" for a, b in pairwise(words)]:
            rows[row, crc32(gram.encode()) % _BUCKETS] += 1.0
    if idf is None:
        idf = np.log((1.0 + len(texts)) / (1.0 + (rows > 0).sum(axis=0))).astype(np.float32) + 1.0
    rows *= idf
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows, idf


def _videos(world_dir: Path | str, truth: Truth) -> dict[str, float | int]:
    videos = read_table(world_dir, "videos")
    term = pq.read_table(Path(world_dir) / "truth" / "videos.parquet", columns=["unsafe_term"])
    unsafe = term["unsafe_term"].to_numpy() >= 0
    out: dict[str, float | int] = {"videos, number": videos.num_rows}
    for name in FIELDS:
        out[f"{name} missing"] = float(np.mean(~truth.present[name]))
    launched = truth.wording.catalogue.product_launch_day[truth.triggers.product]
    inside = truth.created_day >= 0
    reviews = read_table(world_dir, "reviews")
    reviewed = pc.sum(pc.equal(reviews["verdict"], "unsafe")).as_py() / max(1, int(unsafe.sum()))
    return out | {
        "unsafe": float(unsafe.mean()),
        "unsafe that reviewers know": float(reviewed),
        "made while the log runs": float(inside.mean()),
        "of those, on a product launched since": float(np.mean(launched[inside] >= 0)),
        "of those, on a trend": float(np.mean(truth.triggers.trending[inside])),
    }


def _queries(world_dir: Path | str) -> dict[str, float | int]:
    searches = read_table(world_dir, "searches", ["query", "source", "item_clicks"])
    counts = np.sort(pc.value_counts(searches["query"].combine_chunks()).field("counts").to_numpy())[::-1]
    out: dict[str, float | int] = {
        "searches, number": searches.num_rows,
        "distinct queries, number": len(counts),
        "traffic of the top 1 % of queries": float(counts[: max(1, len(counts) // 100)].sum() / counts.sum()),
        "queries seen once": float(np.mean(counts == 1)),
        "words a query, mean": float(np.mean([q.count(" ") + 1 for q in searches["query"].to_pylist()])),
    }
    for source, number in Counter(searches["source"].to_pylist()).most_common():
        out[f"source {source}"] = number / searches.num_rows
    return out


def _bar(world_dir: Path | str) -> dict[str, float | int]:
    rows = read_table(world_dir, "exposures", ["position", "clicked", "engaged", "order_value"])
    position = rows["position"].to_numpy()
    clicked, engaged = (rows[name].to_numpy(zero_copy_only=False) for name in ("clicked", "engaged"))
    out: dict[str, float | int] = {"exposed, number": int((position > 0).sum())}
    for place in range(1, int(position.max()) + 1):
        out[f"CTR at position {place}"] = float(clicked[position == place].mean())
    out["clicks that are engaged"] = float(engaged[clicked].mean())
    out["clicks with an order"] = float((rows["order_value"].to_numpy()[clicked] > 0).mean())
    return out


def _targets(world_dir: Path | str, truth: Truth, day: int) -> dict[str, float | int]:
    table: Any = pq.read_table(Path(world_dir) / "truth" / "targets.parquet")
    days, video, form = (table[name].to_numpy() for name in ("day", "video", "intent_form"))
    query = table["target"].combine_chunks().cast("string").dictionary_encode().indices.to_numpy()
    unsafe = truth.unsafe[video]
    train = days < truth.spec["days"] - 2
    safe_item = ~unsafe & (table["target_form"].to_numpy() >= 0)
    today = (truth.created_day[video] == day) & (days == day)
    asked_before = np.isin(video, np.unique(video[days < day]))
    on_day = (days == day) & safe_item
    return {
        "targets, number": len(days),
        "item targets on safe videos in train days, number": int((train & safe_item).sum()),
        "from the bar": float(np.mean([source == "bar" for source in table["source"].to_pylist()])),
        "on unsafe videos": float(unsafe.mean()),
        "no item intended": float(np.mean(form == -1)),
        "on a video of the same day": float(np.mean(truth.created_day[video] == days)),
        f"day {day}: new videos with histories": float(asked_before[today].mean()) if today.any() else 0.0,
        f"day {day}: older videos with histories": float(asked_before[(days == day) & ~today].mean()),
        f"day {day}: query never a target before": float(np.mean(~np.isin(query[on_day], query[days < day]))),
    }
