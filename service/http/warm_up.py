"""Runs complete requests before the port is open, so that the first request of a process is as fast as the others.

They go through the whole application, because FastAPI defers much of its own work to the first request of a route, and
the engine, the tokenizer and the allocator are cold, too.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message

from service.answering.caller import Caller
from service.answering.errors import GenerationFailed
from service.http.access import CALLER
from service.settings import MAX_DEADLINE_MS

_ROUNDS = 5
_REQUEST = {
    "photo_id": "onebar-warm-up",
    "user_id": "onebar-warm-up",
    "num_queries": 8,
    "deadline_ms": MAX_DEADLINE_MS,
    "evidence": {
        "caption": "Unboxing the new travel camera 📷 #camera @shop 夏季新款连衣裙 $199",
        "item_title": "Travel Camera 24 MP",
        "summary": "The video shows a person holding a black camera with a lens of 50 mm.",
        "anchors": ["travel camera", "camera lens 50mm"],
        "histories": ["travel camera price"],
    },
    "recent_queries": ["camera", "summer dress"],
}


async def warm_up(app: ASGIApp) -> None:
    """Send some requests through the application.

    Raises:
        GenerationFailed: one of them was not answered.
    """
    for _ in range(_ROUNDS):
        await _post(app, "/recommend", _REQUEST)
    await _post(app, "/recommend/batch", {"requests": [_REQUEST, _REQUEST]})


async def _post(app: ASGIApp, path: str, document: Any) -> None:
    body = json.dumps(document).encode()
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    statuses: list[int] = []

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()  # never disconnects; the task that waits for a disconnect is cancelled
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": headers,
        "client": None, "server": None, CALLER: Caller(),
    }  # fmt: skip
    await app(scope, receive, send)
    if statuses != [200]:
        raise GenerationFailed("The engine failed on the request of the warm-up; the log has the cause.")
