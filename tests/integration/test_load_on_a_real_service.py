"""The parts of the load test on a real service: every scenario gets correct answers."""

from __future__ import annotations

import json
import subprocess
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadtest.histograms import STAGE_METRIC, Scrape
from loadtest.open_loop import Client, run_rate
from loadtest.samples import judge_call
from loadtest.stack import StackError, console_command, fetch, running_stack
from loadtest.traffic import SCENARIOS, WARM, Mix, open_traffic
from tests.fixtures.tiny_bundle import build_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_bundle(tmp_path_factory.mktemp("load") / "bundle")


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence"
    folder.mkdir()
    photos = [{"photo_id": f"p{i}", "caption": f"red running shoes {i}", "anchors": ["shoes"]} for i in range(20)]
    users = [{"user_id": f"u{i}", "queries": ["winter coat", "red shoes"]} for i in range(5)]
    for name, rows in (("photos", photos), ("users", users)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


async def test_every_scenario_gets_correct_answers(
    bundle: Path, evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEBAR_DEFAULT_DEADLINE_MS", "10000")  # a busy machine must not change the answers
    work = tmp_path / "work"
    work.mkdir()
    traffic = open_traffic(evidence, seed=1, mix=Mix(anonymous=25, cold=25, batch=25))
    seen = set()
    answers = 0
    with running_stack(bundle, evidence, work, use_redis=False) as stack:
        parts = urlsplit(stack.url)
        before = Scrape.parse(fetch(f"{stack.admin_url}/metrics")[1])
        async with aclosing(Client(parts.hostname or "", parts.port or 0)) as client:
            for call in islice(traffic, 24):
                status, body = await client.post(call.path, json.dumps(call.body).encode())
                if call.path == "/recommend":
                    faults, outcomes = judge_call(call, status, body)
                    assert faults == []
                    answers += len(outcomes)
                else:  # a batch has its own deadline, which may cut answers on a busy machine
                    results = json.loads(body)["results"]
                    assert len(results) == len(call.requests)
                    answers += sum(result["status"] == 200 for result in results)
                seen.add(call.scenario)
            delta = Scrape.parse(fetch(f"{stack.admin_url}/metrics")[1]).since(before)
            samples = await run_rate(client, traffic, rate=40, seconds=0.5, seed=2)
    assert seen == set(SCENARIOS)
    assert delta.total(f"{STAGE_METRIC}_count", stage="total") == answers
    assert samples
    assert {sample.status for sample in samples} <= {200, 429}


async def test_calls_with_a_key_are_answered_and_others_refused(
    bundle: Path, evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEBAR_DEFAULT_DEADLINE_MS", "10000")
    keys = tmp_path / "keys.json"
    made = subprocess.run([console_command(), "keys", "create", str(keys), "load"], capture_output=True, check=True)
    monkeypatch.setenv("ONEBAR_KEYS", str(keys))
    call = open_traffic(evidence, seed=1).call(WARM)
    with running_stack(bundle, evidence, tmp_path, use_redis=False) as stack:
        parts = urlsplit(stack.url)
        for key, status in ((made.stdout.decode("ascii").strip(), 200), (None, 401)):
            async with aclosing(Client(parts.hostname or "", parts.port or 0, key)) as client:
                answered, body = await client.post(call.path, json.dumps(call.body).encode())
                assert answered == status
                assert [fault[:10] for fault in judge_call(call, answered, body)[0]] == ([] if key else ["status 401"])


def test_the_error_of_a_service_that_does_not_start_is_reported(evidence: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(StackError, match=r"(?s)onebar serve ended with status 2.*OneBar cannot start"),
        running_stack(tmp_path / "nowhere", evidence, tmp_path, use_redis=False),
    ):
        pass
