"""Validation describes a bounded number of faults for every body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from service.answering.request import RecommendRequest
from service.http import parsing
from service.http.errors import Fault, InvalidRequest
from service.http.parsing import MAX_FAULTS, load_json, validate

UNKNOWN = {f"f{number}": 0 for number in range(8_000)}
CAPTION = {"caption": 3}


@pytest.mark.parametrize(
    ("document", "prefix"),
    [
        ({**UNKNOWN, "photo_id": "p", "evidence": CAPTION}, ""),
        ({"photo_id": "p", "evidence": {**UNKNOWN, **CAPTION}}, "evidence."),
    ],
)
def test_at_most_max_faults_unknown_fields_are_validated_and_all_known_ones(
    document: dict[str, Any], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[int] = []
    faults_of = parsing._faults

    def counted(error: ValidationError, left_out: int, model: type[BaseModel]) -> list[Fault]:
        described.append(error.error_count())
        return faults_of(error, left_out, model)

    monkeypatch.setattr(parsing, "_faults", counted)
    with pytest.raises(InvalidRequest) as refusal:
        validate(RecommendRequest, load_json(json.dumps(document).encode()))
    assert described == [MAX_FAULTS + 1]
    fields = [fault.field for fault in refusal.value.faults]
    assert "evidence.caption" in fields
    assert f"{prefix}f0" in fields
    assert refusal.value.faults[-1] == Fault("body", f"There are {8_001 - MAX_FAULTS} more faults.")


def test_a_few_unknown_fields_are_named() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        validate(RecommendRequest, {"photo_id": "p", **dict.fromkeys("ab", 0)})
    assert [fault.field for fault in refusal.value.faults] == ["a", "b"]
