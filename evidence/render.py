"""Rendering: evidence into the one token sequence that the generator reads (eq. 4, paper).

    <s> T [SEP] M [SEP] anchors [SEP] histories [SEP] P </s>

The four [SEP] are always there; a missing field is an empty segment. This is the only code that makes a source, in
training and in serving.

Cleaned fields are tokenised whole, as the first tokens of a word may depend on its last characters. Their length is
bounded by cleaning (`evidence.cleaning`), which bounds the time of tokenising them.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from threading import Lock

from cachetools import LRUCache
from tokenizers import Tokenizer

from evidence.errors import RenderError
from evidence.kept import bytes_of, sized
from evidence.schema import Evidence
from evidence.tokens import BOS_TOKEN, EOS_TOKEN, QUERY_SEPARATOR, SEP_TOKEN

SEGMENTS = ("text", "summary", "anchors", "histories", "personal")
"""The fields of a source, in its order."""

SEPARATORS = len(SEGMENTS) - 1
_FRAME_TOKENS = SEPARATORS + 2  # and <s>, </s>
QUERY_CACHE_BYTES = 16 * 1024 * 1024  # anchors and histories repeat across videos; a usual query takes 600 bytes


@dataclass(frozen=True, slots=True)
class RenderBudgets:
    """Tokens that each field may take, and the whole. They travel with a checkpoint and its bundle.

    The histories take what the other fields leave of `max_source_tokens`, but no more than their own budget.
    """

    text: int = 20
    summary: int = 24
    anchors: int = 36
    histories: int = 56
    personal: int = 40
    max_source_tokens: int = 144

    def __post_init__(self) -> None:
        """Refuse budgets that cannot fit."""
        parts = (self.text, self.summary, self.anchors, self.histories, self.personal)
        if min(parts) < 0:
            raise RenderError("a token budget is negative; give 0 to leave a field out")
        others = sum(parts) - self.histories + _FRAME_TOKENS
        if max(others, self.histories + _FRAME_TOKENS) > self.max_source_tokens:
            raise RenderError(
                f"the histories take {self.histories} tokens, the other fields {others - _FRAME_TOKENS}, and the frame "
                f"{_FRAME_TOKENS}: one of the two and the frame are more than max_source_tokens="
                f"{self.max_source_tokens}; lower a budget or raise the maximum"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, int]) -> RenderBudgets:
        """Read budgets from a manifest.

        Raises:
            RenderError: a key is unknown or missing.
        """
        expected = {field.name for field in fields(cls)}
        if set(values) != expected:
            raise RenderError(f"render budgets must have exactly the keys {sorted(expected)}, got {sorted(values)}")
        return cls(**{key: int(value) for key, value in values.items()})

    def to_dict(self) -> dict[str, int]:
        """Return the budgets as a manifest has them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RenderedSource:
    """One source: its token ids, the same as text for people, and the names of the fields that were cut."""

    token_ids: list[int]
    text: str
    truncated: tuple[str, ...]


class Renderer:
    """Renders evidence with one tokenizer and one set of budgets. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, budgets: RenderBudgets | None = None) -> None:
        """Take over a tokenizer: special tokens spelled in a text become words, and nothing is cut or padded.

        Raises:
            RenderError: the tokenizer lacks <s>, </s>, [SEP] or the byte ";".
        """
        self.budgets = budgets or RenderBudgets()
        # A caption that spells [SEP] or <s> must stay words.
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._bos, self._eos, self._sep, self._between = (
            _required_id(tokenizer, token) for token in (BOS_TOKEN, EOS_TOKEN, SEP_TOKEN, QUERY_SEPARATOR)
        )
        self._ids = tokenizer
        self._lock = Lock()
        self._kept: LRUCache[str, tuple[array[int], int]] = LRUCache(QUERY_CACHE_BYTES, bytes_of)

    def _encode(self, text: str) -> array[int]:
        return array("I", self._ids.encode(text, add_special_tokens=False).ids if text else ())

    @property
    def cached_queries(self) -> tuple[int, int]:
        """How many queries are cached, and the bytes that they take."""
        return len(self._kept), int(self._kept.currsize)

    def _query_ids(self, query: str) -> array[int]:
        """The ids of a query, from the cache where they are there. Not to be changed."""
        try:
            with self._lock:
                return self._kept[query][0]
        except KeyError:
            ids = self._encode(query)
        entry = sized(ids, (query, ids))
        if bytes_of(entry) <= QUERY_CACHE_BYTES:
            with self._lock:
                self._kept[query] = entry
        return ids

    def _join(self, queries: Sequence[str], budget: int) -> tuple[list[int], bool]:
        """Return whole queries, separated by ";", within the budget; only a first one that is too long is cut."""
        ids: list[int] = []
        for query in queries:
            query_ids = self._query_ids(query)
            if not ids:
                ids.extend(query_ids[:budget])
                cut = len(query_ids) > budget
            elif len(ids) + 1 + len(query_ids) <= budget:
                ids.append(self._between)
                ids.extend(query_ids)
            else:
                cut = True
            if cut:
                return ids, True
        return ids, False

    def render(self, evidence: Evidence) -> RenderedSource:
        """Return the source of one trigger, at most `max_source_tokens` ids long."""
        budgets = self.budgets
        text, summary = self._encode(evidence.text), self._encode(evidence.summary)
        anchors, anchors_cut = self._join(evidence.anchors, budgets.anchors)
        personal, personal_cut = self._join(evidence.personal, budgets.personal)
        front = [self._bos, *text[: budgets.text], self._sep, *summary[: budgets.summary], self._sep, *anchors]
        back = [self._sep, *personal, self._eos]
        room = budgets.max_source_tokens - len(front) - 1 - len(back)
        histories, histories_cut = self._join(evidence.histories, min(budgets.histories, room))
        cut = {
            "text": len(text) > budgets.text,
            "summary": len(summary) > budgets.summary,
            "anchors": anchors_cut,
            "histories": histories_cut,
            "personal": personal_cut,
        }
        truncated = tuple(name for name, was_cut in cut.items() if was_cut)
        return RenderedSource([*front, self._sep, *histories, *back], _as_text(evidence), truncated)

    def read(self, token_ids: Sequence[int]) -> Evidence:
        """Return what a source says: the fields of its evidence, without what the budgets have cut.

        Args:
            token_ids: of a source that this renderer has made.
        """
        text, summary, *lists = split_on(token_ids[1:-1], self._sep)
        queries = (tuple(self._decode(query) for query in split_on(ids, self._between)) if ids else () for ids in lists)
        return Evidence(self._decode(text), self._decode(summary), *queries)

    def segments(self, token_ids: Sequence[int]) -> list[tuple[str, str, int]]:
        """Return the five fields of a source, in its order: the name, what its tokens spell, and their number.

        Args:
            token_ids: of a source that this renderer has made.
        """
        parts = zip(SEGMENTS, split_on(token_ids[1:-1], self._sep), strict=True)
        return [(name, self._decode(ids), len(ids)) for name, ids in parts]

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self._ids.decode(list(token_ids), skip_special_tokens=True)).strip()


def split_on(token_ids: Sequence[int], separator: int) -> list[list[int]]:
    """Split ids at every `separator`, which is dropped; n separators give n + 1 lists."""
    parts: list[list[int]] = [[]]
    for token_id in token_ids:
        if token_id == separator:
            parts.append([])
        else:
            parts[-1].append(token_id)
    return parts


def _required_id(tokenizer: Tokenizer, token: str) -> int:
    token_id: int | None = tokenizer.token_to_id(token)
    if token_id is None:
        raise RenderError(f"the tokenizer has no {token!r}; train it with `onebar train tokenizer`")
    return token_id


def _as_text(evidence: Evidence) -> str:
    segments = (
        evidence.text,
        evidence.summary,
        "; ".join(evidence.anchors),
        "; ".join(evidence.histories),
        "; ".join(evidence.personal),
    )
    return f" {SEP_TOKEN} ".join(segments)
