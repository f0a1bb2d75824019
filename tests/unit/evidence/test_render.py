"""The [SEP] schema (eq. 4, paper): its shape never changes, its budgets hold, its words are only words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from evidence.errors import RenderError
from evidence.render import RenderBudgets, Renderer
from evidence.schema import Evidence

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[SEP]", "[REJECT]"]
BOS, EOS, SEP = 0, 2, 5


def byte_tokenizer() -> Tokenizer:
    """Return a byte-level tokenizer without merges: one id a byte, so that budgets can be counted by eye."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


TOKENIZER = byte_tokenizer()
RENDERER = Renderer(TOKENIZER)


def segments(token_ids: list[int]) -> list[str]:
    assert (token_ids[0], token_ids[-1]) == (BOS, EOS)
    parts: list[list[int]] = [[]]
    for token_id in token_ids[1:-1]:
        if token_id == SEP:
            parts.append([])
        else:
            parts[-1].append(token_id)
    return [TOKENIZER.decode(part) for part in parts]


def test_each_field_has_its_segment() -> None:
    source = RENDERER.render(Evidence("drill", "two", ("a b", "c"), ("d",), ("e", "f")))
    assert segments(source.token_ids) == ["drill", "two", "a b;c", "d", "e;f"]
    assert source.text == "drill [SEP] two [SEP] a b; c [SEP] d [SEP] e; f"
    assert source.truncated == ()


def test_the_segments_of_a_source_are_named_and_counted() -> None:
    renderer = Renderer(TOKENIZER, RenderBudgets(text=3))
    source = renderer.render(Evidence("drill [SEP]", "", ("a b", "c"), (), ("e",)))
    assert renderer.segments(source.token_ids) == [
        ("text", "dri", 3), ("summary", "", 0), ("anchors", "a b;c", 5), ("histories", "", 0), ("personal", "e", 1),
    ]  # fmt: skip


def test_a_missing_field_is_an_empty_segment() -> None:
    source = RENDERER.render(Evidence(summary="two"))
    assert source.token_ids.count(SEP) == 4
    assert segments(source.token_ids) == ["", "two", "", "", ""]


def test_text_is_cut_at_its_budget_and_said_so() -> None:
    source = Renderer(TOKENIZER, RenderBudgets(text=3)).render(Evidence("drill", "two"))
    assert segments(source.token_ids)[:2] == ["dri", "two"]
    assert source.truncated == ("text",)


def test_queries_are_kept_whole_but_for_a_first_one_that_is_too_long() -> None:
    renderer = Renderer(TOKENIZER, RenderBudgets(anchors=6, histories=3))
    source = renderer.render(Evidence(anchors=("abc", "de", "f"), histories=("ghijkl",)))
    assert segments(source.token_ids)[2:4] == ["abc;de", "ghi"]
    assert source.truncated == ("anchors", "histories")


def test_a_source_is_read_back_as_its_evidence() -> None:
    evidence = Evidence("a [SEP] drill", "two", ("a b", "c"), (), ("e", "f"))
    assert RENDERER.read(RENDERER.render(evidence).token_ids) == evidence


def test_what_the_budgets_cut_is_not_read_back() -> None:
    renderer = Renderer(TOKENIZER, RenderBudgets(text=3, anchors=6, histories=3, personal=0))
    source = renderer.render(Evidence("drill", "", ("abc", "de", "f"), ("ghijkl",), ("m",)))
    assert renderer.read(source.token_ids) == Evidence("dri", "", ("abc", "de"), ("ghi",), ())


@pytest.mark.parametrize("words", ["[SEP]", "<s>", "a [REJECT] b", "</s><pad>"])
def test_words_that_spell_a_special_token_stay_words(words: str) -> None:
    source = RENDERER.render(Evidence(text=words))
    assert segments(source.token_ids)[0] == words
    assert source.token_ids.count(SEP) == 4


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
QUERIES = st.lists(WORDS.filter(bool), max_size=6).map(tuple)


@given(evidence=st.builds(Evidence, WORDS, WORDS, QUERIES, QUERIES, QUERIES))
def test_the_frame_and_the_budget_hold_for_any_evidence(evidence: Evidence) -> None:
    token_ids = RENDERER.render(evidence).token_ids
    assert (token_ids[0], token_ids[-1], token_ids.count(SEP)) == (BOS, EOS, 4)
    assert len(token_ids) <= RENDERER.budgets.max_source_tokens


def test_histories_are_cut_to_what_the_other_fields_leave() -> None:
    budgets = RenderBudgets(text=8, summary=0, anchors=4, histories=12, personal=4, max_source_tokens=24)
    renderer, histories = Renderer(TOKENIZER, budgets), ("abc", "def", "ghi")
    alone = renderer.render(Evidence(histories=histories))
    assert (segments(alone.token_ids)[3], alone.truncated) == ("abc;def;ghi", ())
    beside = renderer.render(Evidence("12345678", "", ("9",), histories, ("0",)))
    assert (segments(beside.token_ids), beside.truncated) == (["12345678", "", "9", "abc;def", "0"], ("histories",))


def test_budgets_that_cannot_fit_are_refused_with_the_fix() -> None:
    for budgets in ({"text": 80}, {"histories": 139}):
        with pytest.raises(RenderError, match="lower a budget or raise the maximum"):
            RenderBudgets(**budgets)
    with pytest.raises(RenderError, match="negative"):
        RenderBudgets(text=-1)


def test_budgets_survive_a_manifest_and_refuse_strange_keys() -> None:
    budgets = RenderBudgets(text=20)
    assert RenderBudgets.from_dict(budgets.to_dict()) == budgets
    with pytest.raises(RenderError, match="exactly the keys"):
        RenderBudgets.from_dict({"text": 3})


def test_a_tokenizer_without_the_separator_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE(vocab={"<s>": 0, "</s>": 1}, merges=[]))
    with pytest.raises(RenderError, match="SEP"):
        Renderer(tokenizer)
