"""From stored fields to evidence."""

from __future__ import annotations

from evidence.assemble import build_evidence, select_text
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
