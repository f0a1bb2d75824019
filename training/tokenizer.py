"""The tokenizer: byte-level BPE with a vocabulary learnt from the logs. No text is unknown to it.

A small vocabulary makes the decoder cheap, because its output matrix is read at every step. A vocabulary learnt from
the logs still encodes brands, models and prices in few tokens. Every word has a space in front, so a word has the same
token in the middle of a caption and at the start of a query. Runs of digits are separate words ("675NK" is 675 + NK): a
frequent price is one token, a rare one a few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from evidence.cleaning import clean_query, clean_text, strip_summary_prefix
from evidence.errors import RenderError
from evidence.rows import TEXT_FIELDS
from evidence.tokens import SPECIAL_TOKENS
from evidence.tokens import special_token_ids as find_special_tokens
from training.errors import DataError
from training.log_tables import read_log_table

VOCABULARY_SIZE = 8192


def train_tokenizer(texts: Iterable[str], vocabulary_size: int = VOCABULARY_SIZE, lowercase: bool = True) -> Tokenizer:
    """Learn the merges from `texts`. The same texts give the same tokenizer, byte for byte."""
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS.values()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return tokenizer


def special_token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the ids of the special tokens by name (evidence.tokens).

    Raises:
        DataError: the tokenizer lacks one of them.
    """
    try:
        return find_special_tokens(tokenizer)
    except RenderError as error:
        raise DataError(str(error)) from error


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Read tokenizer.json.

    Raises:
        DataError: it is missing or unreadable.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} is missing; make it with `onebar train tokenizer LOGS {path}`")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise DataError(f"{path} is not a tokenizer.json: {error}") from error


def log_texts(logs: Path | str) -> Iterator[str]:
    """Yield the cleaned texts of the training days: the fields of every video, and every logged query.

    The last two days (validation and test) are left out, so that their new words stay new. A query is yielded once for
    each time that it was searched or shown, up to a limit, so that merges follow what users type.

    Raises:
        DataError: a table is missing.
    """
    days = read_log_table(logs, "impressions", ["day"]).column("day")
    last_train_day = max(days.to_pylist(), default=0) - 2
    videos = read_log_table(logs, "videos", ["created_day", *TEXT_FIELDS, "summary"])
    for row in videos.to_pylist():
        if row["created_day"] > last_train_day:
            continue
        for column in TEXT_FIELDS:
            if text := clean_text(row[column]):
                yield text
        if summary := strip_summary_prefix(row["summary"]):
            yield summary
    counts: dict[str, int] = {}
    for table in ("searches", "exposures"):
        for row in (
            pa.TableGroupBy(read_log_table(logs, table, ["day", "query"]), ["day", "query"])
            .aggregate([([], "count_all")])
            .to_pylist()
        ):
            if row["day"] <= last_train_day:
                counts[row["query"]] = counts.get(row["query"], 0) + row["count_all"]
    for query in sorted(counts):
        if cleaned := clean_query(query):
            for _ in range(min(counts[query], 20)):
                yield cleaned


def shared_texts(shops: Sequence[Path | str]) -> Iterator[str]:
    """Yield the texts of several shops, without the words that fewer than a third of the shops have.

    Such words are mostly names: brands of one shop. A model that has a token for each of them learns them by heart, and
    a brand that it meets later would be a token that training never touched. Names are then spelt with pieces of
    ordinary words. With one or two shops every word is kept.

    Args:
        shops: folders of log tables.

    Raises:
        DataError: see `log_texts`.
    """
    needed = len(shops) / 3
    found_in = Counter(word for shop in shops for word in {w for text in log_texts(shop) for w in text.lower().split()})
    for shop in shops:
        for text in log_texts(shop):
            yield " ".join(word for word in text.split() if found_in[word.lower()] >= needed)
