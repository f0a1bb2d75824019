"""Lines of the event log in, Parquet files of three kinds of rows out: answers, offered queries, feedback.

A line becomes rows only if every field that is used has the form that the service writes. The rows of one line carry
its `digest`: the log may have a line twice, and a request id may have two different answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offline.logs.schema import MAX_ID_CHARACTERS, MAX_TEXT_CHARACTERS, MILLISECONDS_PER_DAY, TABLES

ANSWERS, OFFERS, FEEDBACK = "answers", "offers", "feedback"
KINDS = ("click", "engagement", "order")

_TEXT, _WHOLE = pa.string(), pa.int64()
SCHEMAS: Mapping[str, pa.Schema] = {
    ANSWERS: pa.schema(
        {"request_id": _TEXT, "digest": _WHOLE, "time_ms": _WHOLE, "day": _WHOLE, "user_id": _TEXT, "photo_id": _TEXT}
    ),
    OFFERS: pa.schema({"request_id": _TEXT, "digest": _WHOLE, "position": _WHOLE, "query": _TEXT, "policy": _TEXT}),
    FEEDBACK: pa.schema(
        {
            "request_id": _TEXT, "digest": _WHOLE, "time_ms": _WHOLE, "event": _TEXT, "event_id": _TEXT, "rank": _WHOLE,
            "query": _TEXT, "happened_ms": _WHOLE, "order_value": pa.float64(), "key_id": _TEXT,
        }
    ),
}  # fmt: skip

_NOT_EXPOSED_ONLY_FOR_ROOM = frozenset({"over_num_queries", "recently_shown"})
"""Rules that drop a query which could have been shown. Other rules drop queries that must not be shown at all."""

_BATCH_ROWS = 20_000
_FIRST_MS, _LAST_MS = TABLES["impressions"].ranges["ts"]
_MOST_ORDER_VALUE = TABLES["exposures"].ranges["order_value"][1]
_MOST_POSITIONS = TABLES["exposures"].ranges["position"][1]


@dataclass(slots=True)
class LineCounts:
    """What the lines were.

    Attributes:
        answers: events of answers, with those that come twice.
        feedback: events of feedback, the same.
        blank: blank lines; an erased event leaves one.
        unreadable: lines that are no event of the service.
        first_ms: time of the earliest event; None without events.
        last_ms: time of the latest event; None without events.
    """

    answers: int = 0
    feedback: int = 0
    blank: int = 0
    unreadable: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def saw(self, time_ms: int) -> None:
        """Note the time of an event."""
        self.first_ms = time_ms if self.first_ms is None else min(self.first_ms, time_ms)
        self.last_ms = time_ms if self.last_ms is None else max(self.last_ms, time_ms)


class NotAnEvent(ValueError):
    """A line is no event of the service."""


@dataclass(slots=True)
class _Writer:
    """Rows of one kind, written to a Parquet file in batches."""

    schema: pa.Schema
    file: pq.ParquetWriter
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if len(self.rows) >= _BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        self.file.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows.clear()


def stage(lines: Iterable[bytes], folder: Path, day_zero: int, day: int | None) -> LineCounts:
    """Write the rows of an event log to `answers.parquet`, `offers.parquet` and `feedback.parquet`.

    Args:
        lines: of the log.
        folder: for the files; it exists.
        day_zero: days from 1970 to log day 0.
        day: offered queries of this log day only; of all days when None.

    Returns:
        Counts of the lines.
    """
    counts = LineCounts()
    writers = {
        name: _Writer(schema, pq.ParquetWriter(folder / f"{name}.parquet", schema)) for name, schema in SCHEMAS.items()
    }
    try:
        for line in lines:
            if not line.strip():
                counts.blank += 1
                continue
            try:
                _stage_line(line, writers, counts, day_zero, day)
            except NotAnEvent:
                counts.unreadable += 1
        for writer in writers.values():
            writer.flush()
    finally:
        for writer in writers.values():
            writer.file.close()
    return counts


def _stage_line(
    line: bytes, writers: Mapping[str, _Writer], counts: LineCounts, day_zero: int, day: int | None
) -> None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise NotAnEvent from None
    if not isinstance(event, dict):
        raise NotAnEvent
    digest = int.from_bytes(hashlib.blake2b(line, digest_size=8).digest(), "big", signed=True)
    if event.get("kind", "answer") == "answer":
        answer, offers = _answer_rows(event, digest, day_zero)
        writers[ANSWERS].add(answer)
        if day is None or answer["day"] == day:
            for offer in offers:
                writers[OFFERS].add(offer)
        counts.answers += 1
    elif event["kind"] == "feedback":
        writers[FEEDBACK].add(_feedback_row(event, digest))
        counts.feedback += 1
    else:
        raise NotAnEvent
    counts.saw(event["time_ms"])


def _answer_rows(event: Mapping[str, Any], digest: int, day_zero: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    request_id, time_ms = _id(event, "request_id"), _time(event, "time_ms")
    viewer = event.get("user_id")
    answer = {
        "request_id": request_id,
        "digest": digest,
        "time_ms": time_ms,
        "day": time_ms // MILLISECONDS_PER_DAY - day_zero,
        "user_id": None if viewer is None else _id(event, "user_id"),
        "photo_id": _id(event, "photo_id"),
    }
    model, hypotheses = event.get("model_version"), event.get("hypotheses")
    if not isinstance(model, str) or not isinstance(hypotheses, list):
        raise NotAnEvent
    offers, shown = [], 0
    for item in hypotheses:
        if not isinstance(item, dict):
            raise NotAnEvent
        is_shown, rule = item.get("verdict") == "shown", item.get("rule")
        if not is_shown and rule not in _NOT_EXPOSED_ONLY_FOR_ROOM:
            continue
        shown += is_shown
        offers.append(
            {
                "request_id": request_id,
                "digest": digest,
                "position": shown if is_shown else 0,
                "query": _query(item.get("query")),
                "policy": "pinned" if rule == "pinned" else f"onebar:{model[:64]}",
            }
        )
    if shown > _MOST_POSITIONS:
        raise NotAnEvent
    return answer, offers


def _feedback_row(event: Mapping[str, Any], digest: int) -> dict[str, Any]:
    rank, query, value = event.get("rank"), event.get("query"), event.get("order_value")
    if event.get("event") not in KINDS or (rank is None and query is None):
        raise NotAnEvent
    if value is not None and not (type(value) in (int, float) and 0 <= value <= _MOST_ORDER_VALUE):
        raise NotAnEvent
    return {
        "request_id": _id(event, "request_id"),
        "digest": digest,
        "time_ms": _time(event, "time_ms"),
        "event": event["event"],
        "event_id": "" if event.get("event_id") is None else _id(event, "event_id"),
        "rank": None if rank is None else _whole(rank),
        "query": None if query is None else _query(query),
        "happened_ms": _whole(event.get("happened_ms")),
        "order_value": 0.0 if value is None else float(value),
        "key_id": None if event.get("key_id") is None else _id(event, "key_id"),
    }


def _id(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARACTERS or not _is_unicode(value):
        raise NotAnEvent
    return value


def _query(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT_CHARACTERS or not _is_unicode(value):
        raise NotAnEvent
    return value


def _is_unicode(text: str) -> bool:
    """Return whether UTF-8 can hold the text; JSON can write lone surrogates."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _time(event: Mapping[str, Any], name: str) -> int:
    value = _whole(event.get(name))
    if not _FIRST_MS <= value <= _LAST_MS:
        raise NotAnEvent
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise NotAnEvent
    return value
