"""Golden requests: where they come from, what a good answer is, and how many are enough."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from service.operating.golden import GOLDEN_FILE, MAX_GOLDEN_REQUESTS, GoldenError, enough, fault_of, read_golden

REQUEST = {"photo_id": "p1", "evidence": {"caption": "camera"}, "deadline_ms": 5}


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_file_of_the_settings_comes_before_that_of_the_bundle_and_the_built_in_ones_come_last(tmp_path):
    built_in = read_golden(None, tmp_path)
    write(tmp_path / GOLDEN_FILE, REQUEST)
    of_the_bundle = read_golden(None, tmp_path)
    of_the_settings = read_golden(write(tmp_path / "chosen", REQUEST, {"photo_id": "p2"}), tmp_path)
    assert [len(golden.requests) for golden in (built_in, of_the_bundle, of_the_settings)] == [6, 1, 2]
    assert [golden.required for golden in (built_in, of_the_bundle, of_the_settings)] == [False, True, True]


def test_no_golden_request_is_cut_by_a_deadline(tmp_path):
    golden = read_golden(write(tmp_path / "chosen", REQUEST), tmp_path)
    assert golden.requests[0].deadline_ms == 10_000


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "must be 1 to 64 lines"),
        ([REQUEST] * (MAX_GOLDEN_REQUESTS + 1), "must be 1 to 64 lines"),
        ([REQUEST, {"evidence": {}}], "line 2 of the golden requests"),
        ([REQUEST | {"evidence": {"caption": "x" * 1024 * 1024}}], "at most 1048576 bytes"),
    ],
)
def test_a_file_that_is_none_of_golden_requests_is_refused(tmp_path, lines, message):
    with pytest.raises(GoldenError, match=message):
        read_golden(write(tmp_path / "chosen", *lines), tmp_path)


def test_a_missing_file_of_the_settings_is_refused(tmp_path):
    with pytest.raises(GoldenError, match="cannot be read"):
        read_golden(tmp_path / "none", tmp_path)


def body(*queries: str, score: float = -1.0, degraded: tuple[str, ...] = ()) -> dict:
    return {"queries": [{"query": query, "score": score} for query in queries], "degraded": list(degraded)}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (body("camera", "camera lens"), None),
        (body(), None),
        (body("camera", "camera"), "twice"),
        (body("camera", " "), "empty"),
        (body("camera\u202e"), "not readable"),
        (body("a", "b", "c"), "3 queries"),
        (body("camera", score=math.nan), "not a number"),
        (body("camera", degraded=("deadline",)), "over 10000 ms"),
    ],
)
def test_what_is_wrong_with_an_answer(answer, fault):
    found = fault_of(answer, num_queries=2)
    assert found is None if fault is None else fault in found


@pytest.mark.parametrize(
    ("answered", "reference", "share", "is_enough"),
    [(8, 10, 0.8, True), (7, 10, 0.8, False), (0, 0, 0.8, True), (0, 1, 0.8, False), (9, 6, 1.0, True)],
)
def test_a_share_of_what_the_served_bundle_answers_is_required(answered, reference, share, is_enough):
    assert enough(answered, reference, share) is is_enough
