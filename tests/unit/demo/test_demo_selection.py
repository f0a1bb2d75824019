"""The shipped demo is the most active part of the last day of a world."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from click.testing import CliRunner

from cli.main import main
from demo.selection import PHOTOS, TERMS, USERS, most_active, select
from demo.world.build import build_world
from demo.world.spec import WorldSpec
from offline.logs.tables import read_table


def test_the_most_active_are_taken_and_ties_go_by_name() -> None:
    assert most_active(["b", "a", "c", "c", "b", "a", "d"], 2) == {"a", "b"}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_only_rows_that_the_last_day_needs_are_kept_and_always_the_same(tmp_path: Path) -> None:
    world = tmp_path / "world"
    build_world(world, WorldSpec(3, 300, 120, 4, 600), lambda done, following: None)
    impressions = read_table(world, "impressions")
    videos = read_table(world, "videos")["photo_id"].to_pylist()
    everything = write(tmp_path / "photos.jsonl.gz", [{"photo_id": name} for name in videos])
    people = read_table(world, "users")["user_id"].to_pylist()
    users = write(tmp_path / "users.jsonl.gz", [{"user_id": name} for name in people])
    counts = select(world, everything, users, tmp_path / "demo", videos=20, viewers=10)
    assert counts == {PHOTOS: 20, USERS: 10}
    last = impressions.filter(impressions["day"].to_numpy() == 3)
    lines = gzip.decompress((tmp_path / "demo" / PHOTOS).read_bytes()).splitlines()
    kept = [json.loads(line)["photo_id"] for line in lines]
    assert set(kept) <= set(last["photo_id"].to_pylist())
    assert (tmp_path / "demo" / TERMS).read_text() == (world / TERMS).read_text()

    select(world, everything, users, tmp_path / "again", videos=20, viewers=10)
    assert (tmp_path / "again" / PHOTOS).read_bytes() == (tmp_path / "demo" / PHOTOS).read_bytes()


def test_evidence_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    world = tmp_path / "world"
    build_world(world, WorldSpec(3, 300, 120, 4, 600), lambda done, following: None)
    users = write(tmp_path / "users.jsonl.gz", [{"user_id": "u1"}])
    rows = tmp_path / "photos.jsonl.gz"
    for content in (b"no gzip", gzip.compress(b"no json"), gzip.compress(b"[1]"), gzip.compress(b"{}")[:-4]):
        rows.write_bytes(content)
        arguments = ["demo-evidence", world, rows, users, tmp_path / "demo"]
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exit_code == 1
        assert done.output.startswith(f"Error: {rows} is not gzipped JSON Lines")
