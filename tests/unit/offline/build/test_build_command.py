"""`onebar offline build`: the same files as the single commands, made once."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from evidence.static_embedder import load_static_embedder
from feature_store.publish.opening import published_sources
from offline.build.lock import locked
from offline.build.manifest import read_manifest

Rows = dict[str, list[dict[str, Any]]]
TINY = ("--dimension", 16, "--vocabulary-size", 512, "--max-steps", 1)
Usage = namedtuple("Usage", "total used free")


def onebar(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["offline", *map(str, arguments)])


def build(*arguments: object) -> str:
    done = onebar("build", *arguments)
    assert done.exit_code == 0, done.output
    return done.output


def states(out: Path) -> dict[str, str]:
    return {name: step.state for name, step in read_manifest(out).items()}


@pytest.fixture
def logs(busy_dataset: Path, tmp_path: Path) -> Path:
    """The busy shop, to be changed."""
    return Path(shutil.copytree(busy_dataset, tmp_path / "logs"))


@pytest.fixture(scope="module")
def built(busy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the busy shop with examples."""
    out = tmp_path_factory.mktemp("built") / "out"
    build(busy_dataset, out, "--hashed", "--examples")
    return out


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A copy of that build, to be changed."""
    return Path(shutil.copytree(built, tmp_path / "built"))


def test_the_files_are_those_of_the_single_commands(logs: Path, out: Path, tmp_path: Path) -> None:
    single = tmp_path / "single"
    for command, name in (("evidence", "evidence.parquet"), ("users", "users.parquet"), ("examples", "examples")):
        assert onebar(command, logs, single / name).exit_code == 0
    made = sorted(path.relative_to(single) for path in single.rglob("*.parquet"))
    assert len(made) == 7
    assert [name for name in made if (out / name).read_bytes() != (single / name).read_bytes()] == []
    assert {source.kind for source in published_sources(out, None)} == {"photos", "users"}
    assert states(out) == dict.fromkeys(("tables", "evidence", "users", "examples"), "run")
    counts = read_manifest(out)["evidence"].counts
    assert counts["videos"] == pq.read_metadata(out / "evidence.parquet").num_rows
    assert 0 < counts["with_histories"] <= counts["videos"]


def test_a_second_build_skips_all_and_a_changed_table_makes_what_reads_it_again(
    logs: Path, out: Path, dataset: Callable[..., Path], busy_rows: Rows
) -> None:
    assert build(logs, out, "--hashed").count("unchanged, skipped") == 3
    assert states(out).pop("examples") == "left out"
    fewer = dataset("fewer", **{**busy_rows, "searches": busy_rows["searches"][:-1]})
    shutil.copy(fewer / "searches.parquet", logs / "searches.parquet")
    assert "other inputs: searches" in build(logs, out, "--hashed")
    assert {name for name, state in states(out).items() if state == "run"} == {"tables", "evidence", "users"}


def test_terms_are_read_by_the_examples_alone(logs: Path, out: Path) -> None:
    (logs / "prohibited_terms.tsv").write_text("drugs\tkettle\n", encoding="utf-8")
    plan = build(logs, out, "--hashed", "--examples", "--dry-run")
    assert "other inputs: terms" in plan
    assert plan.count("unchanged, will be skipped") == 3


def test_a_dry_run_prints_the_steps_and_writes_nothing(logs: Path, tmp_path: Path) -> None:
    plan = build(logs, tmp_path / "out", "--hashed", "--dry-run")
    assert [line.split()[0] for line in plan.splitlines()] == ["step", "tables", "evidence", "users", "together"]
    assert "after tables" in plan
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_is_refused_before_the_first_step(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 90, 10))
    refused = onebar("build", logs, tmp_path / "out", "--hashed")
    assert refused.exit_code == 1
    assert "Error: the build will write about" in refused.output
    assert "its disk has 0 MiB free" in refused.output
    assert not (tmp_path / "out").exists()


def test_two_builds_into_one_folder_do_not_mix(logs: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"):
        refused = onebar("build", logs, tmp_path / "out", "--hashed")
    assert (refused.exit_code, "is being built by process" in refused.output) == (1, True)
    assert not (tmp_path / "out" / "tables.json").exists()


def test_summaries_replace_the_tables_that_later_steps_read(logs: Path, tmp_path: Path) -> None:
    out, videos = tmp_path / "out", tmp_path / "videos"
    videos.mkdir()
    build(logs, out, "--hashed", "--files", videos)
    made = pq.read_table(out / "summaries" / "videos.parquet").to_pylist()
    evidence = {row["photo_id"]: row["summary"] for row in pq.read_table(out / "evidence.parquet").to_pylist()}
    given = {row["photo_id"]: row["summary"] for row in pq.read_table(logs / "videos.parquet").to_pylist()}
    assert evidence == {row["photo_id"]: row["summary"] for row in made}
    assert evidence != given
    plan = ("--hashed", "--files", videos, "--dry-run")
    assert build(logs, out, *plan).count("unchanged, will be skipped") == 4
    (videos / "p3.mp4").write_bytes(b"no video")
    assert "other inputs: files" in build(logs, out, *plan)


def test_an_increment_keeps_the_trained_embedder_and_makes_the_rest(
    dataset: Callable[..., Path], clicked_rows: Rows, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    old = {name: [row for row in rows if row.get("day", 0) < 5] for name, rows in clicked_rows.items()}
    build(dataset("old", **old), out, *TINY)
    trained = load_static_embedder(out / "embedder")
    assert read_manifest(out)["embedder"].counts["version"] == trained.version

    now = dataset("now", **clicked_rows)
    assert "embedder          -         -         -" in build(now, out, *TINY, "--since", 5, "--dry-run")
    build(now, out, *TINY, "--since", 5)
    assert states(out) == {"tables": "run", "embedder": "kept", "evidence": "run", "users": "run"}
    rows = pq.read_table(out / "evidence.parquet")
    assert set(rows["embedding_version"].to_pylist()) <= {trained.version, None}
    assert read_manifest(out)["evidence"].counts["as_of_day"] == 6

    changed = dataset("changed", **{**clicked_rows, "searches": clicked_rows["searches"][1:], "search_clicks": []})
    refused = onebar("build", changed, out, *TINY, "--since", 5)
    assert refused.exit_code == 1
    assert "in the build before and has" in refused.output
    assert json.loads((out / "tables.json").read_text(encoding="utf-8"))["last_day"] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--since", 3), "the embedder of an earlier build cannot be kept"),
        (("--since", 3, "--hashed"), "has nothing to keep"),
        (("--all-days", "--examples"), "would have seen the test day"),
        (("--endpoint", "http://localhost/v1"), "--endpoint needs --model and --price"),
        (("--model", "m"), "need --endpoint URL"),
        (("--engine", "flink"), "'flink' is not one of"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    logs: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    refused = onebar("build", logs, tmp_path / "out", *options)
    assert (refused.exit_code in (1, 2), message in refused.output) == (True, True), refused.output
    assert not (tmp_path / "out").exists()
