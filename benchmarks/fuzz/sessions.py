"""What one connection sends: requests in pieces with pauses, and what may be expected of the answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.fuzz.bodies import FAMILIES, Bodies, encoded, expensive_body
from benchmarks.fuzz.heads import FAULTY_ENDS, METHODS, NOT_HTTP, ODD_HEADERS, TARGETS, VERSIONS

Ending = Literal["read", "read_slowly", "half_close", "reset"]


@dataclass(frozen=True, slots=True)
class Session:
    """What is sent on one connection.

    Attributes:
        kind: of the fuzz, for the report.
        pieces: what is sent, each with the seconds to wait after it.
        requests: how many requests it counts for.
        answers: how many complete responses must come; 1 where the requests are not well formed.
        ending: what the client does after the last piece: read the answers, read them slowly, close its sending side,
            or reset the connection. With the last two no answer is needed.
        no_body: the response to this request has no body, whatever its content-length (HEAD).
    """

    kind: str
    pieces: tuple[tuple[bytes, float], ...]
    requests: int = 1
    answers: int = 1
    ending: Ending = "read"
    no_body: bool = False


class Sessions:
    """Draws sessions. Each is determined by the seed and its number."""

    def __init__(self, bodies: Bodies, keys: tuple[str, ...], seed: int) -> None:
        """Send some requests with each of the keys, some without one, and some with a key that is not valid."""
        self._bodies = bodies
        self._keys = keys
        self._seed = seed
        kinds: dict[Callable[[random.Random], Session], float] = {
            self.ordinary: 8,
            self.structure: 30,
            self.broken: 14,
            self.foreign: 5,
            self.expensive: 2,
            self.batch: 5,
            self.headers: 14,
            self.targets: 8,
            self.chunked: 8,
            self.framing: 6,
            self.pipelined: 4,
            self.kept_alive: 4,
            self.slow: 1.2,
            self.leaving: 4,
            self.slow_reader: 0.15,
            self.garbage: 1,
        }
        self._kinds, self._weights = tuple(kinds), tuple(kinds.values())

    def session(self, number: int) -> Session:
        """Return the session of a number."""
        draw = random.Random(f"{self._seed}-{number}")
        return draw.choices(self._kinds, self._weights)[0](draw)

    def ordinary(self, draw: random.Random) -> Session:
        """Return a valid request."""
        return self._one(draw, "ordinary", self._bodies.valid(draw))

    def structure(self, draw: random.Random) -> Session:
        """Return JSON of a wrong structure."""
        return self._one(draw, "structure", self._bodies.mutated(draw))

    def broken(self, draw: random.Random) -> Session:
        """Return a body of broken bytes."""
        return self._one(draw, "bytes", self._bodies.broken(draw))

    def foreign(self, draw: random.Random) -> Session:
        """Return a body that is not JSON."""
        body, lines = self._bodies.foreign(draw)
        return self._one(draw, "not JSON", body, lines)

    def expensive(self, draw: random.Random) -> Session:
        """Return a body that costs as much as it can."""
        return self._one(draw, "expensive", expensive_body(draw.choice(FAMILIES)))

    def batch(self, draw: random.Random) -> Session:
        """Return a batch of valid and faulty items."""
        return self._one(draw, "batch", self._bodies.batch(draw), target=b"/recommend/batch")

    def headers(self, draw: random.Random) -> Session:
        """Return a valid body under odd headers."""
        lines = b"".join(draw.choice(ODD_HEADERS) for _ in range(draw.choice((1, 1, 2, 3))))
        return self._loose(
            draw, "headers", self._request(draw, self._bodies.valid(draw), lines, first=draw.random() < 0.5)
        )

    def targets(self, draw: random.Random) -> Session:
        """Return an odd method, target or version."""
        method = draw.choice(METHODS)
        start = b"%s %s %s" % (method, draw.choice(TARGETS), draw.choice(VERSIONS))
        body = self._bodies.valid(draw) if draw.random() < 0.5 else b""
        lines = draw.choice(ODD_HEADERS) if draw.random() < 0.2 else b""
        sent = (
            start + b"\r\n" + self._head(draw, lines=lines) + lines + b"content-length: %d\r\n\r\n" % len(body) + body
        )
        return Session("targets", ((sent, 0.0),), no_body=method == b"HEAD")

    def chunked(self, draw: random.Random) -> Session:
        """Return a chunked body, whole or faulty."""
        body = self._bodies.valid(draw) if draw.random() < 0.7 else self._bodies.mutated(draw)
        pieces = [self._start(draw) + b"transfer-encoding: chunked\r\n\r\n"]
        size = draw.choice((1, 2, 7, 100, 1000, 70_000))
        size = max(size, len(body) // 300)
        extension = draw.choice((b"", b"", b"", b";a=b", b';a="\xff"', b";" + b"a" * 5000, b"  "))
        faulty = draw.random() < 0.4
        for start in range(0, len(body), size):
            data = body[start : start + size]
            pieces.append(b"%x%s\r\n%s\r\n" % (len(data), extension, data))
        last = draw.choice(
            (
                b"0\r\n\r\n",
                b"0\r\n\r\n",
                b"0\r\nx: 1\r\n\r\n",
                b"000000\r\n\r\n",
                b"0\r\n" + b"x: 1\r\n" * 300 + b"\r\n",
            )
        )
        if faulty:
            last = draw.choice(FAULTY_ENDS)
        sent = b"".join([*pieces, last])
        if draw.random() < 0.3:
            cut = draw.randrange(len(sent))
            return Session("chunked", ((sent[:cut], draw.uniform(0, 0.05)), (sent[cut:], 0.0)))
        return Session("chunked", ((sent, 0.0),))

    def framing(self, draw: random.Random) -> Session:
        """Return a body whose length and content disagree."""
        body = self._bodies.valid(draw)
        wrong = draw.choice((0, 1, len(body) - 1, len(body) + 1, len(body) + 500, 65_536, 65_537, 10**7, 10**18))
        lines = b"content-length: %d\r\n" % wrong
        smuggled = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
        match draw.randrange(6):
            case 0:
                lines += b"transfer-encoding: chunked\r\n"
                body = b"0\r\n\r\n" + smuggled
            case 1:
                lines += b"content-length: %d\r\n" % len(body)
            case 2:
                body += smuggled
            case 3:
                lines, body = b"content-length: 70000\r\n", b" " * draw.choice((1, 65_000, 70_000))
            case 4:
                lines = b"content-length: 400000\r\n" + draw.choice((b"", b"expect: 100-continue\r\n"))
                body = b" " * 400_000
            case _:
                pass
        return Session("framing", ((self._start(draw) + lines + b"\r\n" + body, 0.0),))

    def pipelined(self, draw: random.Random) -> Session:
        """Return several requests that are sent at once."""
        count = draw.choice((2, 3, 5, 10, 15, 20, 60))
        makers = (self._bodies.valid, self._bodies.mutated)
        sent = b"".join(self._request(draw, draw.choice(makers)(draw)) for _ in range(count))
        if draw.random() < 0.3:
            cut = draw.randrange(len(sent))
            return Session("pipelined", ((sent[:cut], 0.02), (sent[cut:], 0.0)), count, min(count, 1))
        return Session("pipelined", ((sent, 0.0),), count, count if count <= 10 else 1)

    def kept_alive(self, draw: random.Random) -> Session:
        """Return several requests on one connection, one after another."""
        count = draw.randint(2, 6)
        makers = (self._bodies.valid, self._bodies.mutated, self._bodies.broken)
        pieces = tuple(
            (self._request(draw, draw.choice(makers)(draw)), draw.choice((0.0, 0.01, 0.1))) for _ in range(count)
        )
        return Session("kept alive", pieces, count, count)

    def slow(self, draw: random.Random) -> Session:
        """Return a request that is sent slowly, in part, or not at all."""
        sent = self._request(draw, self._bodies.valid(draw))
        kind = draw.randrange(4)
        if kind == 0:  # byte by byte, until a limit
            return Session("slow sender", tuple((sent[i : i + 1], 0.02) for i in range(min(len(sent), 400))))
        if kind == 1:  # half of it, and nothing more
            return Session("slow sender", ((sent[: draw.randrange(len(sent))], 0.0),))
        if kind == 2:  # nothing
            return Session("slow sender", ())
        step = max(1, len(sent) // draw.randint(2, 8))
        return Session("slow sender", tuple((sent[i : i + step], 0.1) for i in range(0, len(sent), step)))

    def leaving(self, draw: random.Random) -> Session:
        """Return a request whose client closes or resets the connection."""
        sent = self._request(draw, self._bodies.valid(draw)) * draw.choice((1, 1, 3))
        cut = draw.choice((0, 1, len(sent) // 2, len(sent) - 1, len(sent), len(sent)))
        ending: Ending = draw.choice(("half_close", "reset"))
        return Session("leaving", ((sent[:cut], draw.choice((0.0, 0.0, 0.002, 0.01))),), ending=ending)

    def slow_reader(self, draw: random.Random) -> Session:
        """Return large batches whose answers are read slowly."""
        items = [{**self._bodies.document(draw), "explain": True, "deadline_ms": 1000} for _ in range(16)]
        body = b'{"requests":[' + b",".join(encoded(item) for item in items) + b"]}"
        request = self._request(draw, body, target=b"/recommend/batch", key=self._keys[0] if self._keys else None)
        count = draw.choice((1, 10))
        return Session("slow reader", ((request * count, 0.0),), count, ending="read_slowly")

    def garbage(self, draw: random.Random) -> Session:
        """Return bytes that are not HTTP."""
        data = draw.choice((*NOT_HTTP, draw.randbytes(2000)))
        return Session("not HTTP", ((data, 0.0),))

    def _one(
        self, draw: random.Random, kind: str, body: bytes, lines: bytes = b"", target: bytes = b"/recommend"
    ) -> Session:
        """Return a session of one request that is well formed HTTP."""
        return Session(kind, ((self._request(draw, body, lines, target), 0.0),))

    def _loose(self, draw: random.Random, kind: str, sent: bytes) -> Session:
        if draw.random() < 0.2:
            cut = draw.randrange(len(sent))
            return Session(kind, ((sent[:cut], 0.02), (sent[cut:], 0.0)))
        return Session(kind, ((sent, 0.0),))

    def _request(
        self, draw: random.Random, body: bytes, lines: bytes = b"", target: bytes = b"/recommend",
        first: bool = False, key: str | None = None,
    ) -> bytes:  # fmt: skip
        length = b"content-length: %d\r\n" % len(body)
        start = self._start(draw, target, key, lines)
        return start + (lines + length if first else length + lines) + b"\r\n" + body

    def _start(
        self, draw: random.Random, target: bytes = b"/recommend", key: str | None = None, lines: bytes = b""
    ) -> bytes:
        return b"POST " + target + b" HTTP/1.1\r\n" + self._head(draw, key, lines)

    def _head(self, draw: random.Random, key: str | None = None, lines: bytes = b"") -> bytes:
        head = b"" if b"host:" in lines else b"host: onebar\r\n"
        if b"content-type:" not in lines:
            head += b"content-type: application/json\r\n"
        if key is None and self._keys and draw.random() < 0.92:
            key = draw.choice(self._keys)
        if draw.random() < 0.02:
            key = (key or "ob_") + draw.choice(("x", "\x80", " "))
        if key is not None and b"authorization:" not in lines:
            head += b"authorization: Bearer " + key.encode("latin-1") + b"\r\n"
        return head
