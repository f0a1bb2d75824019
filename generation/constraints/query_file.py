"""A file of queries, one a line, to the trie that a search is confined to.

Queries become the tokens that a model is trained to write for them: `clean_query`, then the bundle's tokenizer.
Tokenising a million takes long enough to be done once: the trie is kept beside the file, under a hash of everything
that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from evidence.cleaning import clean_query, cleaning_version
from generation.bundle import Bundle
from generation.constraints.query_set import QuerySet, QuerySetReport
from generation.constraints.trie import Trie, build_trie
from generation.errors import ConstraintError

IntArray = NDArray[np.int64]

_FORMAT = "onebar-trie-1"
_ARRAYS = ("tokens", "first_child")
_COUNTS = ("queries", "duplicates", "too_long", "blank")
# What `clean_query` does not change, found without calling it: words of plain letters and digits, one space apart.
_CLEAN = re.compile(r"[0-9A-Za-z\u4e00-\u9fa5]+(?: [0-9A-Za-z\u4e00-\u9fa5]+)*")


def load_query_set(path: str | Path, bundle: Bundle, max_new_tokens: int | None = None) -> QuerySet:
    """Load the set of queries that a search of this bundle may be confined to.

    Args:
        path: UTF-8, one query a line. `<path>.trie.npz` is read where it fits, else written.
        bundle: whose tokenizer makes the tokens.
        max_new_tokens: of the searches, the end among them; longer queries are left out and counted. None for the
            bundle's own.

    Raises:
        ConstraintError: the file cannot be read, is not UTF-8, or has no query that could be generated.
    """
    path = Path(path)
    longest = max_new_tokens or bundle.generation.max_new_tokens
    specials = bundle.special_tokens
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConstraintError(f"cannot read the file of queries {path}: {error.strerror}; check its name") from error
    cache = path.with_name(path.name + ".trie.npz")
    key = _key(content, bundle.tokenizer, longest, specials.eos, specials.reject)
    cached = _read_cache(cache, key, bundle.tokenizer.get_vocab_size())
    if cached is not None:
        return cached
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConstraintError(f"{path}, line {line}: it is not UTF-8; save the file as UTF-8") from error
    queries = [line if _CLEAN.fullmatch(line) else clean_query(line) for line in lines]
    blank = queries.count("") - (lines[-1] == "")  # the last line's end begins no line
    queries = [query for query in queries if query]
    if not queries:
        raise ConstraintError(f"{path} has no query in it; write one a line")
    sequences, lengths = tokenise(queries, bundle.tokenizer, longest, specials.eos)
    kept = len(sequences)
    if not kept:
        raise ConstraintError(
            f"none of the {len(queries)} queries in {path} fits into {longest - 1} tokens; "
            "raise max_new_tokens, or shorten them"
        )
    reject = np.zeros((1, longest), np.int32)
    reject[0, :2] = specials.reject, specials.eos
    trie = build_trie(np.concatenate([sequences, reject]), np.append(lengths, 2))
    different = int(np.count_nonzero(trie.tokens[1:] == specials.eos)) - 1
    counts = dict(zip(_COUNTS, (different, kept - different, len(queries) - kept, blank), strict=True))
    cache_error = _write_cache(cache, key, trie, counts)
    return QuerySet(trie, QuerySetReport(**counts, from_cache=False, cache_error=cache_error))


def tokenise(
    queries: Sequence[str], tokenizer: Tokenizer, longest: int, eos_token_id: int
) -> tuple[NDArray[np.int32], IntArray]:
    """Return the token sequences of cleaned queries, each with its end.

    Returns:
        sequences [n, longest] padded with zeros, and lengths [n], of those queries that fit, in their order.
    """
    # A copy, as what a query spells must not become a special token, and the switch for that is on the tokenizer.
    encoder = Tokenizer.from_str(tokenizer.to_str())
    encoder.encode_special_tokens = True
    encoder.no_truncation()
    encoder.no_padding()
    apart = _words_are_apart(tokenizer)
    numbers: dict[str, int] = {}
    pieces: list[int] = []  # of all queries end to end, each by its number
    per_query = np.empty(len(queries), np.int64)
    for place, query in enumerate(queries):
        words = query.split(" ") if apart else (query,)
        pieces += [numbers.setdefault(word, len(numbers)) for word in words]
        per_query[place] = len(words)
    encoded = [e.ids for e in encoder.encode_batch_fast(list(numbers), add_special_tokens=False)]
    sizes = np.array([len(ids) for ids in encoded], np.int64)
    starts = np.cumsum(sizes) - sizes
    flat = np.array([token for ids in encoded for token in ids], np.int32)

    of_piece = np.array(pieces, np.int64)
    query_of_piece = np.repeat(np.arange(len(queries)), per_query)
    lengths = np.bincount(query_of_piece, weights=sizes[of_piece], minlength=len(queries)).astype(np.int64)
    fits = lengths < longest
    rows = np.cumsum(fits) - 1
    lengths = lengths[fits]
    sequences = np.zeros((len(lengths), longest), np.int32)
    of_piece, query_of_piece = of_piece[fits[query_of_piece]], query_of_piece[fits[query_of_piece]]
    counts = sizes[of_piece]
    behind = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)  # place within the piece
    row = rows[np.repeat(query_of_piece, counts)]
    column = np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row]
    sequences[row, column] = flat[np.repeat(starts[of_piece], counts) + behind]
    sequences[np.arange(len(lengths)), lengths] = eos_token_id
    return sequences, lengths + 1


def _words_are_apart(tokenizer: Tokenizer) -> bool:
    """Whether words between single spaces can be tokenised one by one, which saves tokenising a word twice.

    So it is where the tokenizer splits at spaces, puts one before the first word, and changes nothing but case.
    """
    parts = json.loads(tokenizer.to_str())
    splitter, normalizer = parts["pre_tokenizer"] or {}, parts["normalizer"] or {"type": "Lowercase"}
    return (
        splitter.get("type") == "ByteLevel"
        and splitter["use_regex"]
        and splitter["add_prefix_space"]
        and normalizer["type"] == "Lowercase"
        and all(token["special"] for token in parts["added_tokens"])
    )


def _key(content: bytes, tokenizer: Tokenizer, *numbers: int) -> str:
    digest = hashlib.sha256(content)
    digest.update(tokenizer.to_str().encode())
    digest.update(cleaning_version().encode())
    digest.update(repr((_FORMAT, numbers)).encode())
    return digest.hexdigest()


def _read_cache(path: Path, key: str, vocab_size: int) -> QuerySet | None:
    try:
        with path.open("rb") as handle, np.load(handle) as arrays:
            if str(arrays["key"]) != key:
                return None
            counts = {name: int(arrays[name]) for name in _COUNTS}
            trie = Trie(**{name: arrays[name] for name in _ARRAYS})
            if not trie.is_sound(vocab_size):
                return None
            return QuerySet(trie, QuerySetReport(**counts, from_cache=True, cache_error=None))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # absent, or damaged: it is made again


def _write_cache(path: Path, key: str, trie: Trie, counts: dict[str, int]) -> str | None:
    """Keep the trie, and return why not where that fails: a folder may be read-only, and needs no cache to serve."""
    unfinished = path.with_name(path.name.replace(".npz", ".partial.npz"))
    arrays = {name: getattr(trie, name) for name in _ARRAYS} | {name: np.array(count) for name, count in counts.items()}
    try:
        np.savez(unfinished, key=np.array(key), **arrays)
        unfinished.replace(path)
    except OSError as error:
        return error.strerror or str(error)
    return None
