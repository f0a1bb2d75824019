"""A thousand random and hostile requests to a running service: each is answered, and it stays as it was.

`python -m benchmarks.service_fuzz` sends a hundred thousand, and watches memory, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzz.bodies import Bodies
from benchmarks.fuzz.client import Verdict, run_session
from benchmarks.fuzz.sessions import Sessions
from service.operating.keys import create_key
from tests.fixtures.serving import bundle_path
from tests.integration.serve_process import Served, serving

__all__ = ["bundle_path"]

REQUESTS = 1000
CONNECTIONS = 32
ASK = {"photo_id": "p1", "evidence": {"caption": "red running shoes"}, "num_queries": 8, "deadline_ms": 10_000}


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, tuple[str, str]]:
    path = tmp_path / "keys.json"
    return path, (create_key(path, "explains", ("explain",))[1], create_key(path, "feed")[1])


@pytest.fixture
def served(bundle_path: Path, keys: tuple[Path, tuple[str, str]]) -> Iterator[Served]:
    """A service with API keys and short time limits."""
    limits = {f"CONNECTIONS__{name}_SECONDS": "0.5" for name in ("HEADERS", "BODY", "READING")}
    with serving(bundle_path, "--keys", str(keys[0]), **limits) as service:
        yield service


async def fuzz(served: Served, sessions: Sessions) -> dict[str, list[Verdict]]:
    """Run sessions until they have sent a thousand requests; the verdicts by kind."""
    verdicts: dict[str, list[Verdict]] = {}
    numbers, left = iter(range(REQUESTS)), REQUESTS

    async def work() -> None:
        nonlocal left
        for number in numbers:
            if left <= 0:
                return
            session = sessions.session(number)
            left -= session.requests
            verdicts.setdefault(session.kind, []).append(await run_session(session, "127.0.0.1", served.port))

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return verdicts


def ordinary_answer(served: Served, key: str) -> dict:
    status, answer = served.post(ASK, headers={"authorization": f"Bearer {key}"})
    assert status == 200
    return {name: value for name, value in answer.items() if name not in ("request_id", "timings_ms")}


def test_whatever_is_sent_is_answered_and_changes_nothing(served, keys):
    before = ordinary_answer(served, keys[1][1])
    sessions = Sessions(Bodies([f"p{i}" for i in range(50)], ["u1", "u2"]), keys[1], seed=7)
    verdicts = asyncio.run(fuzz(served, sessions))
    faults = [f"{kind}: {fault}" for kind, found in verdicts.items() for one in found for fault in one.faults]
    assert faults == []
    statuses = Counter(status for found in verdicts.values() for one in found for status in one.statuses)
    assert statuses.keys() >= {200, 400, 401, 404, 408, 413, 415, 422, 431}
    assert len(verdicts) > 12
    assert [line for line in served.lines if line.get("level") not in ("info", "warning")] == []
    assert served.get("/healthz", admin=True)[0] == 200
    assert ordinary_answer(served, keys[1][1]) == before
