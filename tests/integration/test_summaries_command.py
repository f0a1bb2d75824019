"""`onebar offline summaries` as a user runs it: killed and run again, and without what it needs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from offline.summaries.command import summaries
from offline.summaries.endpoint import KEY_VARIABLE
from offline.summaries.journal import NAME
from tests.unit.offline.summaries.endpoint_server import Reply, Server, endpoint_server
from tests.unit.offline.summaries.rendering import render

KEY = "sk-secret-0123456789"
VIDEOS = 6
CONCURRENCY = 2


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """The table and the folder of some videos, as arguments."""
    (tmp_path / "videos").mkdir()
    for number in range(VIDEOS):
        render(tmp_path / "videos" / f"p{number}.mp4", [(f"MODEL {number}", (230, 230, 220), 0.4)])
    rows = [{"photo_id": f"p{number}", "caption": f"number {number}"} for number in range(VIDEOS)]
    (tmp_path / "videos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(tmp_path / "videos.jsonl"), f"--files={tmp_path / 'videos'}", "--frames=1"]


def asking(server: Server) -> list[str]:
    return [f"--endpoint={server.url}", "--model=m", "--price", "1", "1", f"--concurrency={CONCURRENCY}"]


def caption(body: dict[str, Any]) -> str:
    return str(json.loads(body["messages"][1]["content"][-1]["text"])["caption"])


def described(_: int, body: dict[str, Any]) -> Reply:
    return Reply(text=json.dumps({"objects": [f"thing of {caption(body)}"]}))


def rows(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "summaries.parquet").to_pylist())


def test_a_killed_run_is_finished_by_the_next_one(
    tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    enough, killed = threading.Event(), threading.Event()

    def half(number: int, body: dict[str, Any]) -> Reply:
        if number >= 3 and not killed.is_set():
            enough.set()
            killed.wait(60)
        return described(number, body)

    with endpoint_server(reply_to=half) as server:
        code = "from offline.summaries.command import summaries; summaries()"
        arguments = [sys.executable, "-c", code, *inputs, str(tmp_path / "out"), *asking(server)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert enough.wait(120)
        process.send_signal(signal.SIGKILL)
        printed = process.communicate()[0]
        killed.set()
        asked = len(server.bodies)
        result = CliRunner().invoke(summaries, [*inputs, str(tmp_path / "out"), *asking(server)])
        assert result.exit_code == 0, result.output
        # What was answered is not asked again; what was under way is.
        assert len(server.bodies) <= asked + VIDEOS - (asked - CONCURRENCY)
        assert {caption(body) for body in server.bodies} == {f"number {number}" for number in range(VIDEOS)}
        journal = (tmp_path / "out" / NAME).read_text()
        undisturbed = CliRunner().invoke(summaries, [*inputs, str(tmp_path / "other"), *asking(server)])
        assert undisturbed.exit_code == 0, undisturbed.output
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert KEY not in journal + printed + result.output
    assert printed.startswith("6 videos to ask about: at most")
    assert rows(tmp_path / "out") == rows(tmp_path / "other")
    assert {row["source"] for row in rows(tmp_path / "out")} == {"model"}
    # The killed requests may have been paid for, so that they count against the limit of the run.
    spent = json.loads((tmp_path / "out" / "report.json").read_text())["dollars"]
    assert spent > json.loads((tmp_path / "other" / "report.json").read_text())["dollars"]


def test_the_estimate_alone_asks_nothing(tmp_path: Path, inputs: list[str]) -> None:
    with endpoint_server() as server:
        result = CliRunner().invoke(summaries, [*inputs, str(tmp_path / "out"), *asking(server), "--estimate"])
    assert result.exit_code == 0
    assert result.output.startswith("6 videos to ask about: at most")
    assert server.bodies == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--endpoint=http://localhost/v1", "--model=m"], "--endpoint needs --model and --price IN OUT"),
        (["--model=m"], "need --endpoint URL"),
        (["--estimate"], "need --endpoint URL"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path: Path, inputs: list[str], options: list[str], message: str) -> None:
    result = CliRunner().invoke(summaries, [*inputs, str(tmp_path / "out"), *options])
    assert result.exit_code == 2
    assert message in result.output


def test_without_its_packages_the_command_says_what_to_install(
    tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("offline.summaries.")]:
        if not name.endswith((".command", ".errors")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    result = CliRunner().invoke(summaries, [*inputs, str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "need the package 'av'; install it with: pip install -e '.[summaries]'" in result.output
