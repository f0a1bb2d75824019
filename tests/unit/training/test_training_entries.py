"""The entries of many sources are those of each source."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from evidence.entries import find_entries
from training.batches import IGNORED_LABEL
from training.entries import locate_entries

END, SEP, BETWEEN, PAD = 2, 5, 27, 1

SOURCES = st.lists(st.lists(st.sampled_from([SEP, BETWEEN, 30, 31, END]), min_size=1, max_size=60), min_size=1)


@given(SOURCES)
def test_entries_are_those_that_each_source_has_alone(sources: list[list[int]]) -> None:
    longest = max(map(len, sources))
    padded = torch.tensor([source + [PAD] * (longest - len(source)) for source in sources])
    found = locate_entries(padded, torch.tensor([len(source) for source in sources]), SEP, BETWEEN, END)

    alone = [find_entries(source, SEP, BETWEEN) for source in sources]
    assert found.present.sum(dim=1).tolist() == [len(entries) for entries in alone]
    for row, (source, entries) in enumerate(zip(sources, alone, strict=True)):
        count = len(entries)
        assert found.present[row, :count].all()
        assert found.starts[row, :count].tolist() == [entry.start for entry in entries]
        assert found.places[row, :count].tolist() == [entry.place for entry in entries]
        tokens = [[token for token in read if token != IGNORED_LABEL] for read in found.tokens[row].tolist()]
        assert tokens[:count] == [[*source[entry.start : entry.end], END] for entry in entries]
        assert not any(tokens[count:])
