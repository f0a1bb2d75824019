"""The domain's own tokenizer: byte-level BPE, so that no text is unknown, with a vocabulary made for the shop.

A small vocabulary is what makes the decoder cheap (its output matrix is streamed at every step), and a vocabulary
learnt from the shop keeps brands, models and prices short all the same. Words carry a space in front wherever they
stand, so a word that is copied from the middle of a caption to the start of a query is the same token. Runs of digits
are words of their own ("675NK" is 675 + NK): a price that is seen often becomes one token, a rare one a few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from evidence.cleaning import clean_query, clean_text, strip_summary_prefix
from training.errors import DataError

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "[SEP]", "[REJECT]")
"""In the order of their ids, 0 to 6."""

SPECIAL_NAMES = ("bos", "pad", "eos", "unk", "mask", "sep", "reject")
"""What each special token is called in onebar.json and in a bundle's manifest."""

VOCABULARY_SIZE = 8192

_TEXT_COLUMNS = ("caption", "photo_title", "title", "item_title")


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
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return tokenizer


def special_token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Return {bos, pad, eos, unk, mask, sep, reject} -> id. Raises DataError when one is missing."""
    ids: dict[str, int] = {}
    for name, token in zip(SPECIAL_NAMES, SPECIAL_TOKENS, strict=True):
        token_id = tokenizer.token_to_id(token)
        if token_id is None:
            raise DataError(f"the tokenizer has no {token}; train one with `onebar train tokenizer`")
        ids[name] = token_id
    return ids


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Read tokenizer.json. Raises DataError when it is missing or unreadable."""
    if not Path(path).is_file():
        raise DataError(f"{path} is missing; make it with `onebar train tokenizer WORLD_DIR {path}`")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise DataError(f"{path} is no tokenizer.json: {error}") from error


def world_texts(world: Path | str) -> Iterator[str]:
    """Yield the cleaned texts of the training days: fields of every video, and every logged query.

    The last two days (validation and test) are left out, so that a held-out day's new words stay new. A query comes
    once for each time it was searched or shown, up to a cap, so that merges follow what people type.

    Raises:
        DataError: a table is missing.
    """
    days = _read(world, "impressions", ["day"]).column("day")
    last_train_day = max(days.to_pylist(), default=0) - 2
    videos = _read(world, "videos", ["created_day", *_TEXT_COLUMNS, "summary"])
    for row in videos.to_pylist():
        if row["created_day"] > last_train_day:
            continue
        for column in _TEXT_COLUMNS:
            if text := clean_text(row[column]):
                yield text
        if summary := strip_summary_prefix(row["summary"]):
            yield summary
    counts: dict[str, int] = {}
    for table in ("searches", "exposures"):
        for row in (
            pa.TableGroupBy(_read(world, table, ["day", "query"]), ["day", "query"])
            .aggregate([([], "count_all")])
            .to_pylist()
        ):
            if row["day"] <= last_train_day:
                counts[row["query"]] = counts.get(row["query"], 0) + row["count_all"]
    for query in sorted(counts):
        if cleaned := clean_query(query):
            for _ in range(min(counts[query], 20)):
                yield cleaned


def _read(world: Path | str, name: str, columns: list[str]) -> Any:
    path = Path(world) / f"{name}.parquet"
    if not path.is_file():
        raise DataError(
            f"{path} is missing; make a world with `onebar world OUT`, or bring logs as docs/data_formats.md says"
        )
    return pq.read_table(path, columns=columns)
