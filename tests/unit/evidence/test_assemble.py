"""From stored fields to evidence."""

from __future__ import annotations

import pytest

from evidence import assemble
from evidence.assemble import (
    MAX_CANDIDATE_BYTES,
    MAX_TITLES_CHARACTERS,
    build_evidence,
    clean_queries,
    select_text,
)
from evidence.cleaning import MAX_CHARACTERS, clean_text
from evidence.schema import Evidence, RawText


def test_the_caption_is_the_canonical_text_when_it_says_something() -> None:
    raw = RawText(caption="red dress @shop", photo_title="sale", title="t", item_title="Acme dress")
    assert select_text(raw) == "red dress"


def test_a_caption_of_hashtags_counts_as_missing() -> None:
    assert select_text(RawText(caption="#fyp #sale", item_title="Acme dress")) == "Acme dress"


def test_nothing_known_is_empty_evidence() -> None:
    assert build_evidence(RawText(caption="UNKNOWN")) == Evidence()
    assert build_evidence(RawText()).is_empty


def test_the_personal_part_alone_does_not_ground_a_query() -> None:
    assert build_evidence(RawText(), personal=["red dress"]).is_empty
    assert not build_evidence(RawText(), anchors=["red dress"]).is_empty


def test_queries_are_cleaned_and_repeated_ones_dropped_in_order() -> None:
    evidence = build_evidence(RawText(), histories=["Red  dress", "red dress", "", "blue dress\u200b"])
    assert evidence.histories == ("Red dress", "blue dress")


def test_another_viewer_sees_the_same_trigger() -> None:
    evidence = build_evidence(RawText(caption="dress"), anchors=["red dress"])
    assert evidence.with_personal(("acme dress",)) == Evidence("dress", "", ("red dress",), (), ("acme dress",))


def test_a_list_is_read_as_far_as_its_bytes_go() -> None:
    queries = [f"{number:03} " + "x" * 28 for number in range(100)]  # 32 bytes each
    assert clean_queries(queries) == tuple(queries[:64])
    assert clean_queries(queries, 320) == tuple(queries[:10])
    assert clean_queries(["连衣裙" * 4, "防晒霜" * 4], 64) == ("连衣裙" * 4,)  # 36 bytes each
    evidence = build_evidence(RawText(), anchors=queries, histories=queries)
    assert evidence.anchors == evidence.histories == tuple(queries[:32])


def test_a_query_that_grows_when_it_is_cleaned_counts_as_it_grew() -> None:
    grown = clean_queries(["\ufdfa" + str(number) for number in range(100)])
    assert sum(len(query.encode()) for query in grown) <= MAX_CANDIDATE_BYTES
    assert grown


def test_characters_that_are_dropped_count_as_read() -> None:
    assert clean_queries(["\u200b" * 200 + "drill", "lamp"], 600) == ()
    assert clean_queries(["\ud800" * 10, "lamp"], 40) == ("lamp",)


def test_caption_and_titles_are_read_up_to_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(raw: str | None) -> str:
        read.append(len(raw or ""))
        return clean_text(raw)

    monkeypatch.setattr(assemble, "clean_text", counted)
    noise = "#tag " * 400
    assert select_text(RawText(noise, noise, noise, "drill")) == ""
    assert sum(min(size, MAX_CHARACTERS) for size in read) <= MAX_TITLES_CHARACTERS
    assert select_text(RawText(noise, "", None, "drill")) == "drill"
