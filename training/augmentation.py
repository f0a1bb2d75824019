"""What is changed in training sources at random, so that only reading answers them.

- Substitution: words are replaced by invented ones, alike in a source and in its targets. What a row teaches about its
  own words is lost, and what it teaches about reading stays: the answer still stands in the same places. A model that
  starts with copying (training/copying_start.py) keeps it this way, where it would soon prefer the names that it has
  seen.
- Removal of the answer: anchors and histories that contain the target are taken out. What is left is what a new video,
  or a rare query, has, and the model must compose the answer.
- Weakening: all that is left is a text that names nothing of the answer, and the answer becomes [REJECT] (section 3.3,
  paper: weak trigger evidence). Without it a model that reads answers any caption with fragments of it. Some such rows
  are left anchors, those of another row.
- Unknown words: almost every word of a row is unknown, as in weakened rows, and it has no histories, but its other
  fields support the answer. Without it a model that has seen weakened rows takes unknown words for weak evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from evidence.render import split_on
from evidence.tokens import QUERY_SEPARATOR
from training.data import Ragged
from training.noising import ANCHORS, HISTORIES, join_on, join_segments, split_segments, word_start_table
from training.tokenizer import special_token_ids

_LONGEST_INVENTION = 4
_OPENING_BYTES = 3
_LEAST_UNKNOWN = 0.7  # of the words of a weakened text, and of a row of unknown words
_FOREIGN_ANCHORS = 0.33  # of the weakened rows


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The tokens of a tokenizer by their use in sources.

    Attributes:
        special: ids of the special tokens. between: the token between two queries of a field.
        ordinary: int64, every other token. starts: those of them that start a word. pieces: those that do not.
        openings: those starts with at most three bytes, with which a word begins that has no token of its own.
        is_ordinary: bool [V]. joins: bool [V], whether a token continues the word before it.
    """

    special: Mapping[str, int]
    between: int
    ordinary: NDArray[np.int64]
    starts: NDArray[np.int64]
    pieces: NDArray[np.int64]
    openings: NDArray[np.int64]
    is_ordinary: NDArray[np.bool_]
    joins: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Alphabet:
        """Read the vocabulary of a tokenizer."""
        special, between = special_token_ids(tokenizer), tokenizer.token_to_id(QUERY_SEPARATOR)
        ordinary = np.setdiff1d(np.arange(tokenizer.get_vocab_size()), [*special.values(), between])
        is_ordinary = np.zeros(tokenizer.get_vocab_size(), dtype=np.bool_)
        is_ordinary[ordinary] = True
        is_start = word_start_table(tokenizer)
        starts, pieces = ordinary[is_start[ordinary]], ordinary[~is_start[ordinary]]
        # A byte is one character of a token's name, the space before a word included.
        short = [token for token in starts.tolist() if len(tokenizer.id_to_token(token)) <= 1 + _OPENING_BYTES]
        openings = np.array(short, np.int64) if short else starts
        return cls(special, between, ordinary, starts, pieces, openings, is_ordinary, is_ordinary & ~is_start)

    def words(self, ids: Sequence[int]) -> list[tuple[int, ...]]:
        """Cut ids into words; special tokens and separators are words of their own."""
        found: list[list[int]] = []
        inside = False
        for token in ids:
            if inside and self.joins[token]:
                found[-1].append(token)
            else:
                found.append([token])
            inside = self.is_ordinary[token]
        return [tuple(word) for word in found]

    def invent(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Return a word of one to four random tokens."""
        # The draws of rng.choice, without its checks: an epoch has millions of them.
        rest = self.pieces[rng.integers(len(self.pieces), size=int(rng.integers(_LONGEST_INVENTION)))]
        return int(self.starts[rng.integers(len(self.starts))]), *rest.tolist()

    def invent_unknown(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Return a word of two to four tokens that are no words themselves."""
        rest = self.pieces[rng.integers(len(self.pieces), size=int(rng.integers(1, _LONGEST_INVENTION)))]
        return int(self.openings[rng.integers(len(self.openings))]), *rest.tolist()


def substitute_words(
    sources: Ragged,
    targets: Ragged,
    targets_of: Ragged,
    rows: NDArray[np.int64],
    alphabet: Alphabet,
    longest: tuple[int, int],
    rng: np.random.Generator,
    *,
    unknown: bool = False,
) -> tuple[Ragged, Ragged]:
    """Replace words of some sources by invented ones, and the same words in their targets.

    For each row a share is drawn from 0 to 1, and each distinct word of the source is replaced with that chance. A word
    of a target that is not in the source stays. A row that would be too long is not changed.

    Args:
        sources: m rows.
        targets: n rows.
        targets_of: for each source the rows of its targets; no target has two sources.
        rows: of `sources`, to change.
        alphabet: of the tokenizer.
        longest: tokens that a source and a target may have.
        rng: source of randomness.
        unknown: the words and shares of weakened rows (`weaken_evidence`) instead.

    Returns:
        The m sources and the n targets.
    """
    new_sources: dict[int, list[int]] = {}
    new_targets: dict[int, list[int]] = {}
    invent, least = (alphabet.invent_unknown, _LEAST_UNKNOWN) if unknown else (alphabet.invent, 0.0)
    for row in rows.tolist():
        source = alphabet.words(sources[row].tolist())
        share = rng.uniform(least, 1.0)
        distinct = [word for word in dict.fromkeys(source) if alphabet.is_ordinary[word[0]]]
        draws = rng.random(len(distinct))
        becomes = {word: invent(rng) for word, draw in zip(distinct, draws, strict=True) if draw < share}
        changed = [token for word in source for token in becomes.get(word, word)]
        answers = {
            target: [token for word in alphabet.words(targets[target].tolist()) for token in becomes.get(word, word)]
            for target in targets_of[row].tolist()
        }
        if len(changed) <= longest[0] and max(map(len, answers.values())) <= longest[1]:
            new_sources[row] = changed
            new_targets.update(answers)
    return sources.replaced(new_sources), targets.replaced(new_targets)


def remove_answers(
    sources: Ragged,
    targets: Ragged,
    targets_of: Ragged,
    rows: NDArray[np.int64],
    special: Mapping[str, int],
    between: int,
) -> Ragged:
    """Take the anchors and histories that contain a target out of some sources (decontamination: 5.1, paper).

    Args:
        sources: m rows.
        targets: n rows that end in </s>.
        targets_of: for each source the rows of its targets.
        rows: of `sources`, to change.
        special: ids of the special tokens.
        between: the token between two queries of a field.

    Returns:
        The m sources.
    """
    changed: dict[int, list[int]] = {}
    for row in rows.tolist():
        answers = [targets[target][:-1].tolist() for target in targets_of[row].tolist()]
        segments = split_segments(sources[row].tolist(), special["sep"])
        for segment in (ANCHORS, HISTORIES):
            queries = split_on(segments[segment], between)
            kept = [query for query in queries if not any(_contains(query, answer) for answer in answers)]
            if len(kept) < len(queries):
                segments[segment] = join_on(kept, between)
                changed[row] = join_segments(segments, special["bos"], special["sep"], special["eos"])
    return sources.replaced(changed)


def drop_needless_histories(
    sources: Ragged, targets: Ragged, targets_of: Ragged, rows: NDArray[np.int64], alphabet: Alphabet
) -> tuple[Ragged, NDArray[np.int64]]:
    """Take the histories out of those of some sources whose other fields have every word of the targets.

    Args:
        sources: m rows.
        targets: n rows that end in </s>.
        targets_of: for each source the rows of its targets.
        rows: of `sources`, to change.
        alphabet: of the tokenizer.

    Returns:
        The m sources, and the rows that support their targets without histories.
    """
    special = alphabet.special
    changed: dict[int, list[int]] = {}
    for row in rows.tolist():
        segments = split_segments(sources[row].tolist(), special["sep"])
        segments[HISTORIES] = []
        left = {word for segment in segments for word in alphabet.words(segment)}
        if all(left.issuperset(alphabet.words(targets[target][:-1].tolist())) for target in targets_of[row].tolist()):
            changed[row] = join_segments(segments, special["bos"], special["sep"], special["eos"])
    return sources.replaced(changed), np.array(list(changed), np.int64)


def weaken_evidence(
    sources: Ragged,
    targets: Ragged,
    targets_of: Ragged,
    rows: NDArray[np.int64],
    alphabet: Alphabet,
    rng: np.random.Generator,
) -> tuple[Ragged, Ragged]:
    """Leave some sources nothing that supports a query, and make [REJECT] their target.

    Anchors, histories and personal queries go, the summary in half of the rows. In the text every word of a target is
    replaced by an invented one, and every other word with a chance that is drawn for the row from .7 to 1. A third of
    the rows get the anchors of another of them. No row becomes longer than it was.

    Args:
        sources: m rows.
        targets: n rows.
        targets_of: for each source the rows of its targets; no target has two sources.
        rows: of `sources`, to change.
        alphabet: of the tokenizer.
        rng: source of randomness.

    Returns:
        The m sources and the n targets.
    """
    special = alphabet.special
    new_sources: dict[int, list[int]] = {}
    new_targets: dict[int, list[int]] = {}
    for row, other in zip(rows.tolist(), np.roll(rows, 1).tolist(), strict=True):
        text, summary, *_ = split_segments(sources[row].tolist(), special["sep"])
        answers = {word for target in targets_of[row].tolist() for word in alphabet.words(targets[target].tolist())}
        share, becomes = rng.uniform(_LEAST_UNKNOWN, 1.0), dict[tuple[int, ...], tuple[int, ...]]()
        for word in dict.fromkeys(alphabet.words([*text, *summary])):
            if alphabet.is_ordinary[word[0]] and (word in answers or rng.random() < share):
                becomes[word] = alphabet.invent_unknown(rng)
        shown = [text, summary if rng.random() < 0.5 else [], [], [], []]
        weak = [[token for word in alphabet.words(part) for token in becomes.get(word, word)] for part in shown]
        room = len(sources[row]) - len(join_segments([[]] * len(weak), special["bos"], special["sep"], special["eos"]))
        weak[0] = weak[0][:room]
        weak[1] = weak[1][: room - len(weak[0])]
        if rng.random() < _FOREIGN_ANCHORS and other != row:
            foreign = split_segments(sources[other].tolist(), special["sep"])[ANCHORS]
            weak[ANCHORS] = foreign if len(foreign) <= room - len(weak[0]) - len(weak[1]) else []
        new_sources[row] = join_segments(weak, special["bos"], special["sep"], special["eos"])
        new_targets.update({target: [special["reject"], special["eos"]] for target in targets_of[row].tolist()})
    return sources.replaced(new_sources), targets.replaced(new_targets)


def _contains(query: Sequence[int], answer: Sequence[int]) -> bool:
    length = len(answer)
    return any(query[start : start + length] == answer for start in range(len(query) - length + 1))
