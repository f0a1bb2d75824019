"""Traffic is like a feed's, and the same for the same seed."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from loadtest.traffic import ANONYMOUS, BATCH, COLD, WARM, Mix, Traffic, inline_evidence, open_traffic

PHOTOS = [{"photo_id": f"p{i}", "caption": f"caption {i}", "anchors": ["a"], "histories": ["h"]} for i in range(200)]
USERS = [f"u{i}" for i in range(50)]


def test_the_same_seed_gives_the_same_calls() -> None:
    first, second = (list(islice(Traffic(PHOTOS, USERS, seed=3), 200)) for _ in range(2))
    other = list(islice(Traffic(PHOTOS, USERS, seed=4), 200))
    assert first == second != other


def test_scenarios_come_in_their_shares() -> None:
    mix = Mix(anonymous=20, cold=10, batch=5)
    counts = Counter(call.scenario for call in islice(Traffic(PHOTOS, USERS, 1, mix), 8000))
    shares = {scenario: count / 80 for scenario, count in counts.items()}
    assert shares == pytest.approx({WARM: 65, ANONYMOUS: 20, COLD: 10, BATCH: 5}, abs=2)


def test_videos_follow_a_zipf_law() -> None:
    traffic = Traffic(PHOTOS, USERS, seed=1)
    counts = Counter(traffic.call(WARM).body["photo_id"] for _ in range(20_000)).most_common()
    harmonic = sum(1 / rank for rank in range(1, 201))
    assert counts[0][1] / 20_000 == pytest.approx(1 / harmonic, rel=0.1)
    assert counts[0][1] / counts[1][1] == pytest.approx(2, rel=0.15)


def test_request_ids_never_repeat() -> None:
    traffic = Traffic(PHOTOS, USERS, mix=Mix(batch=50))
    ids = [request["request_id"] for call in islice(traffic, 1000) for request in call.requests]
    assert len(ids) == len(set(ids))


def test_who_watches() -> None:
    traffic = Traffic(PHOTOS, USERS)
    assert "user_id" not in traffic.call(ANONYMOUS).body
    assert traffic.call(WARM).body["user_id"] in USERS
    page = traffic.call(BATCH)
    assert len({request["user_id"] for request in page.requests}) == 1
    assert {request["deadline_ms"] for request in page.requests} == {25.0 * len(page.requests)}


def test_a_cold_video_is_unknown_and_brings_its_evidence() -> None:
    body = Traffic(PHOTOS, USERS).call(COLD).body
    assert body["photo_id"] not in {photo["photo_id"] for photo in PHOTOS}
    assert set(body["evidence"]) == {"caption", "anchors"}


def test_inline_evidence_fits_the_wire() -> None:
    evidence = inline_evidence(
        {
            "caption": "c" * 9000,
            "title": None,
            "summary": "s",
            "anchors": ["x" * 300, *(["a"] * 100)],
            "histories": ["h"],
        }
    )
    assert len(evidence["caption"]) == 4096
    assert evidence["anchors"] == ["a"] * 64
    assert "title" not in evidence
    assert "histories" not in evidence


def test_evidence_files_are_read_plain_or_gzipped(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "photos.jsonl.gz", "wt", encoding="utf-8") as out:
        out.write(json.dumps(PHOTOS[0]) + "\n")
    (tmp_path / "users.jsonl").write_text('{"user_id": "u1", "queries": []}\n', encoding="utf-8")
    body = open_traffic(tmp_path).call(WARM).body
    assert (body["photo_id"], body["user_id"]) == ("p0", "u1")


def test_a_folder_without_evidence_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no photos\.jsonl\.gz in"):
        open_traffic(tmp_path)


def test_no_photos_make_no_traffic() -> None:
    with pytest.raises(ValueError, match="at least one photo"):
        Traffic([], USERS)
