"""A table row becomes evidence in one way."""

from __future__ import annotations

from evidence.assemble import build_evidence
from evidence.rows import EVIDENCE_COLUMNS, TEXT_FIELDS, evidence_of_row, raw_text_of_row
from evidence.schema import Evidence, RawText

ROW = {
    "caption": None,
    "photo_title": "Steel kettle #kitchen",
    "title": "kettle",
    "item_title": None,
    "summary": "Summary: a kettle boils",
    "anchors": ["tea kettle"],
    "histories": None,
    "personal": ["glass kettle"],
    "photo_id": "p1",
}


def test_the_text_fields_are_those_of_the_schema_in_their_order() -> None:
    assert TEXT_FIELDS == ("caption", "photo_title", "title", "item_title")
    assert raw_text_of_row(ROW) == RawText(None, "Steel kettle #kitchen", "kettle", None)


def test_a_row_is_cleaned_as_a_request_is() -> None:
    raw = RawText(photo_title="Steel kettle #kitchen", title="kettle")
    expected = build_evidence(raw, "Summary: a kettle boils", ["tea kettle"], (), ["glass kettle"])
    assert evidence_of_row(ROW) == expected
    assert expected.text == "Steel kettle"


def test_a_row_of_nulls_is_empty_evidence() -> None:
    assert evidence_of_row(dict.fromkeys(EVIDENCE_COLUMNS)) == Evidence()
