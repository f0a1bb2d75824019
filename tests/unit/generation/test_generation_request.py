"""A generation request: its fields are copied and checked, and its deadline is an instant."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from generation.bundle import load_bundle
from generation.errors import GenerationError, OptionsError, SourceError
from generation.options import GenerationOptions
from generation.request import GenerationRequest, check_request
from generation.scheduler import Scheduler
from tests.unit.generation.gate import SHORT, SHORT_REQUEST, SOURCE


def test_a_request_cannot_change_after_it_was_checked() -> None:
    source, processors = [0, 7, 2], [object()]
    request = GenerationRequest(source, SHORT, processors=processors)  # type: ignore[arg-type]
    source[1] = 10**9
    processors.clear()
    assert request.source_ids == (0, 7, 2)
    assert len(request.processors) == 1
    with pytest.raises(FrozenInstanceError):
        request.deadline = 1.0  # type: ignore[misc]


def test_numpy_integers_become_plain_ones() -> None:
    request = GenerationRequest(np.array([0, 7, 2]), SHORT)  # type: ignore[arg-type]
    assert request == GenerationRequest([0, 7, 2], SHORT)
    assert {type(token) for token in request.source_ids} == {int}


@pytest.mark.parametrize("source", [[0, 1.0, 2], ["0"], "012", None, [None]], ids=repr)
def test_a_source_that_is_not_a_sequence_of_integers_is_refused(source: Any) -> None:
    with pytest.raises(SourceError, match="a source must be a sequence of integers"):
        GenerationRequest(source, SHORT)


@pytest.mark.parametrize("deadline", [math.nan, "soon", 10**400, [1.0]], ids=["nan", "text", "huge", "list"])
def test_a_deadline_that_is_not_a_number_is_refused(deadline: Any) -> None:
    with pytest.raises(OptionsError, match="deadline must be a number of seconds"):
        GenerationRequest(SOURCE, SHORT, deadline)


@pytest.mark.parametrize("deadline", [None, math.inf, -math.inf, 5, 5.0, np.float32(5)], ids=repr)
def test_a_deadline_of_any_number_type_is_accepted(deadline: Any) -> None:
    assert GenerationRequest(SOURCE, SHORT, deadline).deadline == deadline


def test_a_deadline_is_due_at_its_instant() -> None:
    request = GenerationRequest(SOURCE, SHORT, 5.0)
    assert [request.is_due(instant) for instant in (4.9, 5.0, 5.1)] == [False, True, True]
    assert request.seconds_left(2.0) == 3.0
    assert not SHORT_REQUEST.is_due(math.inf)
    assert SHORT_REQUEST.seconds_left(2.0) == math.inf


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (GenerationRequest([], SHORT), SourceError),
        (GenerationRequest([0] * 129, SHORT), SourceError),
        (GenerationRequest([0, 320, 2], SHORT), SourceError),
        (GenerationRequest([0, -1, 2], SHORT), SourceError),
        (GenerationRequest([0, 10**30, 2], SHORT), SourceError),
        (GenerationRequest(SOURCE, GenerationOptions(max_new_tokens=129)), OptionsError),
    ],
    ids=["empty", "too long", "unknown id", "negative id", "huge id", "too many tokens"],
)
def test_a_request_beyond_the_model_is_refused(
    scheduler: Scheduler, request_: GenerationRequest, error: type[GenerationError]
) -> None:
    with pytest.raises(error):
        check_request(scheduler.bundle, request_)
    with pytest.raises(error):
        scheduler.submit_future(request_)
    assert scheduler.generate(SHORT_REQUEST).steps == 2


def test_options_that_need_more_candidates_than_the_vocabulary_has_are_refused(bundle_path: Any) -> None:
    small = load_bundle(bundle_path)
    object.__setattr__(small.architecture, "vocab_size", 60)
    with pytest.raises(OptionsError, match="num_beams must be at most a third"):
        check_request(small, GenerationRequest([0, 7, 2], GenerationOptions(num_beams=21, num_return_sequences=1)))
