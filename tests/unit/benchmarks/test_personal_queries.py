"""The measurement of personal queries covers every kind of embedder."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from benchmarks.personal_queries import main
from tests.fixtures.tiny_embedder import build_tiny_embedder


def test_each_kind_is_measured_and_a_transformer_embeds_nothing(tmp_path: Path) -> None:
    version = build_tiny_embedder(tmp_path / "embedder", ["camera webcam", "chair folding"]).version
    out = tmp_path / "out.json"
    options = ["--embedder", str(tmp_path / "embedder"), "--videos", "16", "--repeats", "10", "--output", str(out)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert written["static"]["version"] == version
    figures = written["figures"]
    compared = {"select_200", "request_stored"}
    embedded = compared | {"request_recent", "embed_query", "embed_caption", "embed_longest"}
    assert {kind: set(found) for kind, found in figures.items()} == {
        "hashed": embedded, "static": embedded, "transformer": compared,
    }  # fmt: skip
    for cell in (cell for found in figures.values() for cell in found.values()):
        assert 0 < cell["first_p50_us"] <= cell["first_p99_us"]
        assert 0 < cell["again_p50_us"] <= cell["again_p99_us"]
