"""The entries of a source: the whole queries that stand in its anchors, histories and personal queries.

The generator's pointer gives each entry a probability of its own (docs/adr/0086). Export and serving find the entries
with this function, training with its form for many sources (`training.entries`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

PLACES = 16
"""Places of a field that the pointer tells apart; entries behind them share the last one."""

FIRST_FIELD = 2
"""Of the five segments; text and summary are no lists of queries."""

_FIELDS = 3


class Entry(NamedTuple):
    """One entry of a source.

    Attributes:
        start: position of its first token in the source.
        end: position behind its last token.
        place: its field and its place there, below `FIELD_PLACES`.
    """

    start: int
    end: int
    place: int


FIELD_PLACES = _FIELDS * PLACES
"""Number of places of all fields: anchors, histories, personal queries."""


def find_entries(token_ids: Sequence[int], separator: int, between: int) -> list[Entry]:
    """Return the entries of a rendered source, in its order.

    Args:
        token_ids: <s> ... </s>, as `evidence.render` makes it.
        separator: the token between two fields.
        between: the token between two queries of a field.
    """
    entries: list[Entry] = []
    last = len(token_ids) - 1  # </s>
    segment = rank = 0
    start = -1
    for position, token in enumerate(token_ids):
        if token != separator and token != between and position != last:
            continue
        field = segment - FIRST_FIELD
        if 0 <= field < _FIELDS and 0 < start < position:
            entries.append(Entry(start, position, field * PLACES + min(rank, PLACES - 1)))
            rank += 1
        if token == separator:
            segment, rank = segment + 1, 0
        start = position + 1
    return entries
