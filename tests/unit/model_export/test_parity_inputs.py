from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evidence.render import Renderer
from generation.beam import Hypothesis
from model_export.errors import ExportError, ParityError
from model_export.inputs import rendered_sources
from model_export.parity import compare
from model_export.verify import check_parity
from tests.fixtures.tiny_bundle import build_tokenizer


def example(text: str) -> dict[str, Any]:
    return {
        "caption": text, "photo_title": None, "title": None, "item_title": None, "summary": None,
        "anchors": ["red shoes"], "histories": [], "personal": None,
    }  # fmt: skip


def hypothesis(token: int, score: float) -> Hypothesis:
    return Hypothesis((token,), score, score, True)


def test_sources_are_rendered_once_each(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_pylist([example(text) for text in ("coat", "tent", "coat", "phone case")]), tmp_path / "x"
    )
    sources = rendered_sources(tmp_path / "x", Renderer(build_tokenizer()), 10)
    assert len(sources) == 3
    assert all(source[0] == 0 and source[-1] == 2 and source.count(5) == 4 for source in sources)


def test_sources_are_taken_from_the_whole_table(tmp_path: Path) -> None:
    words = [f"coat {'tent ' * (index // 10)}" for index in range(100)]
    pq.write_table(pa.Table.from_pylist([example(text) for text in words]), tmp_path / "x")
    sources = rendered_sources(tmp_path / "x", Renderer(build_tokenizer()), 10)
    assert len({len(source) for source in sources}) >= 5


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"caption": ["x"]}), tmp_path / "x")
    with pytest.raises(ExportError, match="lacks the columns"):
        rendered_sources(tmp_path / "x", Renderer(build_tokenizer()), 10)


def test_lists_are_compared_by_tokens_rank_and_score() -> None:
    a, b, c = hypothesis(7, -1.0), hypothesis(8, -2.0), hypothesis(9, -3.0)
    found = compare([(a, b), (b, a), (a, c)], [(a, b), (a, b), (hypothesis(7, -1.25), b)])
    assert found.to_dict() == {
        "inputs": 3,
        "identical_lists": pytest.approx(1 / 3),
        "identical_tops": pytest.approx(2 / 3),
        "mean_overlap": pytest.approx((1 + 1 + 0.5) / 3),
        "max_score_difference": 0.25,
    }


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="cannot compare 0 answers"):
        compare([], [])


@pytest.mark.parametrize(("lists", "difference"), [(0.99, 0.0), (1.0, 2e-4)])
def test_parity_that_falls_short_is_an_error(lists: float, difference: float) -> None:
    exact = {
        "inputs": 200, "identical_lists": 1.0, "identical_tops": 1.0, "mean_overlap": 1.0, "max_score_difference": 1e-6,
    }  # fmt: skip
    check_parity({"fp32_vs_transformers": exact, "fp32_vs_optimum": exact})
    short = {**exact, "identical_lists": lists, "max_score_difference": difference}
    with pytest.raises(ParityError, match="fp32_vs_optimum"):
        check_parity({"fp32_vs_transformers": exact, "fp32_vs_optimum": short})
