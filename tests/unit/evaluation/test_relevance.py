"""BAS: the mean cosine of a video with the queries that are shown for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluation.inputs import Example
from evaluation.relevance import relevance_report, similarity
from tests.fixtures.tiny_embedder import build_tiny_embedder


def test_bas_is_the_mean_over_the_shown_queries(tmp_path: Path, examples: Callable[..., list[Example]]) -> None:
    embedder = build_tiny_embedder(tmp_path, ["bike bicycle", "tent", "red"])
    held_out = examples({"caption": "bicycle"}, {"caption": "tent"}, {"caption": "tent"})
    scores = similarity(held_out, [["bike", "tent"], ["red tent"], []], embedder)
    assert scores[:2] == pytest.approx([0.5, 0.5**0.5], abs=1e-2)
    assert np.isnan(scores[2])


def test_an_empty_bar_is_left_out_of_the_mean() -> None:
    report = relevance_report({"s": np.array([0.5, np.nan]), "t": np.array([np.nan, np.nan])}, ["a", "b"])
    assert report["s"] == {"mean": 0.5, "interval": [0.5, 0.5], "scored": 0.5}
    assert report["t"]["scored"] == 0.0
