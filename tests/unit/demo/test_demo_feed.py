"""The feed of the demo page is made from a world and the evidence that is shipped of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from demo.errors import SelectionError
from demo.feed import FEED, PRODUCT_COLUMNS, write_feed
from demo.selection import PHOTOS, USERS
from demo.world.truth import read_truth
from offline.logs.tables import read_table

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "demo" / "evidence"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def feed_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(gzip.decompress((folder / FEED).read_bytes()))
    return content


@pytest.fixture
def evidence(world_dir: Path, tmp_path: Path) -> Path:
    """A folder like demo/evidence, with every tenth video and every user of the world."""
    photos = read_table(world_dir, "videos", ["photo_id", "caption"]).to_pylist()[::10]
    users = [{"user_id": name, "queries": ["tea"]} for name in read_table(world_dir, "users")["user_id"].to_pylist()]
    for name, entries in ((PHOTOS, photos), (USERS, users)):
        (tmp_path / name).write_bytes(gzip.compress("\n".join(map(json.dumps, entries)).encode()))
    return tmp_path


def test_every_video_of_the_feed_is_in_the_evidence_and_shows_a_product_of_the_shop(
    world_dir: Path, evidence: Path
) -> None:
    done = CliRunner().invoke(main, ["demo-feed", str(world_dir), str(evidence), "--videos", "60", "--viewers", "6"])
    assert done.exit_code == 0, done.output
    feed = feed_of(evidence)
    shipped = {row["photo_id"]: row for row in rows(evidence / PHOTOS)}
    assert len({video["photo_id"] for video in feed["videos"]}) == 60
    assert {video["photo_id"] for video in feed["videos"]} <= set(shipped)
    assert all(video["caption"] == (shipped[video["photo_id"]]["caption"] or "") for video in feed["videos"])
    assert all(len(product) == len(PRODUCT_COLUMNS) for product in feed["products"])
    truth = read_truth(world_dir)
    kinds = {truth.triggers.product[int(video["photo_id"][1:])] for video in feed["videos"]}
    assert kinds == {video["product"] for video in feed["videos"]}


def test_departments_and_aspects_take_turns_and_unsafe_videos_come_soon(world_dir: Path, evidence: Path) -> None:
    write_feed(world_dir, evidence, 60, 6)
    feed, truth = feed_of(evidence), read_truth(world_dir)
    unsafe = [truth.unsafe[int(video["photo_id"][1:])] for video in feed["videos"]]
    assert any(unsafe[:12])
    assert sum(unsafe) == 5
    departments = [feed["types"][feed["products"][video["product"]][0]]["department"] for video in feed["videos"]]
    assert len(set(departments)) == 15
    assert len({video["aspect"] for video in feed["videos"][:20]}) == 5


def test_the_viewers_differ_in_their_first_interest_and_in_their_prices(world_dir: Path, evidence: Path) -> None:
    write_feed(world_dir, evidence, 20, 6)
    viewers = feed_of(evidence)["viewers"]
    assert len({viewer["interests"][0]["department"] for viewer in viewers}) == 6
    assert {viewer["tier"] for viewer in viewers} == {"budget", "middle", "premium"}


def test_the_same_input_gives_the_same_bytes(world_dir: Path, evidence: Path) -> None:
    write_feed(world_dir, evidence, 20, 3)
    first = (evidence / FEED).read_bytes()
    write_feed(world_dir, evidence, 20, 3)
    assert (evidence / FEED).read_bytes() == first


def test_evidence_of_another_world_is_refused(world_dir: Path, evidence: Path) -> None:
    row = json.dumps({"photo_id": "p999999", "caption": "tea"}).encode()
    (evidence / PHOTOS).write_bytes(gzip.compress(row))
    with pytest.raises(SelectionError, match="another one"):
        write_feed(world_dir, evidence, 20, 3)


def test_the_shipped_feed_shows_shipped_videos_and_is_small() -> None:
    feed = feed_of(SHIPPED)
    assert {video["photo_id"] for video in feed["videos"]} <= {row["photo_id"] for row in rows(SHIPPED / PHOTOS)}
    assert {viewer["user_id"] for viewer in feed["viewers"]} <= {row["user_id"] for row in rows(SHIPPED / USERS)}
    assert (SHIPPED / FEED).stat().st_size < 200_000
