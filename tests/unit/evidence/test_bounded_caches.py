"""The caches of queries and vectors take the memory that they say, and no more than they may."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from random import Random

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from evidence import render
from evidence.embedder import HashedEmbedder
from evidence.render import Renderer
from evidence.schema import Evidence
from service.answering.personal import VectorMemory

CHINESE = [chr(code) for code in range(0x4E00, 0x9000)]


def long_query(randoms: Random, letters: str | list[str]) -> str:
    """A query of the maximum length, with a character that takes four bytes for each of the others."""
    return "".join(randoms.choices(letters, k=255)) + "\U0001f45f"


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    """One token for each byte: the most ids that a text can have."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", "[SEP]", *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def traced(work: Callable[[], None]) -> int:
    """Bytes that are allocated after the work and were not before."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


def test_the_ids_of_queries(byte_tokenizer, monkeypatch):
    monkeypatch.setattr(render, "QUERY_CACHE_BYTES", 1_000_000)
    renderer, randoms = Renderer(byte_tokenizer), Random(7)

    def ask(count: int) -> None:
        for _ in range(count):
            renderer.render(Evidence(anchors=(long_query(randoms, CHINESE),)))

    ask(10)
    size_before = renderer.cached_queries[1]
    taken = traced(lambda: ask(150))
    entries, size = renderer.cached_queries
    assert entries == 160
    assert 0.8 * taken < size - size_before < 1.25 * taken
    ask(400)
    assert 950_000 < renderer.cached_queries[1] <= 1_000_000


def test_a_query_that_is_larger_than_the_cache_is_rendered_and_not_kept(byte_tokenizer, monkeypatch):
    monkeypatch.setattr(render, "QUERY_CACHE_BYTES", 1_000)
    renderer = Renderer(byte_tokenizer)
    assert len(renderer.render(Evidence(anchors=("a" * 5000,))).token_ids) > 20
    assert renderer.cached_queries == (0, 0)


def test_an_equal_query_is_tokenised_once(byte_tokenizer):
    renderer = Renderer(byte_tokenizer)
    for _ in range(3):
        renderer.render(Evidence(anchors=("shoe", "lamp"), histories=("shoe",)))
    assert renderer.cached_queries[0] == 2


def test_vectors():
    memory, randoms = VectorMemory(HashedEmbedder(), 500_000), Random(7)

    def ask(count: int) -> None:
        for _ in range(count):
            memory([long_query(randoms, "abcdefghij ")])

    ask(10)
    size_before = memory.size
    taken = traced(lambda: ask(150))
    assert len(memory) == 160
    assert 0.8 * taken < memory.size - size_before < 1.25 * taken
    ask(200)
    assert 490_000 < memory.size <= 500_000
