"""The benchmark of anchors on title pairs. The pairs are made by hand."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the imported packages
    import sentence_transformers  # noqa: F401

from benchmarks.title_anchors import main

HEADER = "split\tproduct_uid\ttitle\tquery\trelevance"
THINGS = ("camping chair", "electric kettle", "power bank", "desk lamp", "yoga mat")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Fifty train items and five dev items of five things; "red tent" was searched for one train item alone."""
    lines = [
        f"{'train' if n < 50 else 'dev'}\t{n}\tAcme {THINGS[n % 5]} number {n}\t{THINGS[n % 5]}\t3" for n in range(55)
    ]
    path = tmp_path / "pairs.tsv.gz"
    path.write_bytes(
        gzip.compress("\n".join([HEADER, *lines, "train\t0\tAcme camping chair number 0\tred tent\t3"]).encode())
    )
    return path


def test_every_way_to_anchors_finds_the_one_query_of_each_thing(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    result = CliRunner().invoke(main, [str(file), "--epochs", "30", "--output", str(output)])
    assert result.exit_code == 0, result.output
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["protocol"]["dev_pairs"] == 5
    found = report["groups"]["all"]
    for system in ("tfidf", "nearest_queries", "queries_of_nearest_titles", "embedder", "fused"):
        assert found[system]["hr@8"]["mean"] == 1.0, system
    assert found["nearest_queries"]["mrr@8"]["mean"] > 0.8


def test_the_hashed_kind_is_not_trained(file: Path) -> None:
    result = CliRunner().invoke(main, [str(file), "--kind", "hashed"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["training"]["kind"], report["training"]["epochs"]) == ("hashed", 0)
    assert report["groups"]["all"]["nearest_queries"]["hr@8"]["mean"] == 1.0
    assert report["embedding_cpu_ms_per_1000_titles"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "transformer"], "--kind transformer and --model need each other"),
        (["--model", "."], "--kind transformer and --model need each other"),
        (["--epochs", "0"], "--kind static must be trained"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(file: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, [str(file), *arguments])
    assert (result.exit_code, message in result.output) == (2, True)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.gz"
    path.write_bytes(gzip.compress(HEADER.encode()))
    result = CliRunner().invoke(main, [str(path)])
    assert result.exit_code == 1
    assert "empty.gz has no positive pair" in result.output
