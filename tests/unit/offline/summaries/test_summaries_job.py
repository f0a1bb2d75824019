"""A whole run: what is written, what is not done twice, and what a damaged file or a failing endpoint costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from offline.logs.tables import read_table
from offline.summaries.endpoint import EndpointSettings
from offline.summaries.errors import EndpointError
from offline.summaries.frames import FrameSettings, sample_frames
from offline.summaries.job import JobSettings, ModelSettings, summarize
from offline.summaries.ocr import TextReader
from offline.summaries.outputs import Report
from offline.summaries.spending import Prices
from tests.unit.offline.conftest import write_rows
from tests.unit.offline.summaries.endpoint_server import Reply, Server, endpoint_server
from tests.unit.offline.summaries.rendering import render

WHITE, ORANGE = (235, 235, 225), (250, 200, 120)
MODEL_SUMMARY = "CFMOTO 675NK motorcycle; helmet; CFMOTO 675NK price; riding in town; new colours; showroom"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos with text, one without, and one damaged file."""
    folder = tmp_path_factory.mktemp("videos")
    render(folder / "bike.mp4", [("CFMOTO 675NK", WHITE, 1)])
    render(folder / "vacuum.mp4", [("无线吸尘器", ORANGE, 1)])
    render(folder / "pills.mp4", [("MAGIC PILLS", WHITE, 1)])
    (folder / "damaged.mp4").write_bytes(b"no video")
    return folder


ROWS: list[dict[str, Any]] = [
    {"photo_id": "bike", "caption": "look at this", "created_day": 2},
    {"photo_id": "vacuum", "caption": "家人们", "item_title": "旗舰", "created_day": 3},
    {"photo_id": "pills", "caption": "good morning", "created_day": 3},
    {"photo_id": "damaged", "title": "Dyson V8", "item_title": "Dyson V8 Absolute", "created_day": 3},
    {"photo_id": "ready", "caption": "hello", "summary": "This video shows a kettle.", "created_day": 3},
    {"photo_id": "bare", "caption": "hi", "created_day": 3},
]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = write_rows(tmp_path / "logs", videos=ROWS, reviews=[{"photo_id": "bare", "day": 1}])
    (folder / "prohibited_terms.tsv").write_text("drugs\tmagic pills\n")
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often files were decoded and frames read since the fixture was made."""
    counts = {"decoded": 0, "read": 0}

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        return counted

    monkeypatch.setattr("offline.summaries.work.sample_frames", counting("decoded", sample_frames))
    monkeypatch.setattr(TextReader, "read", counting("read", TextReader.read))
    return counts


def run(logs: Path, out: Path, settings: JobSettings, said: list[str] | None = None) -> Report:
    report = summarize(logs, out, settings, say=(said if said is not None else []).append)
    assert report is not None
    return report


def summaries(out: Path) -> dict[str, str | None]:
    rows = pq.read_table(out / "summaries.parquet").to_pylist()
    return {row["photo_id"]: row["summary"] for row in rows}


def with_model(settings: JobSettings, server: Server, **changes: Any) -> JobSettings:
    endpoint = EndpointSettings(server.url, "m", "sk-key", first_wait_seconds=0.001, attempts=2)
    return replace(settings, model=ModelSettings(endpoint, Prices(1, 1), **changes))


def test_without_a_model_summaries_come_from_screen_and_texts(tmp_path: Path, logs: Path, files: Path) -> None:
    report = run(logs, tmp_path / "out", JobSettings(files))
    assert summaries(tmp_path / "out") == {
        "bike": "CFMOTO 675NK",
        "vacuum": "旗舰; 无线吸尘器",
        "pills": "MAGIC PILLS",
        "damaged": "Dyson V8 Absolute",
        "ready": "a kettle",
        "bare": None,
    }
    assert report.sources == {"composed": 4, "input": 1, "none": 1}
    assert report.file_faults == {"damaged": 1}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["videos"] == 6


def test_the_tables_take_the_place_of_those_of_the_logs(tmp_path: Path, logs: Path, files: Path) -> None:
    out = tmp_path / "out"
    run(logs, out, JobSettings(files))
    before, after = read_table(logs, "videos"), read_table(out, "videos")
    assert after.drop(["summary"]).equals(before.drop(["summary"]))
    given = dict(zip(after["photo_id"].to_pylist(), after["summary"].to_pylist(), strict=True))
    assert given["bike"] == "CFMOTO 675NK"
    assert given["ready"] == "This video shows a kettle."
    assert read_table(out, "reviews").to_pylist() == read_table(logs, "reviews").to_pylist()


def test_a_term_that_cleaning_hides_in_the_summary_becomes_a_label(tmp_path: Path, logs: Path, files: Path) -> None:
    with endpoint_server(*[Reply(text='{"objects": ["a box"], "ocr_text": ["M@GIC pills"]}')] * 3) as server:
        report = run(logs, tmp_path / "out", with_model(JobSettings(files), server))
    assert summaries(tmp_path / "out")["pills"] == "a box; M pills"
    assert (report.unsafe_by_terms, report.to_review) == (3, 3)
    labels = {row["photo_id"]: row for row in read_table(tmp_path / "out", "reviews").to_pylist()}
    assert labels["pills"] == {"photo_id": "pills", "day": 3, "verdict": "unsafe", "policy_category": "drugs"}
    assert labels["bare"]["verdict"] == "safe"


def test_grades_become_labels(tmp_path: Path, logs: Path) -> None:
    grades = tmp_path / "grades.tsv"
    grades.write_text("photo_id\tday\tgrade\tpolicy_category\treviewer\npills\t4\tbad\tarms\ta\n")
    report = run(logs, tmp_path / "out", JobSettings(grades=grades))
    assert report.unsafe_by_grades == 1
    labels = read_table(tmp_path / "out", "reviews").to_pylist()
    assert {"photo_id": "pills", "day": 4, "verdict": "unsafe", "policy_category": "arms"} in labels


def test_nothing_is_done_twice(tmp_path: Path, logs: Path, files: Path, counted: dict[str, int]) -> None:
    out = tmp_path / "out"
    run(logs, out, JobSettings(files))
    assert counted == {"decoded": 4, "read": 3}
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".parquet", ".tsv")}
    run(logs, out, JobSettings(files))
    assert counted == {"decoded": 4, "read": 3}
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".parquet", ".tsv")} == first


def test_only_what_has_changed_is_done_again(tmp_path: Path, logs: Path, files: Path, counted: dict[str, int]) -> None:
    own, out = tmp_path / "videos", tmp_path / "out"
    own.mkdir()
    for path in files.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    run(logs, out, JobSettings(own))
    counted.update(decoded=0, read=0)
    (own / "bike.mp4").write_bytes((files / "vacuum.mp4").read_bytes())  # content that is known from another video
    rows = [row | ({"item_title": "Roborock"} if row["photo_id"] == "vacuum" else {}) for row in ROWS]
    write_rows(logs, videos=rows)
    run(logs, out, JobSettings(own))
    assert counted == {"decoded": 0, "read": 0}
    assert summaries(out)["bike"] == "无线吸尘器"
    assert summaries(out)["vacuum"] == "Roborock; 无线吸尘器"
    render(own / "bike.mp4", [("SALE 199", WHITE, 1)])
    run(logs, out, JobSettings(own))
    assert counted == {"decoded": 1, "read": 1}
    assert summaries(out)["bike"] == "SALE 199"


def test_summaries_of_an_earlier_run_are_not_taken_for_ready_made_ones(tmp_path: Path, logs: Path, files: Path) -> None:
    out = tmp_path / "out"
    run(logs, out, JobSettings(files))
    for name in ("videos", "reviews"):
        (logs / f"{name}.parquet").write_bytes((out / f"{name}.parquet").read_bytes())
    with endpoint_server() as server:
        report = run(logs, out, with_model(JobSettings(files), server))
    assert report.sources == {"composed": 1, "input": 1, "model": 3, "none": 1}
    assert summaries(out)["ready"] == "a kettle"


def test_a_model_describes_what_can_be_decoded(tmp_path: Path, logs: Path, files: Path) -> None:
    out, said = tmp_path / "out", []
    with endpoint_server() as server:
        report = run(logs, out, with_model(JobSettings(files), server), said)
        again = run(logs, out, with_model(JobSettings(files), server), said)
        assert len(server.bodies) == 3
    assert said[0].startswith("4 videos to ask about")  # whether a file can be decoded is not known yet
    assert said[1].startswith("0 videos to ask about")
    assert summaries(out)["bike"] == MODEL_SUMMARY
    assert report.sources == again.sources == {"composed": 1, "input": 1, "model": 3, "none": 1}
    assert report.dollars == pytest.approx(3 * 1100 / 1e6)
    assert again.dollars == 0
    assert {body["messages"][1]["content"][0]["type"] for body in server.bodies} == {"image_url"}


@pytest.mark.parametrize("fault", [Reply(status=500), Reply(cut=9), Reply(text="{"), Reply(status=400)])
def test_a_failed_request_leaves_a_composed_summary_and_is_made_again(
    tmp_path: Path, logs: Path, files: Path, fault: Reply
) -> None:
    out = tmp_path / "out"

    def reply_to(number: int, body: dict[str, Any]) -> Reply:
        return fault if "look at this" in str(body) and not healed else Reply()

    healed = False
    with endpoint_server(reply_to=reply_to) as server:
        report = run(logs, out, with_model(JobSettings(files), server))
        assert summaries(out)["bike"] == "CFMOTO 675NK"
        assert sum(report.request_faults.values()) == 1
        assert report.sources["model"] == 2
        healed, before = True, len(server.bodies)
        report = run(logs, out, with_model(JobSettings(files), server))
        assert len(server.bodies) == before + 1
    assert summaries(out)["bike"] == MODEL_SUMMARY
    assert report.request_faults == {}


def test_a_refused_video_is_composed_and_waits_for_a_person(tmp_path: Path, logs: Path, files: Path) -> None:
    out = tmp_path / "out"
    with endpoint_server(*[Reply(refusal="I cannot.")] * 9) as server:
        run(logs, out, with_model(JobSettings(files), server))
        report = run(logs, out, with_model(JobSettings(files), server))
        assert len(server.bodies) == 3
    assert summaries(out)["bike"] == "CFMOTO 675NK"
    assert report.to_review == 3
    assert "the model refused" in (out / "to_review.tsv").read_text()


def test_when_the_money_is_spent_the_rest_is_composed_until_the_next_run(
    tmp_path: Path, logs: Path, files: Path
) -> None:
    out, said = tmp_path / "out", []
    with endpoint_server() as server:
        report = run(logs, out, with_model(JobSettings(files), server, max_cost=0.003, concurrency=1), said)
        assert len(server.bodies) == 1
        assert report.pending == 2
        assert "--max-cost" in report.stopped
        assert report.dollars <= 0.003
        report = run(logs, out, with_model(JobSettings(files), server), said)
        assert len(server.bodies) == 3
    assert "the limit is enough for about" in said[0]
    assert report.pending == 0


def test_a_wrong_key_ends_the_run_and_nothing_is_written(tmp_path: Path, logs: Path, files: Path) -> None:
    out = tmp_path / "out"
    with endpoint_server(*[Reply(status=401)] * 9) as server, pytest.raises(EndpointError, match="correct the key"):
        run(logs, out, with_model(JobSettings(files), server))
    assert not (out / "summaries.parquet").exists()


def test_several_files_are_read_and_asked_about_at_a_time(tmp_path: Path, logs: Path, files: Path) -> None:
    with endpoint_server() as server:
        run(logs, tmp_path / "a", replace(with_model(JobSettings(files), server, concurrency=3), workers=2))
        run(logs, tmp_path / "b", with_model(JobSettings(files), server, concurrency=1))
    assert summaries(tmp_path / "a") == summaries(tmp_path / "b")


def test_speech_of_the_input_counts_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "videos.jsonl").write_text(
        json.dumps({"photo_id": "p", "caption": "hi", "speech": "the best kettle for tea"}) + "\n"
    )
    run(tmp_path / "videos.jsonl", tmp_path / "out", JobSettings(frames=FrameSettings(frames=1)))
    assert summaries(tmp_path / "out") == {"p": "the best kettle for tea"}
    assert not (tmp_path / "out" / "videos.parquet").exists()
