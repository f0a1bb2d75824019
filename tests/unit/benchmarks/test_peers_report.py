"""A result as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.figures import ALONE, CTRANSLATE2, ENGINE, Block, hold, summarize
from benchmarks.peers.report import plot, replace_between, to_markdown


@pytest.fixture
def result() -> dict[str, Any]:
    phases = {
        ALONE: {
            ENGINE: summarize([Block([0.005, 0.005], 200.0, 1.0)]),
            CTRANSLATE2: summarize([Block([0.010, 0.010], 100.0, 1.0)]),
        },
        "4": {CTRANSLATE2: summarize([Block([0.030], 133.0, 1.0)])},
    }
    same = {"identical_lists": 1.0, "identical_tops": 1.0, "mean_overlap": 1.0, "max_score_difference": 2e-6}
    return {
        "commit": "abc1234",
        "finished": "2026-11-21T00:00:00+00:00",
        "machine": {
            "cpu": "A processor",
            "cpu_family_and_model": "6/1",
            "flags": ["avx2"],
            "cores": 2,
            "load_average_before": [0.1, 0.2, 0.3],
        },
        "versions": {"numpy": "2.0"},
        "clients": [4],
        "rounds": 1,
        "block_seconds": 0.5,
        "warm_up_requests": 10,
        "sizes": {
            "w256": {
                "model": "4+2 layers, width 256, random weights",
                "phases": phases,
                "bars": hold("w256", phases),
                "outputs_against_transformers": {ENGINE: same},
                "outputs_together_against_alone": {CTRANSLATE2: same},
                "batches": {CTRANSLATE2: {"tried_per_second": {"1": 100.0}, "max_batch": 4}},
                "ctranslate2": {"isa": "", "compute_type": "int8"},
            }
        },
    }


def rows(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines() if line.startswith("|")]


def test_every_contender_has_a_row_and_what_was_not_run_is_empty(result: dict[str, Any]) -> None:
    by_name = {row[0]: row[1:] for row in rows(to_markdown(result))}
    assert by_name[ENGINE] == ["5", "5", "200", "", "", ""]
    assert by_name[CTRANSLATE2] == ["10", "10", "100", "30", "30", "133"]


def test_tables_have_as_many_cells_in_every_row(result: dict[str, Any]) -> None:
    for table in to_markdown(result).split("\n\n"):
        assert len({len(row) for row in rows(table)}) <= 1


def test_the_bars_say_what_was_asked_and_what_came(result: dict[str, Any]) -> None:
    text = to_markdown(result)
    assert "| w256 | latency alone / CTranslate2 | at most 0.75 | 0.50 | 0.50 to 0.50 | met |" in text


def test_the_machine_is_named(result: dict[str, Any]) -> None:
    text = to_markdown(result)
    assert "A processor" in text
    assert "abc1234" in text
    assert "load average before: 0.1" in text


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n")
    for text in ("new", "newer"):
        replace_between(document, "peers", text)
    assert document.read_text() == "before\n<!-- peers -->\nnewer\n<!-- /peers -->\nafter\n"


@pytest.mark.parametrize("text", ["nothing", "<!-- /peers --> <!-- peers -->", "<!-- peers -->", "<!-- peers -->" * 2])
def test_a_document_without_the_marks_is_refused(tmp_path: Path, text: str) -> None:
    document = tmp_path / "page.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="each once"):
        replace_between(document, "peers", "new")
    assert document.read_text() == text


def test_the_same_figures_give_the_same_plot(result: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        plot(result, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
