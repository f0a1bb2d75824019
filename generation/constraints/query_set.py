"""The logits processor that confines a search to a set of queries, as GREAT does with its trie.

Every sequence that ends itself is a query of the set, or [REJECT]: what a model must always be able to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from generation.constraints.trie import ROOT, Trie
from generation.logits_processors import Allowed, Rank
from generation.options import MAX_BEAMS

try:
    from generation.constraints import _trie_steps
except ImportError:  # not compiled here: what follows in Python does the same, more slowly
    compiled = False
else:
    compiled = True


@dataclass(frozen=True, slots=True)
class QuerySetReport:
    """What became of the lines of a file.

    queries: different token sequences in the set. duplicates: lines whose tokens an earlier line had.
    too_long: lines that could not be generated whole within max_new_tokens, and are left out. blank: empty ones.
    from_cache: whether the trie was read from the file beside it.
    cache_error: why the trie could not be kept there, None where it was.
    """

    queries: int
    duplicates: int
    too_long: int
    blank: int
    from_cache: bool
    cache_error: str | None


class QuerySet:
    """Lets a beam go on only with what continues to a query of the set. A beam's state is its node in the trie."""

    name = "query_set"

    def __init__(self, trie: Trie, report: QuerySetReport) -> None:
        """Serve a trie of queries, [REJECT] among them; `load_query_set` makes it from a file."""
        self.report = report
        self.rank: Rank | None = partial(_trie_steps.best, trie.tokens, trie.first_child) if compiled else None
        self._trie = trie
        # Single elements: many times cheaper to take from a memoryview than from an array.
        self._tokens = trie.tokens.data
        self._first_child = trie.first_child.data
        self._nowhere = len(trie) - 1  # a leaf, as nothing follows it

    def __len__(self) -> int:
        return self.report.queries

    def begin(self) -> int:
        """See `LogitsProcessor`."""
        return ROOT

    def follow(self, states: Sequence[int], beam_indices: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """See `LogitsProcessor`."""
        if self.rank is not None and max(len(states), len(tokens)) <= MAX_BEAMS:  # a source may have more entries
            return _trie_steps.follow(self._trie.tokens, self._trie.first_child, list(states), beam_indices, tokens)
        first_child, token_of = self._first_child, self._tokens
        nodes = []
        for beam, token in zip(beam_indices, tokens, strict=True):
            node = states[beam]
            end = first_child[node + 1]
            child = bisect_left(token_of, token, first_child[node], end)
            nodes.append(child if child < end and token_of[child] == token else self._nowhere)
        return nodes

    def restrict(self, states: Sequence[int]) -> list[Allowed]:
        """Return for each open beam which tokens may follow it; see `LogitsProcessor`."""
        first_child, token_of = self._first_child, self._trie.tokens
        return [Allowed(token_of[first_child[node] : first_child[node + 1]]) for node in states]
