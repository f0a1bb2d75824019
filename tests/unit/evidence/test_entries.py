"""The entries of a source: whole queries of its last three fields, with their places."""

from __future__ import annotations

from evidence.entries import FIELD_PLACES, PLACES, Entry, find_entries

SEP, BETWEEN = 5, 27


def test_entries_are_the_queries_of_anchors_histories_and_personal_queries() -> None:
    source = [0, 30, BETWEEN, 31, SEP, 32, SEP, 40, 41, BETWEEN, 42, SEP, 43, SEP, 44, 45, 2]
    assert find_entries(source, SEP, BETWEEN) == [
        Entry(7, 9, 0), Entry(10, 11, 1), Entry(12, 13, PLACES), Entry(14, 16, 2 * PLACES),
    ]  # fmt: skip


def test_empty_fields_have_no_entries() -> None:
    assert find_entries([0, 30, SEP, SEP, SEP, SEP, 2], SEP, BETWEEN) == []


def test_an_empty_query_is_no_entry() -> None:
    source = [0, SEP, SEP, BETWEEN, 40, BETWEEN, BETWEEN, 41, BETWEEN, SEP, SEP, 2]
    assert [(entry.start, entry.end) for entry in find_entries(source, SEP, BETWEEN)] == [(4, 5), (7, 8)]


def test_entries_behind_the_last_place_share_it() -> None:
    many = [token for n in range(PLACES + 3) for token in (40 + n, BETWEEN)][:-1]
    entries = find_entries([0, SEP, SEP, SEP, *many, SEP, 2], SEP, BETWEEN)
    assert [entry.place for entry in entries] == [*range(PLACES, 2 * PLACES), *[2 * PLACES - 1] * 3]
    assert all(entry.place < FIELD_PLACES for entry in entries)


def test_a_source_of_other_form_has_no_entries_outside_of_it() -> None:
    for source in ([2], [SEP] * 9, [BETWEEN, 2], [0, 30, 2], [SEP, SEP, SEP, SEP, SEP, SEP, 50, 2]):
        assert all(0 < entry.start < entry.end < len(source) for entry in find_entries(source, SEP, BETWEEN))
