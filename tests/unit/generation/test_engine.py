from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.engine import Engine
from generation.errors import OptionsError, SourceError
from generation.options import GenerationOptions
from generation.request import GenerationRequest

# The tiny model ends some of this source's hypotheses early, and none at the first step.
SOURCE = (0, 165, 198, 279, 221, 120, 5, 194, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2)
OPTIONS = GenerationOptions(max_new_tokens=10)


@pytest.fixture(scope="module")
def engine(bundle_path: Path) -> Engine:
    return Engine(load_bundle(bundle_path))


def test_eight_hypotheses_are_returned_best_first(engine: Engine) -> None:
    generation_ = engine.generate(GenerationRequest(SOURCE, OPTIONS))
    scores = [hypothesis.score for hypothesis in generation_.hypotheses]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)
    assert len({hypothesis.token_ids for hypothesis in generation_.hypotheses}) == 8
    assert not generation_.deadline_reached
    assert 0.0 < generation_.reject_probability < 1.0
    assert all(2 not in hypothesis.token_ids for hypothesis in generation_.hypotheses)


def test_equal_requests_get_equal_answers(engine: Engine) -> None:
    request = GenerationRequest(SOURCE, OPTIONS)
    first, second = engine.generate(request), engine.generate(request)
    assert first.hypotheses == second.hypotheses
    assert first.reject_probability == second.reject_probability


@pytest.mark.parametrize(
    "source", [[], [0] * 129, [0, 320, 2], [0, -1, 2]], ids=["empty", "too long", "unknown id", "negative id"]
)
def test_a_source_that_the_model_cannot_read_is_refused(engine: Engine, source: list[int]) -> None:
    with pytest.raises(SourceError, match="a source must"):
        engine.generate(GenerationRequest(source, OPTIONS))


def test_options_beyond_the_model_are_refused(engine: Engine) -> None:
    with pytest.raises(OptionsError, match="max_new_tokens must be at most the model's 128"):
        engine.generate(GenerationRequest(SOURCE, GenerationOptions(max_new_tokens=129)))


def test_warm_up_runs_the_longest_source(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    monkeypatch.setattr(engine, "generate", lambda request: lengths.append(len(request.source_ids)))
    engine.warm_up()
    assert lengths == [96, 8]


def test_denormal_numbers_of_the_caller_are_not_flushed_to_zero(bundle_path: Path) -> None:
    """ONNX Runtime must not switch the CPU of the caller's thread to flush denormal numbers to zero."""
    script = (
        "import sys; from generation.bundle import load_bundle; from generation.engine import Engine\n"
        "Engine(load_bundle(sys.argv[1]), backend='onnxruntime').warm_up(); assert float(sys.argv[2]) / 4 > 0.0"
    )
    subprocess.run([sys.executable, "-c", script, str(bundle_path), "2.3e-308"], check=True)
