"""The mixture of decoder and pointer: its probabilities are exact, and whole queries and next tokens agree."""

from __future__ import annotations

import math

import pytest
import torch
from tokenizers import Tokenizer

from training.batches import IGNORED_LABEL, Batch
from training.config import ModelConfig
from training.generator import Generator
from training.mixture import mixture_log_p, read_pointer, score_batch, score_targets
from training.model import build_model, decoder_logits, encode
from training.tokenizer import special_token_ids

SMALL = ModelConfig(encoder_layers=1, decoder_layers=1, d_model=32, ffn_dim=64, attention_heads=2, dropout=0.0)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Generator:
    torch.manual_seed(2)
    made = build_model(SMALL, tokenizer)
    assert made.pointer is not None
    with torch.no_grad():
        torch.nn.init.normal_(made.pointer.outer.weight, std=0.05)
        torch.nn.init.normal_(made.pointer.place, std=0.05)
        made.pointer.generate.bias.fill_(0.1)
    return made.eval()


def make_batch(tokenizer: Tokenizer, anchors: list[str], histories: list[str], queries: list[str]) -> Batch:
    """One source, and a target for each query."""
    special = special_token_ids(tokenizer)

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    sep = special["sep"]
    source = [special["bos"], *ids("unboxing"), sep, sep, *ids("; ".join(anchors)), sep, *ids("; ".join(histories))]
    source += [sep, special["eos"]]
    targets = [[*ids(query), special["eos"]] for query in queries]
    longest = max(map(len, targets))
    labels = torch.tensor([target + [IGNORED_LABEL] * (longest - len(target)) for target in targets])
    decoder_input = torch.full_like(labels, special["eos"])
    decoder_input[:, 1:] = labels[:, :-1]
    decoder_input[decoder_input == IGNORED_LABEL] = special["pad"]
    return Batch(
        torch.tensor([source]), None, torch.zeros(len(queries), dtype=torch.int64), decoder_input, labels,
        torch.ones(len(queries)),
    )  # fmt: skip


@pytest.fixture
def batch(tokenizer: Tokenizer) -> Batch:
    # The first entry stands twice, and begins another one; the last query is no entry.
    return make_batch(
        tokenizer,
        ["power bank", "power bank under 40"],
        ["camping chair", "power bank"],
        ["power bank", "power bank under 40", "camping chair", "camping chair under 40"],
    )


def test_a_query_has_its_probability_by_generating_and_that_of_every_equal_entry(
    model: Generator, batch: Batch
) -> None:
    with torch.no_grad():
        states = encode(model, batch.source, None)
        pointed = read_pointer(model, batch.source, None, states)
        assert pointed is not None
        plain = score_generated(model, batch, states)
        total = score_targets(model, batch, states).total
    generate, (first, second, third, fourth) = pointed.generate[0].exp(), pointed.entries[0].exp()
    assert (generate + first + second + third + fourth).item() == pytest.approx(1.0, abs=1e-5)
    copied = torch.stack([first + fourth, second, third, torch.zeros(())])
    torch.testing.assert_close(total.exp(), generate * plain.exp() + copied)


def score_generated(model: Generator, batch: Batch, states: torch.Tensor) -> torch.Tensor:
    """log p of each target by the decoder alone."""
    counts = batch.labels != IGNORED_LABEL
    logits = decoder_logits(model, states, None, batch.source_of, batch.decoder_input, counts)
    rows = counts.nonzero(as_tuple=True)[0]
    log_p = torch.log_softmax(logits, dim=-1).gather(1, batch.labels[counts][:, None]).squeeze(1)
    return torch.zeros(len(counts)).index_add(0, rows, log_p)


def test_the_next_tokens_of_the_mixture_multiply_to_the_probability_of_the_query(
    model: Generator, batch: Batch
) -> None:
    counts = batch.labels != IGNORED_LABEL
    with torch.no_grad():
        states = encode(model, batch.source, None)
        pointed = read_pointer(model, batch.source, None, states)
        assert pointed is not None
        logits = decoder_logits(model, states, None, batch.source_of, batch.decoder_input, counts)
        log_p = mixture_log_p(logits, pointed.of(batch.source_of), batch.decoder_input, counts)
        total = score_targets(model, batch, states).total
    torch.testing.assert_close(log_p.exp().sum(dim=-1), torch.ones(len(log_p)))
    rows = counts.nonzero(as_tuple=True)[0]
    taken = log_p.gather(1, batch.labels[counts][:, None]).squeeze(1)
    torch.testing.assert_close(torch.zeros(len(total)).index_add(0, rows, taken), total, rtol=1e-4, atol=1e-4)


def test_a_source_without_entries_is_only_generated_from(model: Generator, tokenizer: Tokenizer) -> None:
    batch = make_batch(tokenizer, [], [], ["power bank"])
    with torch.no_grad():
        states = encode(model, batch.source, None)
        total = score_targets(model, batch, states).total
    torch.testing.assert_close(total, score_generated(model, batch, states), atol=1e-3, rtol=0)


def test_a_model_without_a_pointer_is_plain_bart(model: Generator, batch: Batch, tokenizer: Tokenizer) -> None:
    plain = Generator(model.config)
    plain.load_state_dict(model.state_dict())
    plain.pointer = None
    plain.eval()
    with torch.no_grad():
        states = encode(plain, batch.source, None)
        assert read_pointer(plain, batch.source, None, states) is None
        torch.testing.assert_close(score_batch(plain, batch).total, score_generated(plain, batch, states))


def test_the_pointer_learns_which_entry_is_clicked(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = build_model(SMALL, tokenizer)
    batch = make_batch(tokenizer, ["power bank", "electric kettle"], ["camping chair"], ["electric kettle"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = score_batch(model, batch)
    for _ in range(20):
        loss = -score_batch(model, batch).total.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    last = score_batch(model, batch)
    assert last.total.item() > max(first.total.item(), math.log(0.5))
    assert last.pointed.item() > first.pointed.item()
