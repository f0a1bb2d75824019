"""Structured logs: one JSON object a line, on standard error, with the ids of the request that is being answered."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from math import isfinite
from typing import Any

MAX_VALUE_CHARACTERS = 2_000
"""Limit of the message, and of each value that is given as ``extra``."""

MAX_TRACEBACK_CHARACTERS = 8_000
MAX_EXTRAS = 32

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
# JSON escapes ASCII control characters. These can still break a line or change how a terminal shows it.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_request_id: ContextVar[str | None] = ContextVar("onebar_request_id", default=None)
_traceparent: ContextVar[str | None] = ContextVar("onebar_traceparent", default=None)


def bound_request_id() -> str | None:
    """Return the id of the request that this task answers, which its log lines carry; None before it has one."""
    return _request_id.get()


def bind_request(*, request_id: str | None = None, traceparent: str | None = None) -> None:
    """Add ids to every log line of the current task from now on. An id that is None stays as it is.

    A task inherits the ids of the task that started it. Ids that it binds are not visible to other tasks.
    """
    if request_id is not None:
        _request_id.set(request_id)
    if traceparent is not None:
        _traceparent.set(traceparent)


class JsonFormatter(logging.Formatter):
    """Writes time, level, logger, message, the ids of the request, the fields of ``extra``, and the traceback.

    Long values are cut, and characters that could forge a line or hide text are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
        }
        for name, variable in (("request_id", _request_id), ("traceparent", _traceparent)):
            if (value := variable.get()) is not None:
                entry[name] = value
        extras = [(key, value) for key, value in vars(record).items() if key not in _STANDARD and key not in entry]
        entry.update((_cut(key), _bounded(value)) for key, value in extras[:MAX_EXTRAS])
        if record.exc_info:
            # The end of a traceback names the error.
            entry["exception"] = self.formatException(record.exc_info)[-MAX_TRACEBACK_CHARACTERS:]
        return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(entry, ensure_ascii=False, default=str))


def configure_logging(level: str) -> None:
    """Send every logger of the process to standard error, from this level up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}… ({len(text)} characters)"


def _bounded(value: Any) -> Any:
    """Return a value whose JSON is short enough unchanged, of others the beginning of their JSON as text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)  # JSON has no infinity
    if isinstance(value, str):
        return _cut(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return json.loads(text) if len(text) <= MAX_VALUE_CHARACTERS else _cut(text)
