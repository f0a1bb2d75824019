"""The record of a search: what it says, what it is bounded by, and that the search is the same without it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generation.backend import Backend
from generation.bundle import load_bundle
from generation.bundle.vocabulary_blocks import SPARE_FACTOR
from generation.constraints.prohibited import ProhibitedPhrases
from generation.constraints.query_file import load_query_set
from generation.engine import Engine
from generation.logits_processors import Banned, Constraints, Restriction
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.results import Generation
from generation.scheduler import Scheduler
from generation.search_record import Cut, SearchStep, cut_by

SOURCE = (0, 165, 198, 279, 221, 120, 5, 194, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2)
OPTIONS = (
    GenerationOptions(max_new_tokens=10),
    GenerationOptions(max_new_tokens=12, min_new_tokens=4, no_repeat_ngram_size=2),
    GenerationOptions(num_beams=4, num_return_sequences=3, max_new_tokens=6, early_stopping="never"),
    GenerationOptions(num_beams=1, num_return_sequences=1, max_new_tokens=5, length_penalty=0.6),
)


class NeverThis:
    """Forbids one token; a constraint without a name of its own."""

    def __init__(self, token_id: int) -> None:
        self._restriction: Restriction = Banned(frozenset((token_id,)))

    def begin(self) -> None: ...

    def follow(self, states: Sequence[None], beam_indices: Sequence[int], tokens: Sequence[int]) -> list[None]:
        return [None] * len(tokens)

    def restrict(self, states: Sequence[None]) -> list[Restriction]:
        return [self._restriction] * len(states)


@pytest.fixture(scope="module", params=["auto", "onnxruntime"])
def engine(request: pytest.FixtureRequest, bundle_path: Path) -> Engine:
    backend: Backend = request.param
    return Engine(load_bundle(bundle_path), backend=backend)


def recorded(engine: Engine, request: GenerationRequest) -> tuple[Generation, tuple[SearchStep, ...]]:
    generation = engine.generate(replace(request, record_search=True))
    assert generation.search is not None
    return generation, generation.search


def sequences_that_ended(steps: Sequence[SearchStep], eos: int) -> dict[tuple[int, ...], float]:
    """Follow the parents of a record; return the score of every sequence that ended, by its tokens without the end."""
    prefixes: list[tuple[int, ...]] = [()]
    ended = {}
    for step in steps:
        for item in step.ended:
            tokens = (*prefixes[item.parent], item.token_id)
            ended[tokens[:-1] if item.token_id == eos else tokens] = item.score
        prefixes = [(*prefixes[beam.parent], beam.token_id) for beam in step.beams]
    return ended


@pytest.mark.parametrize("options", OPTIONS)
def test_a_recorded_search_has_the_same_hypotheses(engine: Engine, options: GenerationOptions) -> None:
    plain = engine.generate(GenerationRequest(SOURCE, options))
    generation, steps = recorded(engine, GenerationRequest(SOURCE, options))
    assert plain.search is None
    assert generation.hypotheses == plain.hypotheses
    assert generation.reject_probability == plain.reject_probability
    assert len(steps) == generation.steps == plain.steps


@pytest.mark.parametrize("options", OPTIONS)
def test_the_hypotheses_are_the_best_of_those_that_ended_in_the_record(
    engine: Engine, options: GenerationOptions
) -> None:
    generation, steps = recorded(engine, GenerationRequest(SOURCE, options))
    ended = sequences_that_ended(steps, engine.bundle.special_tokens.eos)
    best = sorted(ended.values(), reverse=True)[: options.num_return_sequences]
    assert [h.score for h in generation.hypotheses] == best
    assert all(ended[h.token_ids] == h.score for h in generation.hypotheses)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_record_is_bounded_by_the_width_and_by_the_number_of_tokens(
    engine: Engine, options: GenerationOptions
) -> None:
    everything = [NeverThis(token) for token in range(7, 120)]
    _, steps = recorded(engine, GenerationRequest(SOURCE, options, processors=everything))
    width = options.num_beams
    assert 1 <= len(steps) <= options.max_new_tokens
    assert any(step.cut for step in steps)
    for step in steps:
        assert len(step.beams) <= width
        assert len(step.ended) <= width
        assert len(step.cut) <= SPARE_FACTOR * width


def test_a_cut_names_the_constraint_and_the_token_that_it_kept_out(engine: Engine) -> None:
    _, free = recorded(engine, GenerationRequest(SOURCE, OPTIONS[0]))
    favourite = free[0].beams[0]
    _, steps = recorded(engine, GenerationRequest(SOURCE, OPTIONS[0], processors=[NeverThis(favourite.token_id)]))
    (cut,) = [cut for cut in steps[0].cut if cut.token_id == favourite.token_id]
    assert cut.constraints == ("NeverThis",)
    assert (cut.parent, cut.sum_logprobs) == (0, favourite.sum_logprobs)
    assert all(beam.token_id != favourite.token_id for step in steps for beam in step.beams)


def test_without_constraints_nothing_is_cut(engine: Engine) -> None:
    _, steps = recorded(engine, GenerationRequest(SOURCE, replace(OPTIONS[0], min_new_tokens=0)))
    assert not any(step.cut for step in steps)


def test_constraints_of_the_options_have_the_names_of_the_options(engine: Engine) -> None:
    # The end is forbidden until the last token but one, so at every step in which it is likely it is cut.
    options = GenerationOptions(max_new_tokens=12, min_new_tokens=11, no_repeat_ngram_size=1)
    _, steps = recorded(engine, GenerationRequest(SOURCE, options))
    named = {name for step in steps for cut in step.cut for name in cut.constraints}
    assert named == {"min_new_tokens", "no_repeat_ngram_size"}
    eos = engine.bundle.special_tokens.eos
    assert {cut.token_id for step in steps for cut in step.cut if "min_new_tokens" in cut.constraints} == {eos}


@pytest.mark.parametrize("others", [(), (NeverThis(9),)], ids=["alone", "with another constraint"])
def test_a_set_of_queries_is_named(engine: Engine, tmp_path: Path, others: tuple[NeverThis, ...]) -> None:
    (tmp_path / "queries.txt").write_text("camera lens\nred dress\ncamera bag\n")
    query_set = load_query_set(tmp_path / "queries.txt", engine.bundle)  # alone, it ranks the continuations itself
    options = replace(OPTIONS[0], min_new_tokens=0)
    generation, steps = recorded(engine, GenerationRequest(SOURCE, options, processors=(query_set, *others)))
    assert {name for step in steps for cut in step.cut for name in cut.constraints} >= {"query_set"}
    assert [engine.bundle.decode(h.token_ids) for h in generation.hypotheses if h.finished]


def test_a_cut_by_a_prohibited_term_is_named(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    eos = bundle.special_tokens.eos
    x, y, z = map(bundle.tokenizer.token_to_id, "xyz")  # letters, with which the word goes on and is another one
    word = bundle.tokenizer.encode("camera", add_special_tokens=False).ids
    constraints = Constraints((ProhibitedPhrases.of_bundle([("test", "camera")], bundle), NeverThis(x)))
    for token in word:
        constraints.follow([0], [token])
    proposed = ([-1.0, -2.0, -3.0, -4.0, -math.inf], [0] * 5, [eos, y, x, x, 0])
    expected = (Cut(eos, 0, -1.0, ("prohibited_phrases",)), Cut(x, 0, -3.0, ("NeverThis",)))
    # A forbidden continuation behind the last one that was taken would not have been taken without the constraint.
    assert cut_by(constraints, proposed, ([-2.0, -3.5], [0, 0], [y, z]), wanted=2) == expected
    assert len(cut_by(constraints, proposed, ([-2.0], [0], [y]), wanted=2)) == 3


def test_recorded_requests_are_stepped_together_with_others(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    generator = np.random.default_rng(3)
    vocabulary = bundle.architecture.vocab_size
    requests = [
        GenerationRequest(
            [0, *generator.integers(7, vocabulary, generator.integers(1, 60)).tolist(), 2],
            OPTIONS[number % len(OPTIONS)],
            record_search=number % 2 == 0,
        )
        for number in range(24)
    ]
    alone = [Engine(bundle).generate(request) for request in requests]
    scheduler = Scheduler(bundle, row_budget=64)

    async def ask() -> list[Generation]:
        return await asyncio.gather(*map(scheduler.submit, requests))

    try:
        together = asyncio.run(ask())
        later_steps = sum(g.steps - 1 for g in together)  # the first step of a request is its own
        assert scheduler.stats().steps < later_steps / 2
    finally:
        scheduler.close()
    assert [g.hypotheses for g in together] == [g.hypotheses for g in alone]
    assert [g.search for g in together] == [g.search for g in alone]
    assert [g.search is not None for g in together] == [request.record_search for request in requests]


def test_a_search_that_the_deadline_cuts_has_the_steps_that_were_run(bundle_path: Path) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    engine = Engine(load_bundle(bundle_path), clock=clock)
    engine.warm_up()
    options = GenerationOptions(max_new_tokens=12, min_new_tokens=11)
    generation, steps = recorded(engine, GenerationRequest(SOURCE, options, deadline=now[0] + 6))
    assert generation.deadline_reached
    assert 1 <= len(steps) == generation.steps < 12
    late = engine.generate(GenerationRequest(SOURCE, options, deadline=now[0], record_search=True))
    assert (late.steps, late.search) == (0, None)
