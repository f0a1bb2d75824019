"""Requests to an OpenAI-compatible endpoint: paced, repeated where that can help, and within a budget."""

from __future__ import annotations

import email.utils
import json
import random
from asyncio import sleep, timeout
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from offline.summaries.errors import EndpointError, RequestFailedError, StoppedError
from offline.summaries.prompt import AnswerError
from offline.summaries.spending import Budget, Prices

KEY_VARIABLE = "ONEBAR_SUMMARIES_API_KEY"
"""The environment variable with the API key."""

_MESSAGE_CHARACTERS = 200
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_MISCONFIGURED = {
    401: "correct the key in {key}",
    403: "correct the key in {key}, or ask for access to the model",
    404: "correct {options}endpoint (it ends in /v1 for most servers) or {options}model",
    405: "correct {options}endpoint (it ends in /v1 for most servers)",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """How the endpoint is asked.

    Attributes:
        url: the base URL, to which /chat/completions is appended.
        model: the name of the model.
        key: the API key; "" if the endpoint needs none.
        requests_per_minute: the most requests a minute, 0 for no limit.
        timeout_seconds: of one request.
        attempts: how often a request is made at most.
        first_wait_seconds: the longest wait before the second attempt; it doubles with each further one.
        longest_wait_seconds: the longest wait. If the server asks for a longer one, no further request is made.
        failures_in_a_row: after so many failed videos without a success, no further request is made.
        key_variable: the environment variable with the key, for messages.
        options: the begin of the command-line options with URL and model, for messages.
    """

    url: str
    model: str
    key: str = ""
    requests_per_minute: float = 0.0
    timeout_seconds: float = 120.0
    attempts: int = 5
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 120.0
    failures_in_a_row: int = 10
    key_variable: str = KEY_VARIABLE
    options: str = "--"

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise EndpointError(
                f"{self.url!r} is not the URL of an endpoint; give one such as http://localhost:8000/v1"
            )
        if parts.username or parts.password or parts.query:
            raise EndpointError(
                f"the URL of the endpoint holds a secret or a query; give the key in {self.key_variable}"
            )
        if not (self.key.isascii() and self.key.isprintable()):
            raise EndpointError(f"the key in {self.key_variable} has characters that no key has; copy it again")


class RefusedError(Exception):
    """The model refused to describe the video, or a filter of the endpoint held the answer back."""


class _RetryableError(Exception):
    def __init__(self, kind: str, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.kind, self.wait_seconds = kind, wait_seconds


class Endpoint:
    """An endpoint. An asynchronous context manager, for one event loop.

    Attributes:
        counts: how often each thing happened: requests, answers, refusals, retries by kind.
    """

    def __init__(self, settings: EndpointSettings, prices: Prices, budget: Budget) -> None:
        self._settings, self._prices, self._budget = settings, prices, budget
        headers = {"authorization": f"Bearer {settings.key}"} if settings.key else {}
        # Redirects are not followed: they would take the key to another host.
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=settings.timeout_seconds,
            limits=httpx.Limits(max_connections=None),
            follow_redirects=False,
        )
        self._url = settings.url.rstrip("/") + "/chat/completions"
        self._next_request = 0.0
        self._failures = 0
        self._stopped: StoppedError | None = None
        self.counts: Counter[str] = Counter()

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def stopped(self) -> StoppedError | None:
        """Why no further request is made, None as long as they are made."""
        return self._stopped

    async def ask(self, body: dict[str, Any], highest_cost: float, parse: Callable[[str], T]) -> T:
        """Return the parsed answer to a chat completion.

        Args:
            body: of the request.
            highest_cost: dollars that it costs at most, as estimated.
            parse: takes the text of the answer; it raises AnswerError if asking again may help.

        Raises:
            RefusedError: the model refused.
            RequestFailedError: this request failed for good.
            StoppedError: no further request is made: the limit is reached, or the endpoint fails or asks to wait.
            EndpointError: no request can succeed.
        """
        try:
            answer = await self._attempts(body, highest_cost, parse)
        except StoppedError as error:
            self._stopped = error
            raise
        except RequestFailedError as error:
            self._failures += 1
            if self._failures >= self._settings.failures_in_a_row:
                self._stopped = StoppedError(
                    f"the endpoint failed for {self._failures} videos in a row, last with: {error}; see its log"
                )
            raise
        except RefusedError:
            self.counts["refusals"] += 1
            self._failures = 0
            raise
        self.counts["answers"] += 1
        self._failures = 0
        return answer

    async def _attempts(self, body: dict[str, Any], highest_cost: float, parse: Callable[[str], T]) -> T:
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return await self._attempt(body, highest_cost, parse)
            except _RetryableError as error:
                wait_seconds = self._wait(attempt, error)
                if attempt == self._settings.attempts:
                    raise RequestFailedError(error.kind, f"{error} (after {attempt} attempts)") from error
                self.counts[f"repeated after {error.kind}"] += 1
                await sleep(wait_seconds)
        raise AssertionError("at least one attempt is made")

    def _wait(self, attempt: int, error: _RetryableError) -> float:
        """Return the seconds to wait before the next attempt. All requests wait as long as the server asks."""
        if error.wait_seconds > self._settings.longest_wait_seconds:
            raise StoppedError(
                f"the endpoint asks to wait {error.wait_seconds:,.0f} s ({error.kind}); run the same command later"
            )
        self._next_request = max(self._next_request, monotonic() + error.wait_seconds)
        longest = min(self._settings.first_wait_seconds * 2 ** (attempt - 1), self._settings.longest_wait_seconds)
        return error.wait_seconds or random.uniform(longest / 2, longest)

    async def _turn(self) -> None:
        """Wait until the pace allows a request."""
        while True:
            if self._stopped:
                raise self._stopped
            now = monotonic()
            if now >= self._next_request:
                rate = self._settings.requests_per_minute
                self._next_request = max(now, self._next_request) + (60 / rate if rate else 0.0)
                return
            await sleep(self._next_request - now)

    async def _attempt(self, body: dict[str, Any], highest_cost: float, parse: Callable[[str], T]) -> T:
        await self._turn()
        reservation = self._budget.reserve(highest_cost)
        self.counts["requests"] += 1
        try:
            async with timeout(self._settings.timeout_seconds):  # httpx limits only the time between two bytes
                response = await self._client.post(self._url, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._budget.settle(reservation, 0.0)
            raise _RetryableError("no connection", f"{self._url} does not answer; start the server") from error
        except (
            httpx.TimeoutException,
            TimeoutError,
        ) as error:  # the server may have done the work: the reservation stays
            raise _RetryableError("time-out", f"no answer in {self._settings.timeout_seconds:g} s") from error
        except httpx.HTTPError as error:
            raise _RetryableError("broken answer", f"the connection broke off: {self._shown(str(error))}") from error
        if response.status_code != 200:
            self._budget.settle(reservation, 0.0)
            raise self._fault(response)
        try:
            reply = response.json()
            choice = reply["choices"][0]
            message = choice["message"]
            text = message.get("content") or ""
            usage = reply.get("usage") or {}
            tokens = [int(usage[name]) for name in ("prompt_tokens", "completion_tokens")] if usage else None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _RetryableError("broken answer", "the body is no chat completion") from error
        self._budget.settle(reservation, self._prices.cost(*tokens) if tokens else None)
        if choice.get("finish_reason") == "content_filter" or message.get("refusal"):
            raise RefusedError
        try:
            return parse(text if isinstance(text, str) else json.dumps(text))
        except AnswerError as error:
            cut = choice.get("finish_reason") == "length"
            hint = f"it was cut at {self._prices.max_answer_tokens} tokens: raise --max-answer-tokens" if cut else error
            raise _RetryableError("unusable answer", f"the model's answer cannot be used: {hint}") from error

    def _fault(self, response: httpx.Response) -> Exception:
        status = response.status_code
        said = f"status {status}: {self._shown(response.text)}"
        if status in _RETRIED:
            return _RetryableError(f"status {status}", said, _retry_after(response.headers.get("retry-after")))
        if status in _MISCONFIGURED or 300 <= status < 400:
            hint = _MISCONFIGURED.get(status, "correct {options}endpoint")
            hint = hint.format(key=self._settings.key_variable, options=self._settings.options)
            return EndpointError(f"{self._url} answered {said}; {hint}")
        if "content_filter" in response.text or "content_policy" in response.text:
            return RefusedError()
        return RequestFailedError(f"status {status}", said)

    def _shown(self, text: str) -> str:
        """Return the begin of a server's message on one line, without the key: servers repeat it in their errors."""
        if self._settings.key:
            text = text.replace(self._settings.key, "[key]")
        return " ".join(text.split())[:_MESSAGE_CHARACTERS]


def _retry_after(value: str | None) -> float:
    """Return the seconds of a Retry-After header, which holds seconds or a date; 0 without a valid one."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return 0.0
