"""A row of a log or example table as evidence: the names of the columns, and what they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from evidence.assemble import build_evidence
from evidence.schema import Evidence, RawText

TEXT_FIELDS = tuple(field.name for field in fields(RawText))
"""Columns of a video's own text, in the order in which the canonical text is chosen."""

QUERY_FIELDS = ("anchors", "histories", "personal")
"""Columns that hold lists of queries."""

EVIDENCE_COLUMNS = (*TEXT_FIELDS, "summary", *QUERY_FIELDS)
"""Every column that evidence is made from."""


def raw_text_of_row(row: Mapping[str, Any]) -> RawText:
    """Return the text fields of a row that has the columns TEXT_FIELDS; a null stays None."""
    return RawText(*(row[name] for name in TEXT_FIELDS))


def evidence_of_row(row: Mapping[str, Any]) -> Evidence:
    """Return the cleaned evidence of a row that has the columns EVIDENCE_COLUMNS; any of them may be null."""
    return build_evidence(raw_text_of_row(row), row["summary"], *(row[name] or () for name in QUERY_FIELDS))
