"""Requests against a server that speaks the protocol, with every fault that real ones have."""

from __future__ import annotations

import asyncio
import email.utils
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offline.summaries.endpoint import Endpoint, EndpointSettings, RefusedError
from offline.summaries.errors import EndpointError, RequestFailedError, StoppedError
from offline.summaries.journal import NAME, Journal
from offline.summaries.prompt import Answer, parse_answer
from offline.summaries.spending import Budget, Prices
from tests.unit.offline.summaries.endpoint_server import ANSWER, OK, Reply, Server, endpoint_server

PRICES = Prices(million_in=10.0, million_out=100.0, max_answer_tokens=100)
KEY = "sk-secret-0123456789"
EXPECTED = Answer.from_dict(ANSWER)


def settings(url: str, **changes: Any) -> EndpointSettings:
    return replace(EndpointSettings(url, "m", KEY, timeout_seconds=10, first_wait_seconds=0.001), **changes)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., tuple[list[Any], Endpoint, Budget]]:
    """Ask several times, one after another or all at once, and return answers and errors."""

    def run(
        server: Server, times: int = 1, *, at_once: bool = False, limit: float = 10.0, **changes: Any
    ) -> tuple[list[Any], Endpoint, Budget]:
        async def one(endpoint: Endpoint) -> Any:
            try:
                return await endpoint.ask({"model": "m"}, 0.02, parse_answer)
            except (RefusedError, RequestFailedError, StoppedError, EndpointError) as error:
                return error

        async def every() -> tuple[list[Any], Endpoint, Budget]:
            with Journal(tmp_path) as journal:
                budget = Budget(limit, journal)
                async with Endpoint(settings(server.url, **changes), PRICES, budget) as endpoint:
                    if at_once:
                        return await asyncio.gather(*[one(endpoint) for _ in range(times)]), endpoint, budget
                    return [await one(endpoint) for _ in range(times)], endpoint, budget

        return asyncio.run(every())

    return run


Ask = Callable[..., tuple[list[Any], Endpoint, Budget]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the endpoint sees, in seconds: waits move it on at once."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        until = now[0] + seconds
        await asyncio.sleep(0.001)
        now[0] = max(now[0], until)

    monkeypatch.setattr("offline.summaries.endpoint.monotonic", lambda: now[0])
    monkeypatch.setattr("offline.summaries.endpoint.sleep", sleep)
    return now


def test_an_answer_its_key_and_its_cost(ask: Ask) -> None:
    with endpoint_server() as server:
        (answer,), endpoint, budget = ask(server)
    assert answer == EXPECTED
    assert server.keys == [f"Bearer {KEY}"]
    assert budget.spent == pytest.approx((1000 * 10 + 100 * 100) / 1e6)
    assert endpoint.counts == {"requests": 1, "answers": 1}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reply(status=429, body="slow down"), "status 429"),
        (Reply(status=500, body="<html>oops"), "status 500"),
        (Reply(status=503, body=""), "status 503"),
        (Reply(cut=10), "broken answer"),
        (Reply(body='{"choices": [{"mess'), "broken answer"),
        (Reply(body='{"choices": []}'), "broken answer"),
        (Reply(body="[]"), "broken answer"),
        (Reply(text='{"objects": ["kett'), "unusable answer"),
        (Reply(text=""), "unusable answer"),
    ],
)
def test_a_passing_fault_is_asked_again(ask: Ask, fault: Reply, kind: str) -> None:
    with endpoint_server(fault, fault) as server:
        (answer,), endpoint, _ = ask(server)
    assert answer == EXPECTED
    assert len(server.bodies) == 3
    assert endpoint.counts[f"repeated after {kind}"] == 2


@pytest.mark.parametrize("slow", [Reply(hang=True), Reply(drip=True)])
def test_a_time_out_is_asked_again_and_stays_paid(ask: Ask, slow: Reply) -> None:
    with endpoint_server(slow) as server:
        (answer,), endpoint, budget = ask(server, timeout_seconds=1.5)
    assert answer == EXPECTED
    assert endpoint.counts["repeated after time-out"] == 1
    assert budget.spent == pytest.approx(0.02 + 0.02)  # the reservation of the first, the cost of the second


def test_a_fault_that_stays_ends_after_the_allowed_attempts(ask: Ask) -> None:
    with endpoint_server(*[Reply(status=500, body=f"key {KEY} is wrong " + "x" * 999)] * 9) as server:
        (error,), _, budget = ask(server, attempts=3)
    assert isinstance(error, RequestFailedError)
    assert error.kind == "status 500"
    assert "status 500: key [key] is wrong" in str(error)
    assert KEY not in str(error)
    assert len(str(error)) < 300
    assert len(server.bodies) == 3
    assert budget.spent == 0


def test_an_answer_that_was_cut_says_what_to_raise(ask: Ask) -> None:
    cut = Reply(text=json.dumps(ANSWER)[:40], finish_reason="length")
    with endpoint_server(*[cut] * 2) as server:
        (error,), _, budget = ask(server, attempts=2)
    assert "it was cut at 100 tokens: raise --max-answer-tokens" in str(error)
    assert budget.spent == pytest.approx(2 * 0.02)


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(refusal="I cannot help with that."),
        Reply(text="", finish_reason="content_filter"),
        Reply(status=400, body='{"error": {"code": "content_filter"}}'),
    ],
)
def test_a_refusal_is_final(ask: Ask, refusal: Reply) -> None:
    with endpoint_server(refusal) as server:
        (error,), endpoint, _ = ask(server)
    assert isinstance(error, RefusedError)
    assert len(server.bodies) == 1
    assert endpoint.counts["refusals"] == 1


def test_a_bad_request_fails_alone(ask: Ask) -> None:
    with endpoint_server(Reply(status=400, body="image too large")) as server:
        (error, answer), endpoint, _ = ask(server, 2)
    assert str(error) == "status 400: image too large"
    assert answer == EXPECTED
    assert endpoint.stopped is None


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "correct the key in ONEBAR_SUMMARIES_API_KEY"), (404, "correct --endpoint"), (302, "correct --endpoint")],
)
def test_a_wrong_key_url_or_model_ends_the_run(ask: Ask, status: int, advice: str) -> None:
    with endpoint_server(Reply(status=status, body=f"no {KEY}")) as server:
        (error,), _, _ = ask(server)
    assert isinstance(error, EndpointError)
    assert advice in str(error)
    assert KEY not in str(error)
    assert len(server.bodies) == 1


def test_retry_after_holds_all_requests_back(ask: Ask, clock: list[float]) -> None:
    def reply_to(number: int, body: dict[str, Any]) -> Reply:
        seen.append(clock[0])
        return Reply(status=429, retry_after="7") if number == 0 else OK

    seen: list[float] = []
    with endpoint_server(reply_to=reply_to) as server:
        (error, answer), _, _ = ask(server, 2, attempts=1)
    assert error.kind == "status 429"
    assert answer == EXPECTED
    assert seen == [0, 7]  # the second video waits for what the first was told


@pytest.mark.parametrize("date", [False, True])
def test_a_longer_wait_than_allowed_ends_the_requests(ask: Ask, date: bool) -> None:
    wait = email.utils.formatdate(time.time() + 3600, usegmt=True) if date else "3600"
    with endpoint_server(Reply(status=429, retry_after=wait)) as server:
        errors, endpoint, _ = ask(server, 3)
    assert all(isinstance(error, StoppedError) for error in errors)
    assert "run the same command later" in str(endpoint.stopped)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("value", ["soon", "-3", "nan", "Wed, 99 Foo"])
def test_a_senseless_wait_is_ignored(ask: Ask, value: str) -> None:
    with endpoint_server(Reply(status=503, retry_after=value)) as server:
        assert ask(server)[0] == [EXPECTED]


def test_failures_in_a_row_end_the_requests(ask: Ask) -> None:
    bad = Reply(status=400, body="no images")
    with endpoint_server(bad, bad, OK, bad, bad, bad) as server:
        results, endpoint, _ = ask(server, 8, failures_in_a_row=3)
    assert len(server.bodies) == 6
    assert "failed for 3 videos in a row, last with: status 400: no images" in str(endpoint.stopped)
    assert isinstance(results[-1], StoppedError)


def test_the_spend_limit_holds_with_requests_at_once(ask: Ask) -> None:
    with endpoint_server() as server:
        results, endpoint, budget = ask(server, 12, at_once=True, limit=0.1)
    assert len(server.bodies) == 5  # each may cost .02
    assert budget.spent <= 0.1
    assert sum(isinstance(result, StoppedError) for result in results) == 7
    assert "raise it with --max-cost" in str(endpoint.stopped)


def test_the_pace_is_kept(ask: Ask, clock: list[float]) -> None:
    with endpoint_server() as server:
        ask(server, 4, at_once=True, requests_per_minute=20)
    assert len(server.bodies) == 4
    assert clock[0] == 9  # three gaps of three seconds


def test_a_server_that_does_not_run_is_named(ask: Ask) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = Server(f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
        (error,), _, budget = ask(server, attempts=2)
    assert "does not answer; start the server" in str(error)
    assert budget.spent == 0


def test_the_key_is_in_no_record(ask: Ask, tmp_path: Path) -> None:
    with endpoint_server(Reply(status=500, body=KEY)) as server:
        ask(server)
    assert KEY not in (tmp_path / NAME).read_text()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "is not the URL of an endpoint; give one such as http"),
        ("http://host:99999/v1", "is not the URL of an endpoint"),
        ("https://user:pass@host/v1", "holds a secret or a query; give the key in ONEBAR_SUMMARIES_API_KEY"),
    ],
)
def test_a_wrong_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(EndpointError, match=message):
        EndpointSettings(url, "m")


def test_a_key_of_other_characters_is_refused_without_showing_it() -> None:
    with pytest.raises(EndpointError, match="characters that no key has") as caught:
        EndpointSettings("http://host/v1", "m", "clé secrète")
    assert "secr" not in str(caught.value).replace("ONEBAR_SUMMARIES_API_KEY", "")
