"""A connection to the service."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0

_ANSWER_FIELDS = frozenset({"decision", "reason", "degraded"})


class ClientError(Exception):
    """The service cannot be reached, or it is not OneBar. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response.

    Attributes:
        status: HTTP status; 0 without a response.
        body: the JSON body.
        seconds: from sending the request to the last byte of the response.
    """

    status: int
    body: dict[str, Any]
    seconds: float


class Connection:
    """One kept-alive connection. For one thread; use it as a context manager."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Prepare a connection.

        Args:
            url: of the service.
            key: the API key; None if the service needs none.

        Raises:
            ClientError: the URL or the key is invalid.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:  # such as a port over 65535
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise ClientError(f"{url!r} is not the URL of a service; give a URL such as http://127.0.0.1:8000.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ClientError("The API key has invalid characters; copy it again.")
        self._url = url
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"
        self._prefix = parts.path.rstrip("/")
        self._http = kind(host, port, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def post(self, body: Mapping[str, Any], endpoint: str = "/recommend") -> Reply:
        """Send one request.

        Args:
            body: of the request.
            endpoint: ``/recommend`` or ``/feedback``.

        Returns:
            The response, whatever its status.

        Raises:
            ClientError: there is no response, or it is none of OneBar's.
        """
        started = time.perf_counter()
        try:
            content = json.dumps(body, ensure_ascii=False).encode()
            self._http.request("POST", self._prefix + endpoint, content, self._headers)
            response = self._http.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise ClientError(f"{self._url} does not answer ({error}); start it with `onebar serve`.") from error
        seconds = time.perf_counter() - started
        return Reply(response.status, self._document(response.status, content, endpoint), seconds)

    def abort(self) -> None:
        """End the request that another thread waits for; its `post` raises ClientError."""
        open_socket = self._http.sock
        if open_socket is not None:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def _document(self, status: int, content: bytes, endpoint: str) -> dict[str, Any]:
        """Return the body of a response. Errors may come from a proxy, so they need not be JSON."""
        try:
            document = json.loads(content)
        except ValueError:
            document = {"error": "not_json", "message": content[:200].decode("utf-8", "replace")}
        needed = _ANSWER_FIELDS if endpoint == "/recommend" and status == 200 else frozenset()
        if not isinstance(document, dict) or not needed <= document.keys():
            raise ClientError(
                f"{self._url} answered with status {status}, but not as OneBar does; give the URL of the service."
            )
        return document
