"""Events become log tables: what was shown, and only feedback that names it counts."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.pseudonym import make_key_file
from offline.errors import SettingsError
from offline.events.export import EXPORTED, REPORT_FILE, ExportReport, export
from offline.events.joining import LEFT_OUT, JoinSettings
from offline.events.sources import MAX_LINE_BYTES, lines_of
from offline.events.viewers import viewers_of
from offline.logs.engine import Engine, open_engine
from offline.logs.intake import IntakeSettings, read_logs
from offline.logs.schema import MILLISECONDS_PER_DAY, TABLES
from offline.logs.tables import write_table
from offline.logs.validation import conform, validate

DAY_ZERO = (datetime(2026, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
NOON_OF_DAY_3 = (DAY_ZERO + 3) * MILLISECONDS_PER_DAY + MILLISECONDS_PER_DAY // 2
HOUR = 3_600_000


@pytest.fixture(scope="module")
def engine() -> Engine:
    return open_engine(memory="256MB")


def answer(request_id: str, *shown: str, user: str | None = "u1", after_ms: int = 0, **fields: Any) -> dict[str, Any]:
    hypotheses = [{"query": query, "score": -1.0, "verdict": "shown", "rule": None} for query in shown]
    return {
        "kind": "answer", "time_ms": NOON_OF_DAY_3 + after_ms, "request_id": request_id, "photo_id": "p1",
        "user_id": user, "model_version": "631f829cbac0", "hypotheses": hypotheses,
    } | fields  # fmt: skip


def feedback(request_id: str, event: str = "click", after_ms: int = 60_000, **fields: Any) -> dict[str, Any]:
    happened = NOON_OF_DAY_3 + after_ms
    return {
        "kind": "feedback", "time_ms": happened, "request_id": request_id, "event": event, "event_id": None,
        "rank": None, "query": None, "happened_ms": happened, "order_value": None, "key_id": "0123456789ab",
    } | fields  # fmt: skip


def exported(
    events: list[Any],
    out: Path,
    engine: Engine,
    settings: JoinSettings | None = None,
    viewers: pa.Table | None = None,
    keep_rows: bool = False,
) -> tuple[ExportReport, list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the report and the rows of both tables, which follow the schema."""
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    report = export(lines, out, engine, DAY_ZERO, settings or JoinSettings(), viewers, keep_rows)
    tables = []
    for name in EXPORTED:
        parts = [pq.read_table(path) for path in sorted((out / name).glob("*.parquet"))]
        table = pa.concat_tables(parts) if parts else TABLES[name].schema.empty_table()
        table = conform(table, name, where=name)
        validate(table, name, where=name)
        tables.append(table.to_pylist())
    return report, tables[0], tables[1]


def test_an_answer_is_an_impression_and_its_queries_are_exposures(tmp_path: Path, engine: Engine) -> None:
    dropped = [
        {"query": "one too many", "score": -3.0, "verdict": "dropped", "rule": "over_num_queries"},
        {"query": "a bad word", "score": -2.0, "verdict": "dropped", "rule": "prohibited_term"},
    ]
    full = answer("r1", "web camera", "camera price")
    full["hypotheses"][0]["rule"] = "pinned"
    events = [full | {"hypotheses": full["hypotheses"] + dropped}, answer("r2", user="u2", decision="abstain")]
    report, impressions, exposures = exported(events, tmp_path, engine)
    assert impressions == [
        {"impression_id": name, "day": 3, "ts": NOON_OF_DAY_3, "user_id": user, "photo_id": "p1"}
        for name, user in (("r1", "u1"), ("r2", "u2"))
    ]
    rows = [(row["position"], row["query"], row["policy"], row["clicked"], row["order_value"]) for row in exposures]
    assert rows == [
        (0, "one too many", "onebar:631f829cbac0", False, 0.0),
        (1, "web camera", "pinned", False, 0.0),
        (2, "camera price", "onebar:631f829cbac0", False, 0.0),
    ]
    assert report.days == {3: {"impressions": 2, "exposures": 3}}
    assert json.loads((tmp_path / REPORT_FILE).read_text())["lines"]["answers"] == 2


def test_feedback_names_a_query_by_rank_or_text_and_an_order_is_also_a_click(tmp_path: Path, engine: Engine) -> None:
    events = [
        feedback("r1", query="camera price"),  # the order of the lines has no meaning
        answer("r1", "web camera", "camera price", "webcam", "tripod"),
        feedback("r1", "engagement", rank=1),
        feedback("r1", "order", rank=3, query="webcam", order_value=20.0, event_id="o1", after_ms=23 * HOUR),
        feedback("r1", "order", rank=3, order_value=5, event_id="o2"),
    ]
    report, _, exposures = exported(events, tmp_path, engine)
    assert [(row["query"], row["clicked"], row["engaged"], row["order_value"]) for row in exposures] == [
        ("web camera", True, True, 0.0),
        ("camera price", True, False, 0.0),
        ("webcam", True, True, 25.0),
        ("tripod", False, False, 0.0),
    ]
    assert report.counted == {"click": 1, "engagement": 1, "order": 2}
    assert report.counted_by_key == {"0123456789ab": 4}


def test_the_same_event_twice_counts_once(tmp_path: Path, engine: Engine) -> None:
    once = [
        answer("r1", "web camera"),
        feedback("r1", "order", rank=1, order_value=20.0),
        feedback("r1", "order", rank=1, order_value=7.0, event_id="o1"),
    ]
    again = [
        *once,  # delivered twice by the sink
        feedback("r1", "order", query="web camera", order_value=20.0, after_ms=90_000),  # sent twice by the caller
        feedback("r1", "order", rank=1, order_value=900.0, event_id="o1", after_ms=90_000),  # the first one counts
    ]
    report, impressions, exposures = exported(once + again, tmp_path, engine)
    assert (len(impressions), len(exposures)) == (1, 1)
    assert exposures[0]["order_value"] == 27.0
    assert (report.lines.answers, report.answers["exported"]) == (2, 1)
    assert (report.feedback["counted"], report.feedback["duplicate"]) == (2, 4)


def test_invented_late_and_ambiguous_feedback_is_left_out_and_counted(tmp_path: Path, engine: Engine) -> None:
    answers = [
        answer("r1", "web camera", "camera price"),
        answer("twice", "web camera"),
        answer("twice", "camera price", after_ms=5),
        answer("nobody", "web camera", user=None),
        answer("yesterday", "web camera", after_ms=-24 * HOUR),
    ]
    left_out = {
        "unknown_request": feedback("invented", rank=1),
        "reused_request": feedback("twice", rank=1),
        "other_day": feedback("yesterday", rank=1, after_ms=-23 * HOUR),
        "not_shown": feedback("r1", rank=3),
        "before_answer": feedback("r1", rank=1, after_ms=-2 * 60_000),
        "late": feedback("r1", rank=1, after_ms=25 * HOUR),
        "no_viewer": feedback("nobody", rank=1),
        "ignored_key": feedback("r1", rank=1, key_id="badbadbadbad"),
    }
    assert {*left_out, "duplicate"} == set(LEFT_OUT)
    also_not_shown = [feedback("r1", query="never generated"), feedback("r1", rank=1, query="camera price")]
    settings = JoinSettings(day=3, ignored_keys=("badbadbadbad",))
    report, impressions, exposures = exported(
        [*answers, *left_out.values(), *also_not_shown], tmp_path, engine, settings
    )
    assert [row["impression_id"] for row in impressions] == ["r1"]
    assert not any(row["clicked"] for row in exposures)
    assert report.feedback == dict.fromkeys(left_out, 1) | {"not_shown": 3, "counted": 0, "duplicate": 0}
    assert report.answers == {"exported": 1, "reused_request": 2, "other_day": 1, "no_viewer": 1}


def test_lines_that_are_no_events_are_counted(tmp_path: Path, engine: Engine) -> None:
    lines = [
        b"", b"   ", b"no json", b"[1]", b"[" * 5000, b'{"kind":"other","time_ms":1}',
        b'{"time_ms":1,"request_id":"r9"}',
        answer("r2", "x", time_ms=5), answer("r3", "x", photo_id=7), answer("r4", "\ud800"), answer("r5", "x", user=""),
        feedback("r1"), feedback("r1", "view", rank=1), feedback("r1", rank=2**70), feedback("r1", rank=True),
        feedback("r1", "order", rank=1, order_value=1e300), feedback("r1", rank=1, happened_ms="now"),
        {name: value for name, value in answer("old", "web camera").items() if name != "kind"},
    ]  # fmt: skip
    report, impressions, _ = exported(lines, tmp_path, engine)
    assert [row["impression_id"] for row in impressions] == ["old"]
    assert (report.lines.blank, report.lines.unreadable) == (2, 15)


def test_a_day_is_replaced_by_the_same_bytes_and_other_days_stay(tmp_path: Path, engine: Engine) -> None:
    events = [answer(f"r{number}", "a", "b", after_ms=number) for number in range(40)]
    exported([*events, answer("later", "a", after_ms=24 * HOUR)], tmp_path, engine)
    files = sorted(tmp_path.glob("*/*.parquet"))
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "exposures/day-00003.parquet", "exposures/day-00004.parquet",
        "impressions/day-00003.parquet", "impressions/day-00004.parquet",
    ]  # fmt: skip
    before = [file.read_bytes() for file in files]
    exported(events[::-1], tmp_path, engine, JoinSettings(day=3))
    assert [file.read_bytes() for file in files] == before
    exported([*events, feedback("r1", rank=1)], tmp_path, engine, JoinSettings(day=3))
    assert [old == file.read_bytes() for file, old in zip(files, before, strict=True)] == [False, True, True, True]
    assert not list(tmp_path.glob("**/*.partial"))


def test_a_day_that_is_exported_again_has_its_late_feedback_and_loses_no_row(tmp_path: Path, engine: Engine) -> None:
    """An order at 01:00 for an answer of 23:30, after the export of the night; then the stream is trimmed."""
    half_past_eleven = 11 * HOUR + HOUR // 2
    answers = [answer("r1", "web camera", "tripod"), answer("r2", "webcam", after_ms=half_past_eleven)]
    order = feedback("r2", "order", rank=1, order_value=20.0, after_ms=13 * HOUR)
    day_3 = JoinSettings(day=3)
    report, _, before = exported([*answers, feedback("r1", rank=2)], tmp_path, engine, day_3, keep_rows=True)
    assert [row["clicked"] for row in before] == [False, True, False]
    assert report.kept == {}
    # The answer r1 and its click are no longer there.
    report, impressions, exposures = exported([answers[1], order], tmp_path, engine, day_3, keep_rows=True)
    assert [row["impression_id"] for row in impressions] == ["r1", "r2"]
    assert [(row["query"], row["clicked"], row["order_value"]) for row in exposures] == [
        ("web camera", False, 0.0), ("tripod", True, 0.0), ("webcam", True, 20.0),
    ]  # fmt: skip
    assert report.days == {3: {"impressions": 2, "exposures": 3}}
    assert report.kept == {3: {"impressions": 1, "exposures": 2}}
    assert "kept" in report.to_text()
    files = sorted(tmp_path.glob("*/*.parquet"))
    bytes_before = [file.read_bytes() for file in files]
    report, _, _ = exported([answer("later", "a", after_ms=24 * HOUR)], tmp_path, engine, day_3, keep_rows=True)
    assert report.kept == {3: {"impressions": 2, "exposures": 3}}
    assert [file.read_bytes() for file in files] == bytes_before
    with pytest.raises(SettingsError, match="no answer of day 5"):
        exported([*answers], tmp_path, engine, JoinSettings(day=5), keep_rows=True)


def test_an_export_that_is_cut_off_leaves_the_old_files(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    events = [answer("r1", "web camera")]
    exported(events, tmp_path, engine)
    files = sorted(tmp_path.glob("*/*.parquet"))
    before = [file.read_bytes() for file in files]
    with pytest.raises(OSError, match="No space left"):
        exported([*events, feedback("r1", rank=1)], tmp_path, replace(engine, save=cut_off), keep_rows=True)
    assert [file.read_bytes() for file in files] == before
    assert exported([*events, feedback("r1", rank=1)], tmp_path, engine, keep_rows=True)[2][0]["clicked"]


def test_what_cannot_be_exported_is_an_error_of_one_sentence(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(SettingsError, match="no answer of day 9"):
        exported([answer("r1", "a")], tmp_path, engine, JoinSettings(day=9))
    with pytest.raises(SettingsError, match="answers of day -1"):
        exported([answer("r1", "a", after_ms=-4 * 24 * HOUR)], tmp_path, engine)
    write_table(tmp_path, "impressions", TABLES["impressions"].schema.empty_table())
    with pytest.raises(SettingsError, match=r"move it to .*impressions/old\.parquet"):
        exported([answer("r1", "a")], tmp_path, engine)


def test_pseudonyms_become_the_users_of_the_tables_and_the_dataset_is_valid(tmp_path: Path, engine: Engine) -> None:
    ring = make_key_file(tmp_path / "users.key")
    logs = tmp_path / "logs"
    write_table(logs, "users", {"user_id": ["u1", "u2"], "activity": pa.array([1, 2], pa.int32())})
    videos = TABLES["videos"].schema
    row = dict.fromkeys(videos.names) | {"photo_id": "p1", "created_day": 0, "author_id": "a"}
    write_table(logs, "videos", pa.Table.from_pylist([row], videos))
    for name in ("searches", "search_clicks", "reviews"):
        write_table(logs, name, TABLES[name].schema.empty_table())
    events = [
        answer("r1", "web camera", user=ring.pseudonym("u1")),
        answer("r2", "web camera", user=ring.pseudonym("gone")),
        feedback("r1", rank=1),
    ]
    viewers = viewers_of(logs, tmp_path / "users.key", engine)
    report, impressions, _ = exported(events, logs, engine, viewers=viewers)
    assert [row["user_id"] for row in impressions] == ["u1"]
    assert report.answers["no_viewer"] == 1
    intake = read_logs(logs, engine, IntakeSettings(max_bad_share=0.0, now_ms=NOON_OF_DAY_3 + 24 * HOUR))
    assert {name: (count.rows, count.bad) for name, count in intake.counts.items()} == {
        "videos": (1, 0), "users": (2, 0), "impressions": (1, 0), "exposures": (1, 0), "searches": (0, 0),
        "search_clicks": (0, 0), "reviews": (0, 0),
    }  # fmt: skip


def test_files_and_folders_are_read_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "0000000000000002.jsonl").write_bytes(b"c\n" + b"x" * (MAX_LINE_BYTES + 5) + b"\nd")
    with gzip.open(tmp_path / "0000000000000001.jsonl.gz", "wb") as file:
        file.write(b"a\n\nb\n")
    (tmp_path / "lock").write_bytes(b"not events\n")
    lines = list(lines_of(str(tmp_path)))
    assert lines[:4] == [b"a", b"", b"b", b"c"]
    assert [len(line) for line in lines[4:]] == [MAX_LINE_BYTES, 5, 1]
    assert list(lines_of(str(tmp_path / "0000000000000001.jsonl.gz"))) == [b"a", b"", b"b"]


@pytest.mark.parametrize("wrong", ["nowhere.jsonl", "", "broken.jsonl.gz"])
def test_a_sink_that_cannot_be_read_is_an_error_of_one_sentence(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(SettingsError, match=r"is not there|no \.jsonl|cannot be read as events"):
        list(lines_of(str(tmp_path / (wrong or "empty"))))
