"""Text fields: what is written is read back, and bytes that no writer wrote raise CodecError and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.schema import RawText
from feature_store import codec
from feature_store.errors import CodecError

texts = st.text(st.characters(exclude_categories=["Cs"]))
raw_texts = st.builds(RawText, *[st.none() | texts] * 4)


@given(raw_texts)
def test_text_is_read_back(raw: RawText) -> None:
    assert codec.decode_text(codec.encode_text(raw)) == raw


@given(st.lists(texts))
def test_strings_are_read_back(strings: list[str]) -> None:
    assert codec.decode_strings(codec.encode_strings(strings)) == tuple(strings)


@given(texts)
def test_a_string_is_read_back(text: str) -> None:
    assert codec.decode_string(codec.encode_string(text)) == text


@given(st.integers(0, 10**15 - 1))
def test_a_time_is_read_back(milliseconds: int) -> None:
    assert codec.decode_time(codec.encode_time(milliseconds)) == milliseconds


def test_the_bytes_are_those_of_the_format() -> None:
    expected = '{"caption":"红 shoes","photo_title":null,"title":null,"item_title":"x"}'.encode()
    assert codec.encode_text(RawText("红 shoes", None, None, "x")) == expected
    assert codec.encode_strings(["a", "手机"]) == '["a","手机"]'.encode()
    assert codec.encode_time(1_700_000_000_000) == b"1700000000000"


def test_what_another_writer_may_do_is_read() -> None:
    """Members in another order, or missing, or unknown; spaces; escapes; empty bytes for nothing."""
    assert codec.decode_text(b'{ "title" : "\\u7ea2", "lang": "zh" }') == RawText(title="红")
    assert codec.decode_text(b"") == RawText()
    assert codec.decode_strings(b"") == ()


@pytest.mark.parametrize("decode", [codec.decode_text, codec.decode_strings, codec.decode_string, codec.decode_time])
@given(data=st.binary())
def test_arbitrary_bytes_raise_nothing_but_codec_error(decode: Callable[[bytes], object], data: bytes) -> None:
    with suppress(CodecError):
        decode(data)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (codec.decode_text, b"[]"),
        (codec.decode_text, b'{"caption": 1}'),
        (codec.decode_text, b'{"caption": "\\ud800"}'),
        (codec.decode_text, b"[" * 100_000),
        (codec.decode_strings, b"{}"),
        (codec.decode_strings, b'["a", null]'),
        (codec.decode_strings, b'["\\udfff"]'),
        (codec.decode_strings, b'["\xff"]'),
        (codec.decode_string, b"\xff"),
        (codec.decode_time, b""),
        (codec.decode_time, b"-1"),
        (codec.decode_time, b"9" * 5000),
        (codec.decode_time, "١٢".encode()),
    ],
)
def test_wrong_bytes_are_named_as_such(decode: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(CodecError):
        decode(data)


@pytest.mark.parametrize(
    "encode",
    [
        lambda: codec.encode_text(RawText("\ud800")),
        lambda: codec.encode_strings(["\ud800"]),
        lambda: codec.encode_string("\ud800"),
    ],
)
def test_a_lone_surrogate_is_never_written(encode: Callable[[], bytes]) -> None:
    with pytest.raises(CodecError, match="surrogate"):
        encode()


TOO_LONG = {
    "an endless list": b"[" + b'"",' * (codec.MAX_FIELD_BYTES // 3) + b'""]',
    "a list of many entries": b"[" + b'"",' * 5000 + b'""]',
    "an endless string": b'["' + b"x" * codec.MAX_FIELD_BYTES + b'"]',
    "an endless number": b"[1" + b"0" * codec.MAX_FIELD_BYTES + b"]",
    "deep brackets": b"[" * codec.MAX_FIELD_BYTES,
    "many members": b"{" + b'"a":{},' * (codec.MAX_FIELD_BYTES // 7) + b'"b":{}}',
    "no JSON at all": b"x" * (codec.MAX_FIELD_BYTES + 1),
}


@pytest.mark.parametrize("decode", [codec.decode_text, codec.decode_strings], ids=["text", "strings"])
@pytest.mark.parametrize("hostile", TOO_LONG)
def test_a_value_that_is_too_long_is_refused_before_it_is_parsed(
    decode: Callable[[bytes], object], hostile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []
    really_loads = json.loads

    def loads(data: bytes) -> object:
        parsed.append(len(data))
        return really_loads(data)

    monkeypatch.setattr(codec.json, "loads", loads)
    with pytest.raises(CodecError):
        decode(TOO_LONG[hostile])
    assert sum(parsed) <= codec.MAX_FIELD_BYTES


def test_more_than_a_model_can_read_is_cut() -> None:
    assert codec.decode_strings(json.dumps(["q" * 400] * 300).encode()) == ("q" * 256,) * 100
    assert codec.decode_text(json.dumps({"caption": "视" * 9000}).encode()).caption == "视" * 4096
    assert codec.decode_string("视".encode() * 9000) == "视" * 4096


def test_the_longest_list_that_is_written_is_read() -> None:
    longest = ["\U0001f600" * 256] * 100
    assert codec.decode_strings(codec.encode_strings(longest)) == tuple(longest)


@pytest.mark.parametrize(
    "encode",
    [
        lambda: codec.encode_text(RawText("\x00" * codec.MAX_FIELD_BYTES)),
        lambda: codec.encode_strings(["\x00" * 256] * 100),
    ],
    ids=["text", "strings"],
)
def test_what_could_not_be_read_is_never_written(encode: Callable[[], bytes]) -> None:
    with pytest.raises(CodecError, match="at most 131072 are read"):
        encode()


def test_a_shown_query_has_its_own_limit() -> None:
    assert codec.decode_member(b"x" * 1024) == "x" * 1024
    with pytest.raises(CodecError):
        codec.decode_member(b"x" * 1025)
