"""Parts of the decoder graph against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from generation.bundle.vocabulary_blocks import SPARE_FACTOR, block_width, whole_blocks
from generation.options import MAX_BEAMS
from generation.session import open_session, session_options
from model_export.decoder_graph import best_continuations
from model_export.graph_builder import GraphBuilder


@pytest.mark.parametrize(
    ("vocab_size", "width", "rows"),
    [(8192, 32, 8192), (5028, 16, 5040), (21000, 64, 21056), (50265, 64, 50304), (320, 1, 320), (1536, 8, 1536)],
)
def test_blocks_are_as_wide_as_leaves_enough_of_them(vocab_size: int, width: int, rows: int) -> None:
    assert block_width(vocab_size) == width
    assert whole_blocks(vocab_size) == rows
    assert block_width(rows) == width
    assert width == 1 or rows // width >= SPARE_FACTOR * MAX_BEAMS


@pytest.mark.parametrize("vocab_size", [200, 1544, 8192])
@pytest.mark.parametrize(("requests", "beams", "wanted"), [(1, 1, 17), (1, 8, 24), (5, 8, 24), (3, 4, 1)])
def test_blocks_find_what_a_full_sort_finds(
    tmp_path: Path, vocab_size: int, requests: int, beams: int, wanted: int
) -> None:
    graph = GraphBuilder("search")
    logprobs = graph.input("logprobs", TensorProto.FLOAT, ["R", "B", vocab_size])
    scores = graph.input("scores", TensorProto.FLOAT, ["R", "B"])
    count = graph.input("wanted", TensorProto.INT64, [1])
    sums, flat = best_continuations(graph, logprobs, scores, count, vocab_size)
    graph.output(sums, "sums", TensorProto.FLOAT, ["R", "K"])
    graph.output(flat, "flat", TensorProto.INT64, ["R", "K"])
    graph.save(tmp_path / "search.onnx")
    session = open_session(tmp_path / "search.onnx", session_options(1))

    generator = np.random.default_rng(vocab_size)
    values = generator.normal(size=(requests, beams, vocab_size)).astype(np.float32)
    open_sums = generator.normal(size=(requests, beams)).astype(np.float32)
    open_sums[:, beams // 2 + 1 :] = -np.inf  # beams that are not there
    found_sums, found = session.run(None, {"logprobs": values, "scores": open_sums, "wanted": np.array([wanted])})
    totals = (values + open_sums[:, :, None]).reshape(requests, -1)
    expected = np.argsort(-totals, axis=1, kind="stable")[:, :wanted]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found_sums, np.take_along_axis(totals, expected, axis=1))
