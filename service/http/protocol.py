"""HTTP/1.1 on one connection, with limits on what the peer sends and on the time that it takes.

uvicorn's own protocol has no limit on headers, on their number, on the time of a half-sent request, or on connections.
This class adds them around its parser callbacks, and records the arrival time of each request.
"""

from __future__ import annotations

import asyncio
import heapq
import http
import json
import logging
import math
import socket
import time
from asyncio.events import TimerHandle
from collections.abc import Callable
from typing import Any, NoReturn

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.http.errors import error_body
from service.http.kernel import unread_bytes, waited_seconds
from service.settings import ConnectionSettings

logger = logging.getLogger(__name__)

ARRIVED_AT = "onebar.arrived_at"
"""Key in the ASGI scope: ``time.perf_counter()`` seconds when the first byte of the request reached this machine."""

_MAX_PIPELINED = 16
_LEAST_IDLE_SECONDS = 5.0
_MOST_CANDIDATES = 8
_DISCARD_SECONDS = 1.0
_MAX_DISCARDED_BYTES = 1024 * 1024
_MAX_DISCARDING = 32
"""How many refused connections over the limit may still discard input; descriptors are reserved for them."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits. A connection that exceeds one gets an error response and is closed."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionSettings,
        on_closed: Callable[[str], None],
    ) -> None:
        """Build the protocol of one connection.

        Args:
            config: of uvicorn.
            server_state: the connections of this listener.
            app_state: the state of the lifespan.
            _loop: the event loop; the name is uvicorn's.
            limits: of this connection.
            on_closed: called with the cause of each close by a limit, one of ``outcomes.CONNECTION_CLOSES``.
        """
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._on_closed = on_closed
        self._header_bytes = 0
        self._header_count = 0
        self._framing_bytes = 0
        self._in_headers = True
        self._refused = False
        self._idle_since = math.inf  # loop time since which an answered connection waits; inf: it does not
        self._running: RequestResponseCycle | None = None
        self._discarded_bytes = 0
        self._timer: TimerHandle | None = None
        self._writing_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections and not self._close_longest_idle():
            self._refuse("too_many_connections", 503, "This instance has too many connections; use another one.")
            return
        self._start_timer(self._limits.headers_seconds, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and abandon the requests of the connection."""
        self._stop_timer()
        self._abandon_requests()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the received bytes, or refuse them if a limit is exceeded."""
        if self._refused:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > _MAX_DISCARDED_BYTES:
                self.transport.abort()
            return
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._idle_since = math.inf
        if self._in_headers:
            if self._timer is None:  # the first byte of a further request on this connection
                self._start_timer(self._limits.headers_seconds, self._headers_late)
            if self._header_bytes > self._limits.max_header_bytes:
                self._headers_too_large()
                return
            self._header_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse("malformed", 400, "The request is not valid HTTP/1.1; the connection is closed.")
        unread = self._header_bytes if self._in_headers else self._framing_bytes
        if unread > self._limits.max_header_bytes:
            self._headers_too_large()

    def on_message_begin(self) -> None:
        """Begin a request: reset its header count, and record its arrival time."""
        super().on_message_begin()
        if self._timer is None:  # it arrived in one segment with the end of the previous request
            self._start_timer(self._limits.headers_seconds, self._headers_late)
        self._header_count = 0
        self.scope[ARRIVED_AT] = time.perf_counter() - waited_seconds(self._socket)  # type: ignore[literal-required]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add one header, unless there are too many. Trailers of a chunked body are counted and dropped."""
        self._header_count += 1
        if self._header_count > self._limits.max_headers:
            self._stop_parsing(self._headers_too_large)
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to read the body, unless the headers are too large in total."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.max_header_bytes:
            self._stop_parsing(self._headers_too_large)
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._stop_parsing(self._too_many_pipelined)
        if self.parser.should_upgrade():  # the parser would skip the body as data of the other protocol
            self._stop_parsing(self._other_protocol)
        self._in_headers = False
        self._header_bytes = self._framing_bytes = 0
        self._start_timer(self._limits.body_seconds, self._body_late)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body. What follows an answered request is discarded, up to a megabyte."""
        self._framing_bytes = 0  # the parser keeps trailers, which come after the last piece, until they are complete
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > _MAX_DISCARDED_BYTES:
                self._stop_parsing(self.transport.close)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the timer, because the request is complete."""
        self._in_headers = True
        self._header_bytes = self._discarded_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answer the next request, or wait for one."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None and self._in_headers and self._header_bytes == 0:
            self._idle_since = self.loop.time()

    def pause_writing(self) -> None:
        """Start a timer, because the peer does not read its answer."""
        super().pause_writing()
        if self._writing_timer is None:
            self._writing_timer = self.loop.call_later(self._limits.reading_seconds, self._reading_late)

    def resume_writing(self) -> None:
        """Stop the timer, because the peer reads again."""
        super().resume_writing()
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Keep the request that is being answered. uvicorn's ``cycle`` is the newest one, which may wait behind it."""
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _abandon_requests(self) -> None:
        """Mark the request that is being answered as disconnected, and drop those that wait behind it."""
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _close_longest_idle(self) -> bool:
        """Close the answered connection that has been idle longest, and return whether there was one.

        Idle connections cost a peer nothing. They must not keep a new connection out. A connection on which a request
        may be on its way is not closed.
        """
        latest = self.loop.time() - _LEAST_IDLE_SECONDS
        idle = [one for one in self.connections if isinstance(one, BoundedHttpProtocol) and one._idle_since <= latest]
        for one in heapq.nsmallest(_MOST_CANDIDATES, idle, key=lambda one: one._idle_since):
            if unread_bytes(one._socket) == 0:
                one._idle_since = math.inf
                one._on_closed("idle_over_limit")
                one.transport.close()
                return True
        return False

    @property
    def _socket(self) -> socket.socket | None:
        connection: socket.socket | None = self.transport.get_extra_info("socket")
        return connection

    def _start_timer(self, seconds: float, late: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _headers_late(self) -> None:
        seconds = self._limits.headers_seconds
        self._refuse("headers_timeout", 408, f"The headers did not arrive within {seconds:g} seconds; send them again.")

    def _body_late(self) -> None:
        if self.cycle.response_complete:  # already refused: a second answer would belong to no request
            self._on_closed("body_timeout")
            self.transport.close()
            return
        seconds = self._limits.body_seconds
        self._refuse("body_timeout", 408, f"The body did not arrive within {seconds:g} seconds; send it again.")

    def _reading_late(self) -> None:
        self._on_closed("reading_timeout")
        self.transport.abort()  # close() would wait until the peer has read the rest of the answer

    def _headers_too_large(self) -> None:
        limits = self._limits
        sentence = f"The headers are over {limits.max_header_bytes} bytes or {limits.max_headers} lines; send fewer."
        self._refuse("headers_too_large", 431, sentence)

    def _other_protocol(self) -> None:
        self._refuse("malformed", 400, "This port supports only HTTP/1.1; send the request without `upgrade`.")

    def _too_many_pipelined(self) -> None:
        self._refuse("pipelined", 400, f"More than {_MAX_PIPELINED} requests wait on this connection; send fewer.")

    def _stop_parsing(self, refuse: Callable[[], None]) -> NoReturn:
        """Refuse, and raise an exception, which is the only way to stop the parser in the middle of its input."""
        refuse()
        raise ConnectionAbortedError

    def _refuse(self, cause: str, status: int, sentence: str) -> None:
        """Send an error response, discard further input (for at most a second and a megabyte), and close.

        If the connection were closed with unread bytes, the kernel would reset it and the peer could lose the response.
        A request that is being answered on this connection ends without an answer.
        """
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._on_closed(cause)
        logger.info("a connection was closed", extra={"cause": cause, "client": self.client and self.client[0]})
        running = self._running
        in_the_middle = running is not None and running.response_started and not running.response_complete
        if not in_the_middle:
            phrase = http.HTTPStatus(status).phrase
            body = json.dumps(error_body(phrase.lower().replace(" ", "_"), sentence)).encode()
            head = (
                f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
        self._abandon_requests()
        if len(self.connections) > self._limits.max_connections + _MAX_DISCARDING:
            self.transport.close()
            return
        self.transport.write_eof()
        self._start_timer(_DISCARD_SECONDS, self.transport.close)
