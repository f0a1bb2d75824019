"""`onebar recommend --input`: what it does when the service stops, when the user stops it, or when it is no OneBar."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from client import run_file
from tests.fixtures.http_server import serving_http

ANSWER = json.dumps({"decision": "recommend", "reason": None, "degraded": [], "queries": []}).encode()
COMMAND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from cli.main import main; main()"


class Service(BaseHTTPRequestHandler):
    """Sends one body with status 200 until `answers` are used up; then it is silent or closes each connection."""

    protocol_version = "HTTP/1.1"
    body: bytes
    answers: int
    silent: bool
    seen: Counter[str]
    reached: threading.Event
    released: threading.Event

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen[request["photo_id"]] += 1
        if self.seen.total() > self.answers:
            self.reached.set()
            if self.silent:
                self.released.wait()
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Service.body, Service.answers, Service.silent, Service.seen = ANSWER, sys.maxsize, False, Counter()
    Service.reached, Service.released = threading.Event(), threading.Event()
    with serving_http(Service) as address:
        try:
            yield address
        finally:
            Service.released.set()


def write_rows(folder: Path, count: int) -> Path:
    file = folder / "rows.csv"
    file.write_text("caption\n" + "".join(f"shoe {n}\n" for n in range(count)))
    return file


def recommend(url: str, file: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["recommend", "--url", url, "--input", str(file), *options])


def test_every_row_is_asked_for_once(url: str, tmp_path: Path) -> None:
    """The service records each answer as an impression."""
    output = tmp_path / "answers.jsonl"
    result = recommend(url, write_rows(tmp_path, 3), "--output", str(output))
    assert result.exit_code == 0, result.output
    assert Service.seen == {"row-1": 1, "row-2": 1, "row-3": 1}
    ids = [json.loads(line)["request"]["photo_id"] for line in output.read_text().splitlines()]
    assert sorted(ids) == ["row-1", "row-2", "row-3"]


@pytest.mark.parametrize("silent", [False, True])
def test_the_interrupt_key_stops_the_run(url: str, tmp_path: Path, silent: bool) -> None:
    Service.answers, Service.silent = (2, True) if silent else (sys.maxsize, False)
    rows = 50_000
    command = [sys.executable, "-c", COMMAND, "recommend", "--url", url, "--input", str(write_rows(tmp_path, rows))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            if silent:
                assert Service.reached.wait(30.0)
            else:
                assert process.stderr is not None
                while Service.seen.total() < 10:
                    assert process.poll() is None
                    process.stderr.read(1)  # so that the progress bar has room
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20.0)
        finally:
            process.kill()
    assert process.returncode == 1
    assert errors.endswith("Aborted!\n")
    assert Service.seen.total() < rows


def test_a_service_that_is_gone_ends_the_run(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_file, "LOST_WAITS_SECONDS", (0.0, 0.0))
    Service.answers = 3
    result = recommend(url, write_rows(tmp_path, 100), "--concurrency", "1")
    assert result.exit_code == 1
    assert f"Stopped after 6 of 100 rows: {url} does not answer" in result.output
    assert sorted(Service.seen.values()) == [1, 1, 1, 3, 3, 3]


def test_an_answer_that_was_lost_is_asked_for_again_and_not_counted_as_a_429(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_file, "LOST_WAITS_SECONDS", (0.0,))
    Service.answers = 3
    result = recommend(url, write_rows(tmp_path, 5), "--concurrency", "1")
    assert "without an answer 2 times" in result.output
    assert "429" not in result.output


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[1]", b'{"ok": true}'])
@pytest.mark.parametrize("whole_file", [True, False])
def test_an_answer_that_is_none_of_onebar_names_the_url(
    url: str, tmp_path: Path, body: bytes, whole_file: bool
) -> None:
    Service.body = body
    file = write_rows(tmp_path, 3)
    result = recommend(url, file) if whole_file else CliRunner().invoke(main, ["recommend", "--url", url, "p1"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"Error: {url} answered with status 200, but not as OneBar does" in result.output
    assert Service.seen.total() == 1
