"""A local server that speaks the protocol of chat completions, with the faults that a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fixtures.http_server import serving_http

ANSWER = {
    "objects": ["CFMOTO 675NK motorcycle", "helmet"],
    "ocr_text": ["675NK"],
    "speech_cues": ["new colours"],
    "scene": "showroom",
    "product_use": "riding in town",
    "search_intents": ["CFMOTO 675NK price"],
    "safety_concern": "",
}


@dataclass(frozen=True)
class Reply:
    """What the server does with one request.

    Attributes:
        text: the content of the answer.
        status: of the response.
        body: the response in place of a chat completion.
        cut: the bytes of the body that are not sent.
        finish_reason, refusal: of the answer.
        retry_after: the header of that name.
        hang: answer only when the server ends.
        drip: send a byte of the body now and then, and the rest when the server ends.
        usage: tokens of the prompt and of the answer; None leaves them out.
    """

    text: str = json.dumps(ANSWER)
    status: int = 200
    body: str | None = None
    cut: int = 0
    finish_reason: str = "stop"
    refusal: str | None = None
    retry_after: str | None = None
    hang: bool = False
    drip: bool = False
    usage: tuple[int, int] | None = (1000, 100)

    def content(self) -> bytes:
        """Return the body."""
        if self.body is not None:
            return self.body.encode()
        message = {"role": "assistant", "content": self.text, "refusal": self.refusal}
        reply: dict[str, Any] = {"choices": [{"message": message, "finish_reason": self.finish_reason}]}
        if self.usage is not None:
            reply["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), self.usage, strict=True))
        return json.dumps(reply).encode()


OK = Reply()


@dataclass
class Server:
    """A running server.

    Attributes:
        url: the base URL for --endpoint.
        bodies: of the requests so far.
        keys: the authorization headers of the requests so far.
        most_at_a_time: the most requests that were open together.
    """

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_at_a_time: int = 0


@contextmanager
def endpoint_server(
    *replies: Reply, reply_to: Callable[[int, dict[str, Any]], Reply] | None = None
) -> Iterator[Server]:
    """Run a server on a free port.

    Args:
        replies: to the first requests, in order; every further request gets OK.
        reply_to: takes the number of a request, from 0, and its body, in place of `replies`.
    """
    lock, ended = threading.Lock(), threading.Event()
    open_now = [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                number = len(server.bodies)
                server.bodies.append(body)
                server.keys.append(self.headers.get("authorization"))
                open_now[0] += 1
                server.most_at_a_time = max(server.most_at_a_time, open_now[0])
            if self.path != "/v1/chat/completions":
                reply = Reply(status=404, body="no such route")
            elif reply_to is not None:
                reply = reply_to(number, body)
            else:
                reply = replies[number] if number < len(replies) else OK
            if reply.hang:
                ended.wait(60)
            with lock:
                open_now[0] -= 1
            content = reply.content()
            try:
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                if reply.retry_after is not None:
                    self.send_header("retry-after", reply.retry_after)
                self.end_headers()
                while reply.drip and len(content) > 1 and not ended.wait(0.02):
                    self.wfile.write(content[:1])
                    content = content[1:]
                self.wfile.write(content[: len(content) - reply.cut])
            except OSError:
                pass  # the client has given up
            self.close_connection = bool(reply.cut or reply.hang or reply.drip)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving_http(Handler) as address:
        server = Server(f"{address}/v1")
        try:
            yield server
        finally:
            ended.set()
