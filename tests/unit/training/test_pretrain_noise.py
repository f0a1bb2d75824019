from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from evidence.render import RenderBudgets
from training.config import NoisingConfig
from training.data import Ragged, load_examples
from training.errors import DataError
from training.noising import split_segments, word_start_table
from training.pretrain import Corpus, Noise, make_corpus, noised_epoch, noised_pair
from training.tokenizer import special_token_ids


def noise(tokenizer: Tokenizer, max_positions: int = 128, **config: Any) -> Noise:
    return Noise(
        NoisingConfig(**config),
        word_start_table(tokenizer),
        special_token_ids(tokenizer),
        tokenizer.token_to_id(";"),
        max_positions,
    )


@pytest.fixture
def document(tokenizer: Tokenizer) -> list[int]:
    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    between = [tokenizer.token_to_id(";")]
    anchors = [*ids("camping chair"), *between, *ids("power bank under 40")]
    return [0, *ids("unboxing uladika"), 5, 5, *anchors, 5, *ids("fenago chair price"), 5, 2]


def test_the_document_objective_asks_for_the_whole_original(tokenizer: Tokenizer, document: list[int]) -> None:
    wanted = noise(tokenizer, document_share=1.0, permute_probability=0.0)
    source, target = noised_pair(document, wanted, np.random.default_rng(0))
    assert target == document[1:]
    assert source.count(5) == 4
    assert 4 in source


def test_the_segment_objective_asks_for_one_unit_and_noises_it_alone(tokenizer: Tokenizer, document: list[int]) -> None:
    wanted = noise(tokenizer, document_share=0.0, permute_probability=0.0)
    between = tokenizer.token_to_id(";")
    seen = set()
    for seed in range(40):
        source, target = noised_pair(document, wanted, np.random.default_rng(seed))
        text = tokenizer.decode(target[:-1]).strip()
        seen.add(text)
        assert target[-1] == 2
        masked = [segment for segment in split_segments(source, 5) if 4 in segment]
        assert len(masked) == 1
        assert source.count(between) == 1
    assert seen == {"unboxing uladika", "camping chair", "power bank under 40", "fenago chair price"}


def test_permuted_segments_are_all_there(tokenizer: Tokenizer, document: list[int]) -> None:
    wanted = noise(tokenizer, document_share=0.0, segment_mask_ratio=0.0, permute_probability=1.0)
    source, _ = noised_pair(document, wanted, np.random.default_rng(2))
    segments = [[i for i in segment if i != 4] for segment in split_segments(source, 5)]
    assert sorted(segments) == sorted(split_segments(document, 5))


def test_masks_never_push_a_source_over_the_positions(tokenizer: Tokenizer, document: list[int]) -> None:
    wanted = noise(tokenizer, max_positions=len(document), document_share=0.0, segment_mask_ratio=0.0)
    source, _ = noised_pair(document, wanted, np.random.default_rng(0))
    assert len(source) == len(document)
    assert source[-1] == 2


def test_a_document_without_text_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="without any text"):
        noised_pair([0, 5, 5, 5, 5, 2], noise(tokenizer, document_share=0.0), np.random.default_rng(0))


def test_sources_without_text_are_no_documents(
    tokenizer: Tokenizer, example: Callable[..., dict[str, Any]], write_examples: Callable[..., Path], tmp_path: Path
) -> None:
    texts = ("caption", "photo_title", "title", "item_title", "summary")
    bare = example(0) | dict.fromkeys(texts) | {"anchors": [], "histories": [], "personal": []}

    def corpus(rows: list[dict[str, Any]], name: str) -> Corpus:
        path = write_examples(tmp_path / name, rows)
        return make_corpus(load_examples(path, tokenizer, RenderBudgets(), 16, tmp_path), tokenizer, None, 99)

    assert len(corpus([bare, example(1)], "some.parquet").sources) == 1
    with pytest.raises(DataError, match="no source of the examples has a text"):
        corpus([bare], "none.parquet")


def test_an_epoch_is_a_function_of_its_seed(tokenizer: Tokenizer, document: list[int]) -> None:
    query = tokenizer.encode("power bank", add_special_tokens=False).ids
    corpus = Corpus(Ragged.from_lists([document]), Ragged.from_lists([query]))
    one, two, other = (noised_epoch(corpus, noise(tokenizer), 32, 8, seed) for seed in ((1, 0), (1, 0), (1, 1)))
    assert one.sources.values.tolist() == two.sources.values.tolist()
    assert one.sources.values.tolist() != other.sources.values.tolist()
    assert sum(len(rows) for rows in one.plan) == 32
