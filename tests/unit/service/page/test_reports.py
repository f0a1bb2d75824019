"""Reports for the page: what the commands write becomes tables and plots, and everything is bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.serve_demo import DEMO, REPORTS
from service.errors import ConfigurationError
from service.page.reports import folder as folder_module
from service.page.reports.figures import tables_of
from service.page.reports.folder import MAX_FILE_BYTES, MAX_FILES, read_reports
from service.page.reports.form import MAX_ROWS, MAX_TABLES, MAX_TEXT
from service.page.reports.readers import read_report
from tests.fixtures.serving import running, scripted_app, settings_for, with_key

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results"
MANIFEST = json.loads((DEMO / "bundle" / "manifest.json").read_text(encoding="utf-8"))


def shown(folder: Path, manifest: dict[str, Any] | None = None) -> dict[str, Any]:
    file = read_reports(folder, manifest or {})
    assert file is not None
    found: dict[str, Any] = json.loads(file.content)
    return found


def system(hr: float) -> dict[str, Any]:
    figures = {name: {"mean": hr, "interval": [hr - 0.01, hr + 0.01]} for name in ("hr", "mrr", "ed_hr", "ed", "bleu")}
    return {"as_served": figures | {"empty": 0.0}, "decontaminated": figures | {"empty": 0.0}}


EVALUATION = {
    "split": "test",
    "bundles": {"mine": {"model_version": "abc", "precision": "int8"}},
    "examples": 100,
    "videos": 50,
    "systems": {"cached queries": system(0.2), "mine": system(0.5)},
    "reading": {
        "mine": {"text": {"clicks": 4, "share": 0.04, "recall": {"mine": {"mean": 0.7, "interval": [0.5, 0.8]}}}}
    },
    "unseen": {"201": {"systems": {"mine": system(0.3)}}},
    "abstention": {"mine": {"threshold": 0.5, "precision": 1.0, "recall": 0.97, "curve": []}},
}
LOAD_TEST = {
    "benchmark": "loadtest",
    "commit": "abc1234",
    "machine": {"cpu": "a processor", "cores": 2},
    "rate": 20.0,
    "seconds": 60.0,
    "store": "redis",
    "missed": [],
    "client_ms": {"/recommend": {"count": 1200, "p50": 5.4, "p90": 7.7, "p95": 8.5, "p99": 10.9, "max": 13.9}},
    "stages_ms": {"decode": {"count": 1200, "p50": 2.0, "p90": 3.0, "p95": 3.5, "p99": 4.0, "max": 5.0}},
    "decisions": {"recommend": 1100, "abstain": 100},
    "answers": 1200,
    "refused": 0,
    "finished": "2026-11-26T00:00:00+00:00",
}


def test_an_evaluation_has_its_metrics_beside_those_of_the_paper() -> None:
    report = read_report(EVALUATION, "evaluation")
    tables = {table.title: table for table in report.tables}
    assert tables["as served"].rows[1] == ["mine", 0.5, 0.5, 0.5, 0.5, 0.5]
    assert tables["unseen shop 201, decontaminated"].rows[0][:2] == ["mine", 0.3]
    assert tables["reading recall of mine"].rows == [["text", 4, 0.7]]
    assert ["recall", 0.97] in tables["[REJECT] of mine"].rows
    plot = next(plot for plot in report.plots if plot.title == "HR@8, decontaminated")
    assert [(bar.label, bar.value, bar.low, bar.high) for bar in plot.bars[:2]] == [
        ("cached queries", 0.2, 0.19, 0.21000000000000002),
        ("mine", 0.5, 0.49, 0.51),
    ]
    assert {bar.value for bar in plot.bars if bar.paper} == {0.1787, 0.3564, 0.369}


def test_a_load_test_has_its_percentiles_and_the_command_that_made_it() -> None:
    report = read_report(LOAD_TEST, "results")
    assert report.command == "python -m loadtest.run --rate 20 --seconds 60"
    assert report.made == "2026-11-26T00:00:00+00:00, commit abc1234, a processor, 2 cores"
    assert report.tables[0].rows == [["/recommend", 1200, 5.4, 7.7, 8.5, 10.9, 13.9]]
    assert ["decisions: abstain", 100] in report.tables[2].rows
    assert [bar.label for bar in report.plots[0].bars] == ["p50", "p90", "p95", "p99", "max", "paper: time for the bar"]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_of_a_benchmark_can_be_shown(path: Path) -> None:
    report = read_report(json.loads(path.read_text(encoding="utf-8")), path.stem)
    assert report.tables
    assert len(report.tables) <= MAX_TABLES


def test_figures_of_any_json_become_tables_in_their_order() -> None:
    document = {
        "benchmark": "x", "machine": {"cpu": "y"}, "seconds": 2.0, "ok": True,
        "parts": {"idle": {"p50": 1.23456, "p99": 2}, "busy": {"p50": 3, "max": None}},
        "rows": [{"name": "a", "loss": 0.5}, {"name": "b", "loss": 0.25}],
    }  # fmt: skip
    found = tables_of(document)
    assert [(table.title, table.columns) for table in found] == [
        ("figures", ["figure", "value"]),
        ("parts", ["", "p50", "p99", "max"]),
        ("rows", ["", "name", "loss"]),
    ]
    assert found[0].rows == [["seconds", 2.0], ["ok", "yes"]]
    assert found[1].rows == [["idle", 1.2346, 2, None], ["busy", 3, None, None]]
    assert found[2].rows[1] == ["2. b", "b", 0.25]


def test_a_large_document_is_cut_to_the_bounds_of_the_form() -> None:
    document = {f"part {n}": {f"row {i}" * 100: {"x": i, "y": "z" * 1000} for i in range(300)} for n in range(60)}
    tables = read_report(document, "large").tables
    assert len(tables) == MAX_TABLES
    assert max(len(table.rows) for table in tables) == MAX_ROWS
    assert max(len(str(cell)) for table in tables for row in table.rows for cell in row) <= MAX_TEXT


@pytest.mark.parametrize(
    ("content", "because"),
    [
        (b"no json", "Expecting value"),
        (b"[1]", "it is not a JSON object"),
        (b"{}", "it has no figures"),
        (b'{"format": "onebar-report-1"}', "title: Field required"),
        (b'{"format": "onebar-report-1", "title": "t", "script": "x"}', "script: Extra inputs are not permitted"),
        (b'{"systems": {"a": 1}, "bundles": {}}', "it does not have the form of a report that the page knows"),
        (b'{"a": ' * 2000 + b"1" + b"}" * 2000, "it does not have the form"),
        (b'{"a": "' + b"x" * MAX_FILE_BYTES + b'"}', f"it has over {MAX_FILE_BYTES} bytes"),
    ],
)
def test_a_file_that_is_no_report_is_named_with_the_reason(tmp_path: Path, content: bytes, because: str) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "good.json").write_text(json.dumps(LOAD_TEST))
    found = shown(tmp_path)
    assert [report["title"] for report in found["reports"]] == ["Load test"]
    assert [file["name"] for file in found["skipped"]] == ["bad.json"]
    assert because in found["skipped"][0]["because"]


@pytest.mark.parametrize(
    "metrics",
    [
        [],
        {"test": {"systems_at_8": {"mine": 1}}},
        {"test": {"systems_at_8": {"mine": {"as_served": {"hr": "high"}}}}},
    ],
    ids=["a list", "a number", "a text"],
)
def test_metrics_of_a_manifest_that_are_none_are_named_with_the_reason(tmp_path: Path, metrics: object) -> None:
    (tmp_path / "load.json").write_text(json.dumps(LOAD_TEST), encoding="utf-8")
    found = shown(tmp_path, {"model_version": "abc", "metrics": metrics})
    assert len(found["reports"]) == 1
    assert found["skipped"][0]["name"] == "metrics of the bundle's manifest"


def test_a_manifest_with_many_unseen_shops_is_cut_to_the_bounds_of_the_form(tmp_path: Path) -> None:
    test = MANIFEST["metrics"]["test"]
    shops = {str(seed): next(iter(test["unseen"].values())) for seed in range(30)}
    found = shown(tmp_path, MANIFEST | {"metrics": {"test": test | {"unseen": shops}}})
    assert found["skipped"] == []
    assert len(found["reports"][0]["tables"]) == MAX_TABLES


def test_a_folder_with_too_many_files_or_too_many_bytes_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "MAX_BYTES", 600)
    for n in range(3):
        (tmp_path / f"{n}.json").write_text(json.dumps({"figures": {"x": n, "text": "y" * 200}}))
    assert [file["name"] for file in shown(tmp_path)["skipped"]] == ["2.json"]
    for n in range(MAX_FILES):
        (tmp_path / f"more{n}.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"ONEBAR_PAGE__REPORTS: .* 43 JSON files"):
        read_reports(tmp_path, {})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_reports(tmp_path / "absent", {})


def test_the_demo_ships_reports_with_their_commands_and_that_of_its_own_bundle() -> None:
    found = shown(REPORTS, MANIFEST)
    assert found["skipped"] == []
    assert found["reports"][0]["title"] == "Evaluation of the served bundle"
    assert MANIFEST["model_version"] in found["reports"][0]["made"]
    assert [report["title"] for report in found["reports"] if not report["command"]] == []
    for path in REPORTS.glob("*.json"):
        if (RESULTS / path.name).exists():
            assert path.read_bytes() == (RESULTS / path.name).read_bytes()


def test_a_simulated_ab_test_stands_beside_that_of_the_paper() -> None:
    document = json.loads((REPORTS / "ab_test.json").read_text(encoding="utf-8"))
    report = read_report(document, "ab_test")
    paired, paper_table, *_ = report.tables
    assert paper_table.title.startswith("The paper, Table 8")
    exposure = document["a_b"]["paired"]["exposure"]
    row = dict(zip(paired.columns, paired.rows[0], strict=True))
    assert row["figure"] == "query exposure"
    assert row["change, %"] == round(100 * exposure["change"], 2)
    assert (row["from"], row["to"]) == tuple(round(100 * end, 2) for end in exposure["interval"])
    assert [bar.value for bar in report.plots[0].bars] == [exposure["control"], exposure["treatment"]]


def test_a_broken_ab_test_is_skipped_and_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text(json.dumps({"a_b": {}, "bad_cases": {}}))
    assert [file["name"] for file in shown(tmp_path)["skipped"]] == ["broken.json"]


async def test_reports_are_data_behind_the_key_and_absent_without_a_folder(bundle_path: Path, tmp_path: Path) -> None:
    without = settings_for(bundle_path, page={"enabled": True})
    app, _ = scripted_app(without)
    async with running(app) as client:
        assert (await client.get("/page/deployment.json")).json()["reports"] is False
        assert (await client.get("/page/reports.json")).status_code == 404
    keyed, headers = with_key(settings_for(bundle_path, page={"enabled": True, "reports": REPORTS}), tmp_path)
    app, _ = scripted_app(keyed)
    async with running(app) as client:
        assert (await client.get("/page/reports.json")).status_code == 401
        assert (await client.get("/page/reports.json", headers=headers)).json()["reports"]
