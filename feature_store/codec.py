"""Text fields as bytes, as FORMAT.md has them: UTF-8, JSON for what has parts, decimal digits for times."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evidence.rows import TEXT_FIELDS
from evidence.schema import RawText
from feature_store.errors import CodecError

MAX_FIELD_BYTES = 128 * 1024
"""A longer field is unreadable. Decoding happens on the request path, and its cost is bounded by this."""
MAX_TEXT_LENGTH = 4096
"""Characters of a text field that are used; a model reads some dozens of tokens."""
MAX_ENTRIES = 100
"""Entries of a list that are used."""
MAX_QUERY_LENGTH = 256
"""Characters of a list entry that are used."""
MAX_MEMBER_BYTES = 4 * MAX_QUERY_LENGTH
"""A longer shown query is unreadable."""
_MAX_LIST_COMMAS = 4096
_MAX_TIME_DIGITS = 15

_quote = json.JSONEncoder(ensure_ascii=False).encode


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise CodecError("it holds a lone surrogate, which is no valid Unicode") from None


def _require_valid(text: str) -> str:
    # JSON can spell a lone surrogate in ASCII ("\ud800"); no tokenizer downstream takes one.
    if not text.isascii():
        _to_bytes(text)
    return text


def _require_size(data: bytes, limit: int = MAX_FIELD_BYTES) -> None:
    if len(data) > limit:
        raise CodecError(f"it has {len(data)} bytes; at most {limit} are read")


def _load_json(data: bytes) -> object:
    _require_size(data)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise CodecError(f"it is not JSON ({type(error).__name__})") from None


def _bounded(data: bytes) -> bytes:
    _require_size(data)
    return data


def encode_text(raw: RawText) -> bytes:
    """Return the `text` field: a JSON object of the four text fields, null where missing. Raises CodecError."""
    values = ((name, getattr(raw, name)) for name in TEXT_FIELDS)
    members = [f'"{name}":{"null" if value is None else _quote(value)}' for name, value in values]
    return _bounded(_to_bytes(f"{{{','.join(members)}}}"))


def decode_text(data: bytes) -> RawText:
    """Return the four text fields; unknown members are ignored. Raises CodecError."""
    if not data:
        return RawText()
    loaded = _load_json(data)
    if not isinstance(loaded, dict):
        raise CodecError("it is not a JSON object")
    values = {name: loaded.get(name) for name in TEXT_FIELDS}
    for name, value in values.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise CodecError(f"{name} is not a string")
        _require_valid(value)
    return RawText(**{name: value and value[:MAX_TEXT_LENGTH] for name, value in values.items()})


def encode_strings(strings: Sequence[str]) -> bytes:
    """Return a JSON list of strings. Raises CodecError."""
    return _bounded(_to_bytes(f"[{','.join(map(_quote, strings))}]"))


def decode_strings(data: bytes) -> tuple[str, ...]:
    """Return the strings of a JSON list, within the limits above; empty bytes are an empty list. Raises CodecError."""
    if not data:
        return ()
    if data.count(b",") > _MAX_LIST_COMMAS:  # so many entries that parsing them would take milliseconds
        raise CodecError("it is a list of too many entries")
    loaded = _load_json(data)
    if not isinstance(loaded, list):
        raise CodecError("it is not a JSON list")
    for entry in loaded[:MAX_ENTRIES]:
        if not isinstance(entry, str):
            raise CodecError("it is a list of other things than strings")
        _require_valid(entry)
    return tuple(entry[:MAX_QUERY_LENGTH] for entry in loaded[:MAX_ENTRIES])


def encode_string(text: str) -> bytes:
    """Return plain UTF-8. Raises CodecError."""
    return _to_bytes(text)


def decode_string(data: bytes) -> str:
    """Return the text of plain UTF-8, up to `MAX_TEXT_LENGTH` characters. Raises CodecError."""
    _require_size(data)
    return _from_bytes(data)[:MAX_TEXT_LENGTH]


def decode_member(data: bytes) -> str:
    """Return a shown query. Raises CodecError."""
    _require_size(data, MAX_MEMBER_BYTES)
    return _from_bytes(data)


def _from_bytes(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CodecError("it is not UTF-8") from None


def encode_member(query: str) -> bytes:
    """Return a shown query as UTF-8. Invalid Unicode becomes "?", since a shown query must not raise."""
    return query.encode("utf-8", "replace")


def encode_time(milliseconds: int) -> bytes:
    """Return unix milliseconds as decimal digits."""
    return b"%d" % milliseconds


def decode_time(data: bytes) -> int:
    """Return unix milliseconds. Raises CodecError."""
    if not data.isdigit() or len(data) > _MAX_TIME_DIGITS:
        raise CodecError("it is not a time in unix milliseconds")
    return int(data)
