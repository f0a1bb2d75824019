"""The search on the wire when the model has a pointer: an entry that no beam has reached is without a step."""

from __future__ import annotations

from pathlib import Path

from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from model_export.checkpoint import load_checkpoint
from model_export.export import export_bundle
from service.answering.search_view import search_to_wire
from service.http.wire import Search
from tests.fixtures.tiny_bundle import build_tiny_checkpoint


def test_an_entry_that_no_beam_has_reached_has_no_step(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(build_tiny_checkpoint(tmp_path / "checkpoint", seed=4, pointer_hidden=16))
    bundle = export_bundle(checkpoint, tmp_path / "bundle", "fp32")
    between = bundle.tokenizer.token_to_id(";")
    source = [0, 40, 41, 5, 42, 5, 50, 51, 52, between, 60, 61, between, 70, 71, 72, 5, 80, 81, 5, 2]
    options = GenerationOptions(length_penalty=0.0, max_new_tokens=6)
    generation = Engine(bundle).generate(GenerationRequest(source, options, record_search=True))
    wire = search_to_wire(generation, options, bundle)
    assert wire is not None
    search = Search.model_validate(wire)
    entries = {bundle.decode(ids) for ids in ([50, 51, 52], [60, 61], [70, 71, 72], [80, 81])}
    only_pointed = [hypothesis for hypothesis in search.hypotheses if hypothesis.step is None]
    assert only_pointed
    for hypothesis in only_pointed:
        assert hypothesis.parent is None
        assert hypothesis.pointed == 1.0
        assert hypothesis.query in {" ".join(entry.split()) for entry in entries}
    assert [hypothesis.rank for hypothesis in search.hypotheses] == list(range(1, 9))
