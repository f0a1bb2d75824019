"""Text fields as bytes, as FORMAT.md has them: UTF-8, JSON for what has parts, decimal digits for times."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evidence.schema import RawText
from feature_store.errors import CodecError

TEXT_NAMES = ("caption", "photo_title", "title", "item_title")
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


def _load_json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise CodecError(f"it is not JSON ({type(error).__name__})") from None


def encode_text(raw: RawText) -> bytes:
    """Return the `text` field: a JSON object of the four text fields, null where missing. Raises CodecError."""
    values = (raw.caption, raw.photo_title, raw.title, raw.item_title)
    members = [
        f'"{name}":{"null" if value is None else _quote(value)}' for name, value in zip(TEXT_NAMES, values, strict=True)
    ]
    return _to_bytes(f"{{{','.join(members)}}}")


def decode_text(data: bytes) -> RawText:
    """Return the four text fields; unknown members are ignored. Raises CodecError."""
    if not data:
        return RawText()
    loaded = _load_json(data)
    if not isinstance(loaded, dict):
        raise CodecError("it is not a JSON object")
    values = {name: loaded.get(name) for name in TEXT_NAMES}
    for name, value in values.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise CodecError(f"{name} is not a string")
        _require_valid(value)
    return RawText(**values)


def encode_strings(strings: Sequence[str]) -> bytes:
    """Return a JSON list of strings. Raises CodecError."""
    return _to_bytes(f"[{','.join(map(_quote, strings))}]")


def decode_strings(data: bytes) -> tuple[str, ...]:
    """Return the strings of a JSON list; empty bytes are an empty list. Raises CodecError."""
    if not data:
        return ()
    loaded = _load_json(data)
    if not isinstance(loaded, list):
        raise CodecError("it is not a JSON list")
    for entry in loaded:
        if not isinstance(entry, str):
            raise CodecError("it is a list of other things than strings")
        _require_valid(entry)
    return tuple(loaded)


def encode_string(text: str) -> bytes:
    """Return plain UTF-8. Raises CodecError."""
    return _to_bytes(text)


def decode_string(data: bytes) -> str:
    """Return the text of plain UTF-8. Raises CodecError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CodecError("it is not UTF-8") from None


def encode_member(query: str) -> bytes:
    """Return a shown query as UTF-8. What is no valid Unicode becomes "?": nothing is worth failing for here."""
    return query.encode("utf-8", "replace")


def encode_time(milliseconds: int) -> bytes:
    """Return unix milliseconds as decimal digits."""
    return b"%d" % milliseconds


def decode_time(data: bytes) -> int:
    """Return unix milliseconds. Raises CodecError."""
    if not data.isdigit() or len(data) > _MAX_TIME_DIGITS:
        raise CodecError("it is not a time in unix milliseconds")
    return int(data)
