"""Bodies of requests, valid and broken in every way that the fuzz knows."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.hostile import families, grown

LIMITS = {"caption": 4096, "photo_title": 1024, "title": 1024, "item_title": 1024, "summary": 8192}
QUERY_CHARACTERS = 256
LIST_ITEMS = 64
ID_CHARACTERS = 128
BODY_BYTES = 64 * 1024
BATCH_BYTES = 256 * 1024

FAMILIES = tuple(families().values())
EXTREMES = (
    "\u202etxt.exe\u202c", "\u2066a\u2069", "\ufb03\ufdfa", "e" + "\u0301" * 40, "\u0f73\u0f75", "👩\u200d👩\u200d👧",
    "🏳\ufe0f\u200d🌈", "\u3164\u115f\uffa0", "\U0001f1e9\U0001f1ea", "\u0000", "\x1b[31m", "\x7f\x9f", "\ufeff",
    "\u2028\u2029", "\ud800", "\udfff\ud800", "\U0010ffff", "\u1112\u1161\u11ab", "İıſK", "[SEP]", "[REJECT]", "</s>",
    "' OR 1=1 --", "${jndi:ldap://a}", "../../etc/passwd", "%00%0d%0a", "\r\nx-injected: 1", "",
)  # fmt: skip
RAW_VALUES = (
    "NaN", "Infinity", "-Infinity", "-0", "1e309", "-1e400", "1e-400", "1" * 400, "-" + "9" * 5000, "0." + "1" * 5000,
    "1e999999999", "0x10", "01", "+1", ".5", "1.", "tru", "null", "true", "false", "[]", "{}", "'a'", "\"\\u12\"",
    '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\t"', '"unfinished', "[" * 60, "[" * 20_000 + "]" * 20_000,
    '{"a":' * 5_000 + "1" + "}" * 5_000, "[1,]", '{"a":1,}', "/* */ 1", "9007199254740993", "25", "3.0", "1e2",
)  # fmt: skip
_MARK = "@raw-value@"


class Bodies:
    """Draws bodies over the videos and viewers of some evidence."""

    def __init__(self, photo_ids: Sequence[str], user_ids: Sequence[str]) -> None:
        """Take the identifiers that the store knows."""
        self._photo_ids = photo_ids
        self._user_ids = user_ids

    def document(self, draw: random.Random) -> dict[str, Any]:
        """Return a valid document of /recommend."""
        document: dict[str, Any] = {"photo_id": draw.choice(self._photo_ids)}
        if draw.random() < 0.6:
            document["user_id"] = draw.choice(self._user_ids)
        if draw.random() < 0.3:
            document["num_queries"] = draw.randint(1, 8)
        if draw.random() < 0.3:
            document["deadline_ms"] = draw.choice((1, 5, 12.5, 25, 60, 200, 3.0))
        if draw.random() < 0.15:
            document["request_id"] = f"fuzz-{draw.getrandbits(32):x}"
        if draw.random() < 0.1:
            document["explain"] = draw.random() < 0.7
        if draw.random() < 0.35:
            document["evidence"] = self._evidence(draw)
        if draw.random() < 0.15:
            document["recent_queries"] = [text(draw, QUERY_CHARACTERS) for _ in range(draw.randint(0, 5))]
        return document

    def valid(self, draw: random.Random) -> bytes:
        """Return a valid body of /recommend."""
        return encoded(self.document(draw))

    def mutated(self, draw: random.Random) -> bytes:
        """Return a body whose structure was changed in one to three places."""
        document: Any = self.document(draw)
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            document = _changed(draw, document)
        return _with_raw_values(draw, document)

    def broken(self, draw: random.Random) -> bytes:
        """Return a body with bytes changed, missing, repeated or added."""
        data = bytearray(self.valid(draw) if draw.random() < 0.7 else self.mutated(draw))
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(data) + 1)
            match draw.randrange(6):
                case 0:
                    del data[at : at + draw.randint(1, 20)]
                case 1:
                    data[at:at] = draw.randbytes(draw.randint(1, 20))
                case 2 if at < len(data):
                    data[at] ^= 1 << draw.randrange(8)
                case 3:
                    del data[at:]
                case 4:
                    data[at:at] = data[: draw.randint(1, 200)]
                case _:
                    data[at:at] = draw.choice(
                        (
                            b"\xff",
                            b"\xc0\x80",
                            b"\xed\xa0\x80",
                            b"\xf4\x90\x80\x80",
                            b"\x00",
                            b'"',
                            b"\\",
                            b"{",
                            b"\xe2",
                        )
                    )
        return bytes(data)

    def foreign(self, draw: random.Random) -> tuple[bytes, bytes]:
        """Return a body that is no JSON in UTF-8, and header lines that may say what it is."""
        body = self.valid(draw)
        kinds: tuple[tuple[bytes, bytes], ...] = (
            (gzip.compress(body, mtime=0), b"content-encoding: gzip\r\n"),
            (zlib.compress(body), b"content-encoding: deflate\r\n"),
            (gzip.compress(b"[" * 10_000_000, 9, mtime=0), b"content-encoding: gzip\r\n") if draw.random() < 0.02
            else (b"", b""),
            (body.decode().encode("utf-16"), b""),
            (body.decode().encode("utf-32"), b""),
            (b"\xef\xbb\xbf" + body, b""),
            (b'{"photo_id":"p","evidence":{"caption":"caf\xe9"}}', b""),
            (b" \t\r\n" * draw.randint(1, 2000), b""),
            (b"photo_id=p1&user_id=u1", b"content-type: application/x-www-form-urlencoded\r\n"),
            (b"<request><photo_id>p1</photo_id></request>", b"content-type: text/xml\r\n"),
            (body, b"content-type: application/json; charset=utf-16\r\n"),
            (body, b"content-type: \xff\xfe\r\n"),
            (draw.randbytes(draw.randint(1, 4096)), b""),
            (b'"a string"', b""), (b"null", b""), (b"-", b""), (b"[]", b""), (b"{}" * 1000, b""), (body * 2, b""),
        )  # fmt: skip
        return draw.choice(kinds)

    def batch(self, draw: random.Random) -> bytes:
        """Return a batch: mostly valid, with items that are not, or of a wrong shape."""
        makers: tuple[Callable[[random.Random], bytes], ...] = (self.valid, self.valid, self.valid, self.mutated)
        items = [draw.choice(makers)(draw) for _ in range(draw.choice((1, 2, 3, 4, 8, 16, 16, 17, 0)))]
        match draw.randrange(12):
            case 0:
                items = [expensive_body(draw.choice(FAMILIES))] * 4
            case 1:
                items = [draw.choice((b"1", b"null", b"[]", b'"a"', b"{}")) for _ in items]
            case 2:
                return b'{"requests":' + draw.choice((b"{}", b"1", b"null", b"[[]]")) + b"}"
            case 3:
                return b'{"requests":[' + b"0," * 100_000 + b"0]}"
            case _:
                pass
        return b'{"requests":[' + b",".join(items) + b"]}"

    def _evidence(self, draw: random.Random) -> dict[str, Any]:
        evidence: dict[str, Any] = {name: text(draw, limit) for name, limit in LIMITS.items() if draw.random() < 0.4}
        for name in ("anchors", "histories"):
            if draw.random() < 0.3:
                evidence[name] = [text(draw, QUERY_CHARACTERS) for _ in range(draw.randint(0, 6))]
        return evidence


def expensive_body(unit: str) -> bytes:
    """Return a valid body with every field full of the unit of a hostile family, as far as the limit of a body lets."""
    evidence: dict[str, Any] = {name: usable(grown(unit, limit)) for name, limit in LIMITS.items()}
    for name in ("anchors", "histories"):
        evidence[name] = [usable(grown(unit, QUERY_CHARACTERS)) for _ in range(LIST_ITEMS)]
    document = {"photo_id": "hostile", "evidence": evidence}
    while len(body := encoded(document)) > BODY_BYTES:
        name = max(evidence, key=lambda name: len(encoded(evidence[name])))
        evidence[name] = evidence[name][: len(evidence[name]) // 2]
    return body


def encoded(document: Any) -> bytes:
    """Return JSON in UTF-8; lone surrogates stay escaped."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()


def usable(value: str) -> str:
    """Return a text without the characters that the contract refuses."""
    kept = "".join(c for c in value if c >= " " and not "\x7f" <= c <= "\x9f" and not "\ud800" <= c <= "\udfff")
    return kept or "a"


def text(draw: random.Random, limit: int) -> str:
    """Return a text that is usable, of any length up to a limit, ordinary or extreme."""
    unit = draw.choice(("red running shoes ", "CFMOTO 675NK, first ride! ", "复古相机 开箱 ", *EXTREMES))
    if draw.random() < 0.3:
        unit = draw.choice(FAMILIES)
    length = draw.choice((1, 8, 30, 30, 100, limit - 1, limit))
    return usable(grown(unit or "a", min(limit, length)))


def _changed(draw: random.Random, document: Any) -> Any:
    """Change one place of a document."""
    if not isinstance(document, dict):
        return document
    parent: Any = document
    if isinstance(document.get("evidence"), dict) and draw.random() < 0.4:
        parent = document["evidence"]
    name = draw.choice(
        (*parent, *LIMITS, "photo_id", "deadline_ms", "num_queries", "recent_queries", "explain", "user_id")
    )
    match draw.randrange(9):
        case 0:
            parent.pop(name, None)
        case 1:
            parent[name] = _MARK
        case 2:
            document[draw.choice(("deadline_ms", "num_queries", "explain", "request_id"))] = _MARK
        case 3:
            parent[name] = draw.choice((None, True, 0, -1, 2**63, 2**64, 1e308, [], {}, [[]], [None], {"a": 1}, 0.1))
        case 4:
            parent[draw.choice(("photoid", "captions", "a" * 5000, "\ud800", "a.b[0]", "\x00", "__proto__"))] = 1
        case 5:
            limit = draw.choice((ID_CHARACTERS, QUERY_CHARACTERS, *LIMITS.values()))
            parent[name] = grown(draw.choice((*EXTREMES, "a", "中")) or "a", limit + draw.choice((-1, 0, 1, 10_000)))
        case 6:
            count = draw.choice((LIST_ITEMS, LIST_ITEMS + 1, 5000))
            parent[name] = [draw.choice(("a", "", 1, None, [], "中" * 300))] * count
        case 7:
            parent[name] = draw.choice(EXTREMES)
        case _:
            return draw.choice(
                ([document], {"requests": [document]}, {**document, **dict.fromkeys(map(str, range(3000)))})
            )
    return document


def _with_raw_values(draw: random.Random, document: Any) -> bytes:
    """Encode a document with values that no JSON library writes, and now and then a name twice."""
    data = encoded(document)
    mark = f'"{_MARK}"'.encode()
    while mark in data:
        data = data.replace(mark, draw.choice(RAW_VALUES).encode(), 1)
    if draw.random() < 0.1 and data.startswith(b"{"):
        again = draw.choice((b'"photo_id":"p1"', b'"evidence":{}', b'"deadline_ms":1', b'"explain":1'))
        data = b"{" + again + b"," + data[1:]
    return data
