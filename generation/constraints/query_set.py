"""The logits processor that confines a search to a set of queries, as GREAT does with its trie.

Every sequence that ends itself is a query of the set, or [REJECT]: what a model must always be able to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generation.constraints.trie import ROOT, Trie
from generation.logits_processors import Allowed

_PREFIXES_KEPT = 50_000
_NOWHERE = -1


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
    """Lets a beam go on only with what continues to a query of the set. To be used from one thread at a time."""

    def __init__(self, trie: Trie, report: QuerySetReport) -> None:
        """Serve a trie of queries, [REJECT] among them; `load_query_set` makes it from a file."""
        self.report = report
        self._token_of_node = trie.tokens
        # Single elements: many times cheaper to take from a memoryview than from an array.
        self._tokens = trie.tokens.data
        self._first_child = trie.first_child.data
        self._beginning: tuple[int, Allowed] = (ROOT, self._children(ROOT))
        self._known: dict[tuple[int, ...], tuple[int, Allowed]] = {(): self._beginning}

    def __len__(self) -> int:
        return self.report.queries

    def restrict(self, prefixes: Sequence[tuple[int, ...]]) -> list[Allowed]:
        """Return for each open beam which tokens may follow it; see `LogitsProcessor`."""
        if len(self._known) > _PREFIXES_KEPT:
            self._known = {(): self._beginning}
        return [self._find(prefix)[1] for prefix in prefixes]

    def _find(self, prefix: tuple[int, ...]) -> tuple[int, Allowed]:
        """Return the node of a prefix and what may follow it; a prefix mostly is a known one and a token."""
        found = self._known.get(prefix)
        if found is None:
            node = self._child(self._find(prefix[:-1])[0], prefix[-1])
            found = self._known[prefix] = (node, self._children(node))
        return found

    def _child(self, node: int, token: int) -> int:
        if node == _NOWHERE:
            return _NOWHERE
        end = self._first_child[node + 1]
        child = bisect_left(self._tokens, token, self._first_child[node], end)
        return child if child < end and self._tokens[child] == token else _NOWHERE

    def _children(self, node: int) -> Allowed:
        if node == _NOWHERE:
            return Allowed(np.zeros(0, np.int32))
        return Allowed(self._token_of_node[self._first_child[node] : self._first_child[node + 1]])
