"""How fast is evidence loaded, and how long does a request wait for it?

    python -m benchmarks.feature_store --output feature_store.json

Starts a redis-server of its own on a free port, makes records of a real record's size, loads them from both file forms
into Redis and into SQLite, then fetches a video, a user and the lately shown queries, one request after another and
eight at a time. The peer is what is easily written instead: redis-py as it comes, three awaited commands.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis
import redis.asyncio
from numpy.typing import NDArray
from pyarrow import parquet

from evidence.embedding import DIMENSION, EMBEDDING_VERSION
from feature_store import StoreSettings, open_store
from feature_store.keys import USER_FIELDS, photo_key, shown_key, user_key
from feature_store.loader import load_path
from feature_store.publish import open_writer
from feature_store.records import PHOTO_HASH_FIELDS
from feature_store.rows import vector_bytes
from loadtest.machine import begin_result, finish_result
from loadtest.redis_server import running_redis

WARM_UP = 500
AT_ONCE = 8
Fetch = Callable[[str, str], Awaitable[Any]]


def make_rows(count: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of videos, and of a fifth as many users with twenty queries each."""
    chance = random.Random(seed)
    values = np.random.default_rng(seed)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9))) for _ in range(5000)]

    def text(length: int) -> str:
        return " ".join(chance.choices(words, k=length))

    def vectors(number: int) -> NDArray[np.float32]:
        return values.normal(size=(number, DIMENSION)).astype(np.float32)

    photos = [
        {
            "photo_id": f"p{n}",
            "caption": text(12),
            "photo_title": None,
            "title": text(6),
            "item_title": text(8),
            "summary": text(30),
            "anchors": [text(3) for _ in range(8)],
            "histories": [text(3) for _ in range(4)],
            "category": text(1),
            "embedding": vector_bytes(vectors(1)),
            "embedding_version": EMBEDDING_VERSION,
            "updated_at": 1_767_225_600_000,
        }
        for n in range(count)
    ]
    users = [
        {
            "user_id": f"u{n}",
            "queries": [text(3) for _ in range(20)],
            "embeddings": vector_bytes(vectors(20)),
            "embedding_version": EMBEDDING_VERSION,
            "updated_at": 1_767_225_600_000,
        }
        for n in range(count // 5)
    ]
    return photos, users


def write_files(folder: Path, photos: list[dict[str, Any]], users: list[dict[str, Any]]) -> dict[str, Path]:
    """Write each kind of rows as Parquet, and the videos as JSON Lines too."""
    files = {
        "photos.parquet": folder / "photos.parquet",
        "photos.jsonl": folder / "photos.jsonl",
        "users.parquet": folder / "users.parquet",
    }
    parquet.write_table(pa.Table.from_pylist(photos), files["photos.parquet"])
    parquet.write_table(pa.Table.from_pylist(users), files["users.parquet"])
    with files["photos.jsonl"].open("w") as lines:
        for photo in photos:
            lines.write(json.dumps(photo | {"embedding": base64.b64encode(photo["embedding"]).decode()}) + "\n")
    return files


def measure_loading(files: dict[str, Path], urls: dict[str, str], runs: int) -> list[dict[str, Any]]:
    """Load each file into each store `runs` times.

    On a machine that does other work too, the loader's own CPU time says more than the clock.
    """
    found = []
    for store, url in urls.items():
        for name, path in files.items():
            rates, of_cpu = [], []
            for _ in range(runs):
                writer = open_writer(url)
                busy = time.process_time()
                report = load_path(path, writer)
                busy = time.process_time() - busy
                writer.close()
                rates.append(round(report.written / report.seconds))
                of_cpu.append(round(report.written / busy))
            row = {"store": store, "file": name, "rows": report.rows}
            found.append(row | {"rows_per_second": rates, "rows_per_cpu_second_of_loader": of_cpu})
    return found


async def measure_fetching(name: str, fetch: Fetch, requests: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Time each request, alone and among others."""

    async def timed(request: tuple[str, str]) -> float:
        start = time.perf_counter()
        await fetch(*request)
        return time.perf_counter() - start

    for request in requests[:WARM_UP]:
        await fetch(*request)
    alone = [await timed(request) for request in requests]
    together: list[float] = []
    for start in range(0, len(requests), AT_ONCE):
        together += await asyncio.gather(*(timed(request) for request in requests[start : start + AT_ONCE]))
    return [percentiles(name, 1, alone), percentiles(name, AT_ONCE, together)]


def percentiles(name: str, at_once: int, seconds: list[float]) -> dict[str, Any]:
    """Return the percentiles in microseconds."""
    points = np.percentile(np.array(seconds) * 1e6, [50, 90, 99, 99.9])
    microseconds = {key: round(float(value)) for key, value in zip(("p50", "p90", "p99", "p99.9"), points, strict=True)}
    return {"store": name, "at_once": at_once, "requests": len(seconds), "microseconds": microseconds}


async def compare_fetching(urls: dict[str, str], requests: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Measure each store, and then the peer."""
    found = []
    # Nothing may be cut off by the timeout: it is the waiting that is measured here.
    settings = StoreSettings(timeout_seconds=5, socket_timeout_seconds=5)
    for name, url in urls.items():
        store = await open_store(url, settings)
        for _, user in requests[:100]:
            await store.record_shown(user, ["a query", "another one"])

        async def fetch(photo: str, user: str, store: Any = store) -> None:
            answer = await store.fetch(photo, user, want_shown=True)
            if answer.degraded or answer.photo is None or answer.user is None:
                raise RuntimeError(f"not a whole answer: {answer}")

        found += await measure_fetching(name, fetch, requests)
        await store.close()
    client = redis.asyncio.Redis.from_url(urls["redis"])

    async def plain(photo: str, user: str) -> None:
        await client.hmget(photo_key(photo), list(PHOTO_HASH_FIELDS))
        await client.hmget(user_key(user), list(USER_FIELDS))
        await client.zrevrangebyscore(shown_key(user), "+inf", 0, start=0, num=64, withscores=True)

    found += await measure_fetching("peer: redis-py, three awaits, no decoding", plain, requests)
    await client.aclose()
    return found


def print_tables(loading: list[dict[str, Any]], fetching: list[dict[str, Any]]) -> None:
    """Print what was found."""
    print(f"\n{'loading into':<14}{'file':<18}{'rows':>8}   {'rows/s, worst to best':<24}rows/s of CPU, likewise")
    for row in loading:
        rates, of_cpu = row["rows_per_second"], row["rows_per_cpu_second_of_loader"]
        by_clock = f"{min(rates):,} to {max(rates):,}"
        by_cpu = f"{min(of_cpu):,} to {max(of_cpu):,}"
        print(f"{row['store']:<14}{row['file']:<18}{row['rows']:>8,}   {by_clock:<24}{by_cpu}")
    print(f"\n{'fetching from':<44}{'at once':>8}{'p50':>8}{'p90':>8}{'p99':>8}{'p99.9':>8}   microseconds")
    for row in fetching:
        cells = "".join(f"{value:>8,}" for value in row["microseconds"].values())
        print(f"{row['store']:<44}{row['at_once']:>8}{cells}")


def main() -> None:
    """Parse the options, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = begin_result("feature_store", "hiredis", "numpy", "redis")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos, users = make_rows(arguments.records, arguments.seed)
        files = write_files(folder, photos, users)
        with running_redis(folder) as redis_url:
            urls = {"redis": redis_url, "sqlite": f"sqlite:///{folder}/evidence.db"}
            loading = measure_loading(files, urls, arguments.runs)
            chance = random.Random(arguments.seed)
            requests = [
                (f"p{chance.randrange(len(photos))}", f"u{chance.randrange(len(users))}")
                for _ in range(arguments.requests)
            ]
            fetching = asyncio.run(compare_fetching(urls, requests))
            with redis.Redis.from_url(redis_url) as client:
                result["versions"]["redis-server"] = client.info("server")["redis_version"]
    print_tables(loading, fetching)
    print(json.dumps(result["machine"]))
    finish_result(result | {"arguments": sys.argv[1:], "loading": loading, "fetching": fetching}, arguments.output)


if __name__ == "__main__":
    main()
