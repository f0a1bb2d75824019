"""One real refresh of a small simulated shop: from the events of a day to a promoted or refused bundle.

    python -m benchmarks.refresh_day OUT

A shop of 300 videos is simulated. A tiny model is trained on all days but the last, and counts as the served one. The
last day is taken out of the tables of impressions and exposures and written as an event log, as the service writes it,
with duplicates and with feedback that must not count. Then `onebar refresh` runs for that day. The rows that it exports
are compared with those of the simulation, and its record is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

DAYS = 6
LAST = DAYS - 1
WORLD = f"--seed 7 --videos 300 --users 150 --days {DAYS} --impressions-per-day 2500".split()
BY_DAY = ("impressions", "exposures", "searches", "search_clicks")
WHOLE = ("videos", "users", "reviews")
MODEL = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 64, "ffn_dim": 128, "attention_heads": 4, "dropout": 0.0}
VALIDATION = {"every_steps": 100, "click_examples": 128, "reject_examples": 32, "patience": 6}
MODEL_VERSION = "000000000000"


def onebar(*arguments: str | Path) -> None:
    """Run a command of `onebar`; its output is that of this process."""
    subprocess.run([sys.executable, "-m", "cli.main", *map(str, arguments)], check=True)


def put_days(world: Path, logs: Path, last: int, names: tuple[str, ...]) -> None:
    """Add the rows of a day to the log tables, or of all days up to one where a table is not there yet."""
    for name in names:
        rows = pq.read_table(world / f"{name}.parquet")
        (logs / name).mkdir(parents=True, exist_ok=True)
        is_first = not any((logs / name).iterdir())
        compare = pc.less_equal if is_first else pc.equal
        pq.write_table(rows.filter(compare(rows["day"], last)), logs / name / f"day-{last:05d}.parquet")


def events_of(world: Path, day: int) -> Iterator[dict[str, Any]]:
    """Yield the events that the service would have written on a day."""
    impressions = _of_day(world, "impressions", day)
    queries: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _of_day(world, "exposures", day):
        queries[row["impression_id"]].append(row)
    for number, seen in enumerate(impressions):
        offered = sorted(queries[seen["impression_id"]], key=lambda row: row["position"] or 99)
        hypotheses = [
            {
                "query": row["query"],
                "score": -1.0,
                "verdict": "shown" if row["position"] else "dropped",
                "rule": None if row["position"] else "over_num_queries",
                "forced": False,
            }
            for row in offered
        ]
        answer = {
            "kind": "answer", "time_ms": seen["ts"], "request_id": seen["impression_id"], "photo_id": seen["photo_id"],
            "user_id": seen["user_id"], "model_version": MODEL_VERSION, "hypotheses": hypotheses,
        }  # fmt: skip
        yield answer
        if number % 10 == 0:  # the sink delivers at least once
            yield answer
        for row in offered:
            if row["clicked"]:
                yield from _clicks(seen, row)
        if number % 50 == 0:
            yield _feedback(seen, {"position": 1}, "click", request_id=f"invented-{number}")
            yield _feedback(seen, {"position": 1}, "click", happened_ms=seen["ts"] + 7 * 86_400_000)
            yield _feedback(seen, {"position": None, "query": "never shown"}, "click")


def _clicks(seen: dict[str, Any], row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield _feedback(seen, row, "click")
    yield _feedback(seen, row, "click", time_ms=seen["ts"] + 9_000)  # sent again
    if row["engaged"]:
        yield _feedback(seen, row, "engagement")
    if row["order_value"]:
        yield _feedback(seen, row, "order", order_value=row["order_value"], event_id=f"order-{seen['impression_id']}")


def _feedback(seen: dict[str, Any], row: dict[str, Any], event: str, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "feedback", "time_ms": seen["ts"] + 5_000, "request_id": seen["impression_id"], "event": event,
        "event_id": None, "rank": row["position"], "query": row.get("query"), "happened_ms": seen["ts"] + 5_000,
        "order_value": None, "key_id": None,
    } | changes  # fmt: skip


def _of_day(folder: Path, name: str, day: int) -> list[dict[str, Any]]:
    rows = pq.read_table(folder / f"{name}.parquet")
    found: list[dict[str, Any]] = rows.filter(pc.equal(rows["day"], day)).to_pylist()
    return found


def prepare(out: Path) -> None:
    """Simulate the shop and train what counts as the served model."""
    world, logs = out / "world", out / "logs"
    onebar("world", world, *WORLD)
    put_days(world, logs, LAST - 1, BY_DAY)
    for name in WHOLE:
        pq.write_table(pq.read_table(world / f"{name}.parquet"), logs / f"{name}.parquet")
    (logs / "prohibited_terms.tsv").write_bytes((world / "prohibited_terms.tsv").read_bytes())
    config = {
        "model": MODEL, "validation": VALIDATION,
        "optim": {"learning_rate": 1e-3, "warmup_steps": 30, "batch_size": 32, "epochs": 20, "max_steps": 300},
    }  # fmt: skip
    (out / "sft.yaml").write_text(yaml.safe_dump(config))
    onebar("train", "tokenizer", world, out / "tokenizer.json", "--size", "2000")
    onebar("offline", "examples", logs, out / "first" / "examples")
    onebar(
        "train", "sft", out / "first" / "examples", out / "first" / "checkpoint", "--tokenizer", out / "tokenizer.json",
        "--config", out / "sft.yaml",
    )  # fmt: skip
    held_out = out / "first" / "examples" / "examples_valid.parquet"
    onebar("export", out / "first" / "checkpoint", out / "first" / "bundle", "--parity-inputs", held_out,
           "--parity-count", "20")  # fmt: skip
    put_days(world, logs, LAST, ("searches", "search_clicks"))
    with (out / "events.jsonl").open("w") as file:
        file.writelines(json.dumps(event) + "\n" for event in events_of(world, LAST))
    settings = {
        "logs": "logs", "state": "state", "promoted": "promoted", "bundle": "first/bundle",
        "checkpoint": "first/checkpoint", "events": {"sink": "events.jsonl"},
        "publish": {"store": f"sqlite:///{out.resolve()}/evidence.db", "raw_user_ids": True},
        "train": {"sft": {"config": "sft.yaml", "set": ["optim.max_steps=300", "optim.learning_rate=3.0e-4"]}},
        "export": {"parity_count": 20},
        "gate": {
            "truth": "world/truth", "labels": "world/truth/safety.parquet",
            "margins": {"hr": 0.05, "new_videos_hr": 0.2, "wrong_entities": 0.05, "missed_unsafe": 0.3,
                        "false_abstention": 0.15, "prohibited_terms": 0.05},
        },
        "metrics_file": "onebar_refresh.prom",
    }  # fmt: skip
    (out / "refresh.yaml").write_text(yaml.safe_dump(settings))


def compare(out: Path) -> dict[str, int]:
    """Return how many rows of the day were exported, and how many differ from the simulation."""
    name = f"day-{LAST:05d}.parquet"
    columns = ["impression_id", "query", "position", "clicked", "engaged", "order_value"]
    exported = _keyed(pq.read_table(out / "logs" / "exposures" / name, columns=columns))
    world = pq.read_table(out / "world" / "exposures.parquet")
    simulated = _keyed(world.filter(pc.equal(world["day"], LAST)).select(columns))
    return {"exposures": len(exported), "different": len(exported ^ simulated)}


def _keyed(rows: pa.Table) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for row in rows.to_pylist()}


def main() -> None:
    """Prepare a shop where there is none, and refresh it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    if not (out / "refresh.yaml").exists():
        prepare(out)
    onebar("refresh", "--config", out / "refresh.yaml", "--day", str(LAST))
    print(json.dumps(compare(out)))
    print((out / "state" / "days" / f"day-{LAST:05d}" / "record.json").read_text())


if __name__ == "__main__":
    main()
