"""How long does a publication take, how much memory does it need, and does `kill -9` change its result?

    python -m benchmarks.publish --videos 100000 --output publish.json

Starts a redis-server of its own, makes the evidence of two days (on the second, 1 % of the captions have changed, .1 %
of the videos are gone and as many are new), and runs `onebar evidence publish` and `restore` as processes of their own.
Then it publishes the second day ten times, kills each process with SIGKILL after a random row, runs the command again,
and compares every byte of the store with an undisturbed publication.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis
from pyarrow import parquet

from benchmarks.feature_store import make_rows
from benchmarks.usage import run_measured
from feature_store.keys import MARK_FIELD, PUBLICATION_KEY, photo_key
from loadtest.machine import begin_result, finish_result
from loadtest.redis_server import running_redis

_BLOCK = 10_000
_KEYS_AT_ONCE = 1000


def write_days(folder: Path, videos: int, seed: int) -> dict[str, Path]:
    """Write the evidence of two days in one row group each, as `onebar offline evidence` does."""
    spare = max(1, videos // 1000)
    blocks = []
    for start in range(0, videos + spare, _BLOCK):
        rows, _ = make_rows(min(_BLOCK, videos + spare - start), seed + start)
        blocks.append(pa.Table.from_pylist([row | {"photo_id": f"p{start + n}"} for n, row in enumerate(rows)]))
    table = pa.concat_tables(blocks).combine_chunks()
    second = table.slice(spare)
    captions = second["caption"].to_pylist()
    for row in random.Random(seed).sample(range(len(captions)), videos // 100):
        captions[row] += " again"
    second = second.set_column(second.schema.get_field_index("caption"), "caption", pa.array(captions))
    day = second.schema.get_field_index("updated_at")
    second = second.set_column(day, "updated_at", pa.array(np.asarray(second["updated_at"]) + 86_400_000))
    days = {"first": table.slice(0, videos), "second": second}
    paths = {name: folder / f"{name}.parquet" for name in days}
    for name, rows_of_day in days.items():
        parquet.write_table(rows_of_day, paths[name], compression="zstd")
    return paths


def command_of(*arguments: str) -> list[str]:
    """Return the command line of `onebar evidence`."""
    return [sys.executable, "-m", "cli.main", "evidence", *arguments]


def run_command(name: str, *arguments: str) -> dict[str, Any]:
    """Run `onebar evidence` to its end, and return its seconds, its peak memory and what it printed."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        usage = run_measured(command_of(*arguments), Path(log.name), with_errors=False)
        said = Path(log.name).read_text(encoding="utf-8")
    return {
        "step": name,
        "seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "peak_mib": round(usage.peak_memory_bytes / 2**20),
        "said": said.splitlines(),
    }


def _client(url: str, **options: Any) -> Any:
    return redis.Redis.from_url(url, socket_timeout=300, **options)  # a busy machine must not end the measurement


def digest_of(url: str) -> str:
    """Return a hash of all videos, in any order, without their marks."""
    total = 0
    with _client(url) as client:
        keys: list[bytes] = []

        def add() -> None:
            nonlocal total
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.hgetall(key)
                for key, record in zip(keys, pipeline.execute(), strict=True):
                    fields = sorted((name, value) for name, value in record.items() if name != MARK_FIELD.encode())
                    total ^= int.from_bytes(blake2b(repr((key, fields)).encode(), digest_size=16).digest())
            keys.clear()

        for key in sorted(client.scan_iter(photo_key("*"), count=_KEYS_AT_ONCE)):  # SCAN may return a key twice
            keys.append(key)
            if len(keys) == _KEYS_AT_ONCE:
                add()
        add()
    return f"{total:032x}"


def kill_during(url: str, command: list[str], rows: int) -> bool:
    """Run a publication, kill it when so many rows are done, and return whether that was in time."""
    started = subprocess.Popen(command_of(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with _client(url, decode_responses=True) as client, started as process:
        while process.poll() is None:
            status, position = client.hmget(PUBLICATION_KEY, "status", "position")
            if status == "publishing" and int(position) >= rows:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return process.returncode == -signal.SIGKILL


def kill_ten_times(url: str, publish: list[str], undo: list[str], videos: int, seed: int) -> list[dict[str, Any]]:
    """Kill the publication of the second day at ten random rows, continue each one, and compare the store."""
    before = digest_of(url)
    run_command("publish", *publish)
    after = digest_of(url)
    found = []
    for rows in sorted(random.Random(seed).sample(range(videos), 10)):
        run_command("restore", *undo)
        restored = digest_of(url) == before
        killed = kill_during(url, publish, rows)
        half_way = digest_of(url) not in (before, after)
        said = run_command("continue", *publish)["said"]
        found.append(
            {
                "killed_after_row": rows,
                "was_killed": killed,
                "was_half_way": half_way,
                "restored_before_is_identical": restored,
                "continued_is_identical": digest_of(url) == after,
                "said": said,
            }
        )
        print(json.dumps(found[-1], ensure_ascii=False))
    return found


def memory_of(url: str) -> int:
    """Return the bytes that the server's data needs."""
    with _client(url) as client:
        return int(client.info("memory")["used_memory_dataset"])


def measure(url: str, days: dict[str, Path], videos: int, seed: int, kills: bool) -> dict[str, Any]:
    """Run all steps on an empty server."""
    store = ["--store", url, "--kind", "photos"]
    journal = ["--journal", str(days["first"].with_name("journal"))]
    first = ["publish", str(days["first"]), *store, *journal]
    second = ["publish", str(days["second"]), *store, *journal]
    undo = ["restore", "--store", url]
    empty = memory_of(url)
    steps = [run_command("load, for comparison", "load", str(days["first"]), *store)]
    loaded = memory_of(url) - empty
    with _client(url) as client:
        client.flushall()
    steps.append(run_command("first publication", *first))
    published = memory_of(url) - empty
    journal_bytes = {"first": days["first"].with_name("journal").stat().st_size}
    steps.append(run_command("the same again", *first))
    steps.append(run_command("dry run of the second day", *second, "--dry-run"))
    steps.append(run_command("second day, 1 % changed", *second))
    steps.append(run_command("restore", *undo))
    for step in steps:
        print(f"{step['step']:<28}{step['seconds']:>8} s{step['cpu_seconds']:>8} s CPU{step['peak_mib']:>7} MiB")
    return {
        "videos": videos,
        "steps": steps,
        "redis_bytes_per_video": {"loaded": round(loaded / videos), "published": round(published / videos)},
        "journal_bytes": journal_bytes,
        "kills": kill_ten_times(url, second, undo, videos, seed) if kills else [],
    }


def main() -> None:
    """Parse the options, measure, and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--no-kills", action="store_true", help="leave out the ten kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = begin_result("publish", "hiredis", "redis", "pyarrow")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        days = write_days(folder, arguments.videos, arguments.seed)
        with running_redis(folder) as url:
            found = measure(url, days, arguments.videos, arguments.seed, not arguments.no_kills)
            with _client(url) as client:
                result["versions"]["redis-server"] = client.info("server")["redis_version"]
    print(f"Redis bytes a video: {found['redis_bytes_per_video']}; journal: {found['journal_bytes']}")
    print(json.dumps(result["machine"]))
    finish_result(result | {"arguments": sys.argv[1:], **found}, arguments.output)


if __name__ == "__main__":
    main()
