"""The sample that is read back."""

from __future__ import annotations

from typing import Any

import pytest

from feature_store.errors import PublishError
from feature_store.publish.sample import Sample

STORED = {f"k{n}": {"text": b"%d" % n} for n in range(2000)}


class Store:
    """A store of records, which remembers what was read."""

    shown = "redis://host"

    def __init__(self, records: dict[str, dict[str, bytes]]) -> None:
        self._records = records
        self.asked: list[str] = []

    def read(self, keys: list[str]) -> list[dict[str, bytes]]:
        self.asked += keys
        return [self._records.get(key, {}) for key in keys]


def sample_of(records: dict[str, dict[str, Any]], size: int, salt: str = "1") -> Sample:
    sample = Sample(size, salt)
    for key, fields in records.items():
        sample.add(key, fields)
    return sample


def read(sample: Sample) -> list[str]:
    store = Store(STORED)
    sample.read_back(store)  # type: ignore[arg-type]
    return store.asked


def test_it_has_the_size_that_was_asked_for_and_does_not_depend_on_the_order() -> None:
    keys = read(sample_of(STORED, 50))
    assert len(set(keys)) == 50
    assert read(sample_of(dict(reversed(STORED.items())), 50)) == keys
    assert set(read(sample_of(STORED, 50, salt="2"))) != set(keys)
    assert len(read(sample_of(STORED, 5000))) == len(STORED)


def test_a_record_that_comes_twice_is_expected_as_it_came_last() -> None:
    sample = sample_of({"k1": {"text": b"wrong"}} | {key: STORED[key] for key in ("k2", "k3")}, 10)
    sample.add("k1", STORED["k1"])
    assert len(read(sample)) == 3


@pytest.mark.parametrize("expected", [{"text": b"other"}, {"text": None}, {"text": b"5", "summary": b""}])
def test_a_field_that_differs_is_missing_or_too_much_is_found(expected: dict[str, bytes | None]) -> None:
    with pytest.raises(PublishError, match=r"1 of 1 records that were read back from redis://host .* k5 \("):
        read(sample_of({"k5": expected}, 10))
