"""`onebar evaluate` runs and reports; the bundle is tiny and random, so the figures are not checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from evaluation.inputs import Example
from evaluation.predict import BundlePredictor
from evidence.schema import Evidence
from generation.engine import Engine
from generation.request import GenerationRequest
from generation.results import Generation
from tests.fixtures.tiny_embedder import build_tiny_embedder
from tests.unit.offline.summaries.endpoint_server import Reply, endpoint_server


@pytest.fixture
def folder(tmp_path: Path, examples_file: Callable[..., Path]) -> Path:
    """A folder of examples as of `onebar offline examples`, and a file of labels."""
    rows = [
        {"photo_id": f"p{n}", "caption": f"running shoes {n}", "target": "running shoes", "histories": ["shoes price"]}
        for n in range(6)
    ]
    for split in ("train", "test"):
        examples_file([*rows, {"kind": "reject", "target": "[REJECT]"}], f"examples_{split}.parquet")
    examples_file([{**row, "kind": "shown", "target": ""} for row in rows], "shown_test.parquet")
    labels = {"photo_id": ["p0", "p1"], "unsafe": [True, False], "category": ["fraud", None]}
    pq.write_table(pa.table(labels), tmp_path / "labels.parquet")
    return tmp_path


def test_queries_come_without_repeats_and_at_most_eight(bundle: Path, examples: Callable[..., list[Example]]) -> None:
    predictor = BundlePredictor(bundle)
    [answer] = predictor.answers([Evidence(text="red running shoes")])
    assert 0 < len(answer.queries) <= 8
    assert len({query.casefold() for query in answer.queries}) == len(answer.queries)
    assert 0.0 <= answer.reject_probability <= 1.0


def test_a_bundle_can_be_given_the_title_alone(bundle: Path, examples: Callable[..., list[Example]]) -> None:
    predictor = BundlePredictor(bundle)
    held_out = examples({"caption": "red running shoes"}, {"caption": "red running shoes", "histories": ["cheap tent"]})
    plain, rich = predictor.predict(held_out)
    assert predictor.predict_title_only(held_out) == [plain, plain]
    assert rich != plain


def test_a_report_is_printed_and_written(bundle: Path, folder: Path) -> None:
    options = ["--examples", str(folder), "--labels", str(folder / "labels.parquet"), "--out", str(folder / "report")]
    result = CliRunner().invoke(main, ["evaluate", str(bundle), *options])
    assert result.exit_code == 0, result.output
    for part in ("HR@8", "title neighbours", "Decontaminated", "[REJECT] of bundle"):
        assert part in result.output

    report = json.loads((folder / "report.json").read_text())
    assert report["examples"] == 6
    assert set(report["systems"]) == {
        "most popular",
        "title neighbours",
        "cached queries",
        "ANN",
        "bundle, title only",
        "bundle",
    }
    assert report["systems"]["most popular"]["as_served"]["hr"]["mean"] == 1.0
    assert report["abstention"]["bundle"]["videos"] == 2
    assert set(report["differences"]) == {"as_served", "decontaminated"}
    assert all("bundle - title neighbours" in pairs for pairs in report["differences"].values())
    assert set(report["relevance"]) == {"bas"}
    assert "## Slices" in (folder / "report.md").read_text()


def test_abstention_is_measured_on_the_day_of_the_split(
    bundle: Path, folder: Path, examples_file: Callable[..., Path]
) -> None:
    examples_file([{"photo_id": "p1", "caption": "running shoes 1"}], "examples_valid.parquet")
    examples_file([{"photo_id": "p1", "kind": "shown", "target": ""}], "shown_valid.parquet")

    def measured(*options: str) -> dict[str, Any]:
        arguments = ["evaluate", str(bundle), "--examples", str(folder), "--out", str(folder / "report"), *options]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads((folder / "report.json").read_text())["abstention"]
        return found

    labels = ("--labels", str(folder / "labels.parquet"))
    assert measured(*labels)["bundle"]["videos"] == 2
    assert measured("--split", "valid") == {}
    of_valid = measured("--split", "valid", *labels)
    assert (of_valid["bundle"]["videos"], of_valid["bundle"]["unsafe"]) == (1, 0)
    assert measured("--split", "valid") == of_valid


@pytest.fixture
def no_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(engine: Engine, request: GenerationRequest) -> Generation:
        raise AssertionError("a model runs")

    monkeypatch.setattr(Engine, "generate", generate)


@pytest.mark.parametrize("command", ["evaluate", "gate"])
def test_wrong_labels_are_refused_before_a_model_runs(
    command: str, bundle: Path, folder: Path, no_generation: None
) -> None:
    pq.write_table(pa.table({"photo_id": ["p0"], "unsafe": [1], "category": ["fraud"]}), folder / "labels.parquet")
    options = ["--examples", str(folder), "--labels", str(folder / "labels.parquet")]
    result = CliRunner().invoke(main, [command, str(bundle), str(bundle), *options])
    assert (result.exit_code, result.output.count("the type int64 in the column unsafe")) == (1, 1), result.output


def test_a_wrong_unseen_shop_is_refused_before_a_model_runs(
    bundle: Path, folder: Path, tmp_path: Path, no_generation: None
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = CliRunner().invoke(main, ["evaluate", str(bundle), "--examples", str(folder), "--unseen", str(empty)])
    assert result.exit_code == 1
    assert f"{empty / 'examples_test.parquet'} is missing" in result.output


def test_baselines_are_measured_without_a_bundle(folder: Path) -> None:
    result = CliRunner().invoke(main, ["evaluate", "--examples", str(folder), "--limit", "3"])
    assert result.exit_code == 0, result.output
    assert "3 clicks" in result.output


def test_two_bundles_of_one_name_are_shown_by_their_paths(bundle: Path, folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / "other" / "bundle"
    twin.parent.mkdir()
    twin.symlink_to(bundle)
    options = ["--examples", str(folder), "--out", str(folder / "report")]
    result = CliRunner().invoke(main, ["evaluate", str(bundle), str(twin), *options])
    assert result.exit_code == 0, result.output
    differences = json.loads((folder / "report.json").read_text())["differences"]
    for pairs in differences.values():
        assert pairs[f"{bundle} - {twin}"]["hr"]["mean"] == pairs[f"{bundle} - {twin}"]["hr_new"]["mean"] == 0.0


def test_each_source_is_generated_once(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All figures of the own and of an unseen shop with the same clicks are made from the same answers."""
    sources: list[tuple[int, ...]] = []
    generate = Engine.generate

    def counted(engine: Engine, request: GenerationRequest) -> Generation:
        sources.append(tuple(request.source_ids))
        return generate(engine, request)

    monkeypatch.setattr(Engine, "generate", counted)
    options = ["--examples", str(folder), "--unseen", str(folder)]
    result = CliRunner().invoke(main, ["evaluate", str(bundle), *options])
    assert result.exit_code == 0, result.output
    assert len(sources) == len(set(sources)) == 12  # six videos, with histories and by the title alone


def test_an_unseen_shop_has_the_embedder_that_is_given_for_it(folder: Path, tmp_path: Path) -> None:
    first = build_tiny_embedder(tmp_path / "first", ["running shoes", "price"])
    second = build_tiny_embedder(tmp_path / "second", ["running shoes", "0 1 2 3 4 5"], {"popularity": 0.1})

    def report(*embedders: str) -> tuple[dict[str, Any], dict[str, Any], str]:
        options = [part for name in embedders for part in ("--embedder", str(tmp_path / name))]
        shops = ["--examples", str(folder), "--unseen", str(folder), "--out", str(folder / "report")]
        result = CliRunner().invoke(main, ["evaluate", *shops, *options])
        assert result.exit_code == 0, result.output
        found = json.loads((folder / "report.json").read_text())
        markdown = (folder / "report.md").read_text()
        assert result.output.count("ANN, MCA and BAS use the embedder") == 2
        return found, found["unseen"][folder.name], markdown

    own, unseen, markdown = report("first", "second")
    assert (own["embedder"], unseen["embedder"]) == (first.version, second.version)
    assert set(unseen["systems"]) - set(own["systems"]) == {"ANN, by clicks too"}
    assert own["relevance"]["bas"]["ANN"] != unseen["relevance"]["bas"]["ANN"]
    assert f"ANN, MCA and BAS use the embedder {second.version}." in markdown

    own, unseen, markdown = report("first")
    assert own["embedder"] == unseen["embedder"] == first.version
    assert own["relevance"] == unseen["relevance"]
    assert f"ANN, MCA and BAS use the embedder {first.version}, the same as for the own shop." in markdown


def test_a_truth_without_examples_is_refused(folder: Path) -> None:
    options = ["--examples", str(folder), *["--truth", str(folder)] * 2]
    result = CliRunner().invoke(main, ["evaluate", *options])
    assert result.exit_code == 2
    assert "--truth is given more often" in result.output


def test_an_error_is_one_sentence(tmp_path: Path, bundle: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    missing = CliRunner().invoke(main, ["evaluate", "--examples", str(empty)])
    assert missing.exit_code == 1
    assert "make the examples with" in missing.output
    broken = CliRunner().invoke(main, ["evaluate", str(empty), "--examples", str(folder)])
    assert broken.exit_code == 1
    assert broken.output.startswith("Error: ")


def test_language_models_are_measured_and_judge_through_the_command(folder: Path) -> None:
    def reply(_: int, body: dict[str, Any]) -> Reply:
        return Reply(text="running shoes" if body["model"] == "writer" else "[4]")

    with endpoint_server(reply_to=reply) as server:
        models = ["--llm-endpoint", server.url, "--llm-model", "writer"]
        models += ["--judge-endpoint", server.url, "--judge-model", "judge", "--judged", "2"]
        options = ["--examples", str(folder), "--out", str(folder / "report"), *models]
        result = CliRunner().invoke(main, ["evaluate", *options])
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "report.json").read_text())
    assert report["systems"]["writer, zero-shot"]["as_served"]["hr"]["mean"] == 1.0
    graded = report["relevance"]["sr"]["writer, zero-shot"]
    assert (graded["mean"], graded["scored"]) == (4.0, 1.0)
    assert sum(body["model"] == "writer" for body in server.bodies) == 6  # one for each video
    assert "SR" in result.output


def test_a_language_model_that_fails_is_left_out_of_the_report(folder: Path) -> None:
    with endpoint_server(reply_to=lambda *_: Reply(status=401, body="?")) as server:
        options = ["--llm-endpoint", server.url, "--llm-model", "writer", "--llm-concurrency", "1"]
        options += ["--unseen", str(folder), "--out", str(folder / "report")]
        result = CliRunner().invoke(main, ["evaluate", "--examples", str(folder), *options])
    assert result.exit_code == 1
    assert "Error: writer, zero-shot is not in the report: " in result.output
    report = json.loads((folder / "report.json").read_text())
    [unseen] = report["unseen"].values()
    for world in (report, unseen):
        assert "ONEBAR_EVALUATION_API_KEY" in world["not_measured"]["writer, zero-shot"]
        assert "writer, zero-shot" not in world["systems"]
        assert world["systems"]["most popular"]["as_served"]["hr"]["mean"] == 1.0
    assert len(server.bodies) == 1  # it is not asked again for the next shop
    assert "writer, zero-shot is not measured: " in (folder / "report.md").read_text()


def judged(folder: Path, reply_to: Callable[[int, dict[str, Any]], Reply]) -> tuple[Result, dict[str, Any]]:
    """Run the baselines with a judge, and return the result and the report as it was written last."""
    with endpoint_server(reply_to=reply_to) as server:
        options = [
            "--judge-endpoint",
            server.url,
            "--judge-model",
            "judge",
            "--judge-concurrency",
            "1",
            "--judged",
            "2",
        ]
        command = ["evaluate", "--examples", str(folder), "--out", str(folder / "report"), *options]
        result = CliRunner().invoke(main, command)
    return result, json.loads((folder / "report.json").read_text())


def test_the_report_is_written_before_the_judge_is_asked(folder: Path) -> None:
    written: list[dict[str, Any]] = []

    def reply(_: int, __: dict[str, Any]) -> Reply:
        written.append(json.loads((folder / "report.json").read_text()))
        return Reply(text="[5]")

    result, report = judged(folder, reply)
    assert result.exit_code == 0, result.output
    assert written[0]["judge"] == {"model": "judge", "state": "not finished"}
    assert "sr" not in written[0]["relevance"]
    assert written[0]["systems"] == report["systems"]
    assert report["judge"] == {"model": "judge", "state": "finished"}
    assert set(report["relevance"]["sr"]) == set(report["systems"])


def test_a_judge_that_fails_leaves_the_report_and_the_grades_so_far(folder: Path) -> None:
    result, report = judged(folder, lambda number, _: Reply(text="[4]") if number < 2 else Reply(status=401, body="?"))
    assert result.exit_code == 1
    assert "Error: the judge failed" in result.output
    assert "HR@8" in result.output
    assert report["systems"]["most popular"]["as_served"]["hr"]["mean"] == 1.0
    assert {name: found["mean"] for name, found in report["relevance"]["sr"].items()} == {"most popular": 4.0}
    assert report["judge"]["state"].startswith("failed: ")
    markdown = (folder / "report.md").read_text()
    assert "SR by the judge `judge`: failed: " in markdown
    assert "ONEBAR_EVALUATION_API_KEY" in markdown


def test_a_judge_without_any_grade_has_failed(folder: Path) -> None:
    result, report = judged(folder, lambda *_: Reply(status=400, body="too long"))
    assert result.exit_code == 1
    assert "no usable grade" in result.output
    assert "sr" not in report["relevance"]
    assert report["judge"]["state"].startswith("failed: ")


def test_an_endpoint_needs_the_name_of_its_model(folder: Path) -> None:
    result = CliRunner().invoke(
        main, ["evaluate", "--examples", str(folder), "--judge-endpoint", "http://localhost/v1"]
    )
    assert result.exit_code == 2
    assert "--judge-endpoint and --judge-model belong together" in result.output
