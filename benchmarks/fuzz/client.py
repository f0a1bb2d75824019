"""One connection of the fuzz: send the pieces, read what comes, and say what is wrong with it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.fuzz.sessions import Session

ANSWER_SECONDS = 30.0
"""After so long without the answers that must come, a session has failed."""

STATUSES = frozenset({200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431})
"""What may be answered; 503 is accepted with the body of the connection limit alone."""

ERROR_FIELDS = {"error", "message", "errors", "request_id"}
_SLOW_READING_SECONDS = 5.0
_SLOW_READ_BYTES = 2048
_SLOW_READ_SECONDS = 0.05
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

REFUSED_UNREAD = (401, 413, 415, 503)
"""Statuses of refusals before the body is read. The server discards a megabyte of such a body, then closes."""


@dataclass(slots=True)
class Response:
    """One complete response."""

    status: int
    body: bytes
    closes: bool


@dataclass(slots=True)
class Verdict:
    """What came of a session.

    Attributes:
        statuses: of the complete responses, in their order.
        end: who ended the connection: "client", "server" or "reset by server".
        faults: what must not have happened; empty where all is well.
    """

    statuses: list[int] = field(default_factory=list)
    end: str = "client"
    faults: list[str] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """Collects what comes, and parses responses out of it. All of ours have a content-length."""

    def __init__(self, no_body: bool) -> None:
        self.responses: list[Response] = []
        self.fault: str | None = None
        self.end: str | None = None
        self.lost = False
        self.changed = asyncio.Event()
        self.rest = bytearray()
        self.writable = asyncio.Event()
        self.writable.set()
        self._no_body = no_body

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while self.fault is None and self._take_response():
            pass
        self.changed.set()

    def eof_received(self) -> None:
        self.end = "server"
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end = self.end or ("reset by server" if exc else "server")
        self.lost = True
        self.changed.set()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _take_response(self) -> bool:
        if self._no_body and self.responses:
            self.rest.clear()
            return False
        head, separator, _ = self.rest.partition(b"\r\n\r\n")
        if not separator:
            return False
        lines = bytes(head).split(b"\r\n")
        try:
            version, status = lines[0].split(b" ", 2)[:2]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
            code = int(status)
            length = 0 if code < 200 or self._no_body else int(headers[b"content-length"])
        except (ValueError, KeyError):
            self.fault = f"not a response: {bytes(head[:200])!r}"
            return False
        if version != b"HTTP/1.1":
            self.fault = f"not a response: {lines[0]!r}"
            return False
        size = len(head) + 4 + length
        if len(self.rest) < size:
            return False
        body = bytes(self.rest[len(head) + 4 : size])
        del self.rest[:size]
        if code >= 200:
            self.responses.append(Response(code, body, headers.get(b"connection", b"").lower() == b"close"))
        return True


async def run_session(session: Session, host: str, port: int) -> Verdict:
    """Run one session and judge it."""
    loop = asyncio.get_running_loop()
    connection = _Connection(session.no_body)
    sock = socket.socket()
    sock.setblocking(False)
    if session.ending == "read_slowly":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # Closing by reset leaves no TIME_WAIT behind, of which a hundred thousand would use up the ports.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    await loop.sock_connect(sock, (host, port))
    transport, _ = await loop.create_connection(lambda: connection, sock=sock)
    try:
        reading = session.ending == "read_slowly"
        if reading:
            transport.pause_reading()
        for data, pause in session.pieces:
            if connection.end or transport.is_closing():
                break
            transport.write(data)
            await asyncio.wait_for(connection.writable.wait(), ANSWER_SECONDS)
            if pause:
                await asyncio.sleep(pause)
        return await _finish(session, transport, connection)
    except TimeoutError:
        verdict = _verdict(connection)
        verdict.faults.append(f"no answer within {ANSWER_SECONDS:g} seconds")
        return verdict
    finally:
        if not connection.lost:  # asyncio cannot abort a transport that it has given up
            transport.abort()


async def _finish(session: Session, transport: asyncio.Transport, connection: _Connection) -> Verdict:
    match session.ending:
        case "reset":
            return _verdict(connection)
        case "half_close":
            if not connection.end and not transport.is_closing():
                transport.write_eof()
            await asyncio.wait_for(_until_closed(connection), ANSWER_SECONDS)
            return _verdict(connection)
        case "read_slowly":
            await _read_slowly(transport, connection)
            return _verdict(connection)
        case _:
            await asyncio.wait_for(_until_answered(connection, session.answers), ANSWER_SECONDS)
    verdict = _verdict(connection)
    answers = len(connection.responses)
    announced = any(response.closes or response.status in REFUSED_UNREAD for response in connection.responses)
    if connection.rest and connection.end:
        verdict.faults.append(f"closed in the middle of a response ({connection.end})")
    if answers == 0:
        verdict.faults.append(f"closed without a reason ({connection.end})")
    elif answers < session.answers and not announced:
        verdict.faults.append(f"closed after {answers} of {session.answers} answers ({connection.end})")
    return verdict


async def _until_answered(connection: _Connection, answers: int) -> None:
    while not connection.end and not connection.fault and len(connection.responses) < answers:
        connection.changed.clear()
        await connection.changed.wait()


async def _until_closed(connection: _Connection) -> None:
    while not connection.end:
        connection.changed.clear()
        await connection.changed.wait()


async def _read_slowly(transport: asyncio.Transport, connection: _Connection) -> None:
    """Let a little through at a time, and leave in the end; the server may give up at its limit."""
    until = asyncio.get_running_loop().time() + _SLOW_READING_SECONDS
    while asyncio.get_running_loop().time() < until and not connection.end and not transport.is_closing():
        before = len(connection.rest)
        transport.resume_reading()
        await asyncio.sleep(0)
        transport.pause_reading()
        await asyncio.sleep(_SLOW_READ_SECONDS * max(1, (len(connection.rest) - before) // _SLOW_READ_BYTES))
        if connection.responses and not connection.rest:
            return


def _verdict(connection: _Connection) -> Verdict:
    verdict = Verdict([response.status for response in connection.responses], connection.end or "client")
    if connection.fault:
        verdict.faults.append(connection.fault)
    for response in connection.responses:
        verdict.faults += _faults_of(response)
    return verdict


def _faults_of(response: Response) -> list[str]:
    if not response.body:  # of HEAD
        refused = response.status == 503 and response.closes
        return [] if refused or response.status in STATUSES else [f"status {response.status}"]
    try:
        document = json.loads(response.body)
    except ValueError:
        return [f"a body that is not JSON: {response.body[:100]!r}"]
    if response.status == 503:
        return [] if document.get("error") == "service_unavailable" else [f"status 503: {document}"]
    if response.status not in STATUSES:
        return [f"status {response.status}: {document}"]
    if response.status >= 400:
        return [] if document.keys() >= ERROR_FIELDS else [f"an error without its fields: {document}"]
    items = Counter(result["status"] for result in document.get("results", ()))
    return [f"{count} items of a batch with status {status}" for status, count in items.items() if status >= 500]
