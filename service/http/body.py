"""Reads the body of a request up to a limit, and cancels work whose client has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from service.http.errors import BodyTooLarge, Fault, InvalidRequest, UnsupportedMediaType

Result = TypeVar("Result")


class ClientLeft(Exception):
    """The client closed the connection before its answer was complete."""


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body of a request.

    Args:
        request: a request whose body was not read yet.
        limit: bytes; a longer body is not read to its end.

    Raises:
        UnsupportedMediaType: the content type is not JSON in UTF-8.
        BodyTooLarge: the body is over the limit.
        InvalidRequest: the client disconnected before the body was complete.
    """
    content_type = request.headers.get("content-type", "application/json")
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMediaType(content_type)
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()) or int(declared[:20]) > limit:
        raise BodyTooLarge(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(limit)
            chunks.append(chunk)
    except ClientDisconnect:
        raise InvalidRequest([Fault("body", "The client left before the body was complete.")]) from None
    return b"".join(chunks)


async def unless_client_leaves(work: Awaitable[Result], receive: Receive) -> Result:
    """Await the work, and cancel it if the client disconnects.

    Args:
        work: the awaitable that makes the answer.
        receive: of the ASGI application; the body must have been read.

    Returns:
        The result of the work.

    Raises:
        ClientLeft: the client disconnected first.
    """
    working = asyncio.current_task()
    assert working is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if left and working.uncancel() == 0:
            raise ClientLeft from None
        raise
    finally:
        # Not awaited: other tasks would run first, and the answer of this request is ready.
        watching.cancel()
