"""`onebar serve`: faults that prevent the start, and the end of a running server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from service.observing.logs import JsonFormatter


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["serve", *arguments])
    assert result.exit_code == 2, result.output
    return result.output


def test_a_missing_bundle_prevents_the_start(tmp_path):
    assert refused("--bundle", str(tmp_path)).startswith("OneBar cannot start: there is no manifest.json in")


def test_a_bundle_with_a_changed_byte_prevents_the_start(bundle_path, tmp_path):
    broken = shutil.copytree(bundle_path, tmp_path / "broken")
    content = bytearray((broken / "decoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (broken / "decoder.onnx").write_bytes(content)
    assert "its SHA-256 differs" in refused("--bundle", str(broken))


def test_a_bundle_without_a_graph_prevents_the_start(bundle_path, tmp_path):
    broken = shutil.copytree(bundle_path, tmp_path / "broken")
    (broken / "encoder.onnx").unlink()
    assert "encoder.onnx is missing" in refused("--bundle", str(broken))


def test_a_bundle_of_another_schema_prevents_the_start(bundle_path, tmp_path):
    broken = shutil.copytree(bundle_path, tmp_path / "broken")
    manifest = json.loads((broken / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    assert "has schema version 99" in refused("--bundle", str(broken))


def test_invalid_rules_and_terms_prevent_the_start(bundle_path, tmp_path):
    rules, terms = tmp_path / "rules.yaml", tmp_path / "terms.tsv"
    rules.write_text("blocked_categories: weapons\n")
    terms.write_text("no tab here\n")
    assert "rules.yaml:1: blocked_categories" in refused("--bundle", str(bundle_path), "--rules", str(rules))
    assert "line 1" in refused("--bundle", str(bundle_path), "--prohibited-terms", str(terms))


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--store", "redis:/x", "a store URL with no scheme"), ("--evidence", "none.jsonl", "none.jsonl cannot be read")],
)
def test_a_store_that_cannot_be_used_is_reported_in_one_sentence(bundle_path, option, value, said):
    command = [sys.executable, "-m", "cli.main", "serve", "--bundle", str(bundle_path), option, value]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert f"OneBar cannot start: {said}" in found.stderr
    assert "Traceback" not in found.stderr


def test_invalid_settings_prevent_the_start(monkeypatch):
    monkeypatch.setenv("ONEBAR_MAX_QUEUE", "many")
    assert "ONEBAR_MAX_QUEUE" in refused()


def test_a_store_url_with_an_unknown_scheme_prevents_the_start(bundle_path):
    process = started(bundle_path, "--store", "ftp://nowhere")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a store URL with ftp:// is not known" in errors


def started(bundle_path: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cli.main", "serve", "--bundle", str(bundle_path), "--port", "0", *arguments]
    environment = os.environ | {"ONEBAR_DRAIN_SECONDS": "0", "ONEBAR_ADMIN_PORT": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_an_admin_port_in_use_prevents_the_start_and_the_log_names_its_setting(bundle_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = started(bundle_path, "--admin-port", str(port))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"the admin port 127.0.0.1:{port} cannot be opened" in errors
    assert "set ONEBAR_ADMIN_PORT to a free port" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_status_0_and_no_warnings(bundle_path, number):
    process = started(bundle_path)
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if "Uvicorn running" in lines[-1]["message"]:
            process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert {line["level"] for line in lines} == {"info"}
    assert lines[-1]["message"].startswith("Finished server process")


def test_a_log_line_is_one_json_object():
    import logging

    record = logging.makeLogRecord({"msg": "went %s\nwrong", "args": ("quite",), "levelname": "ERROR", "path": "/x"})
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        record.exc_info = sys.exc_info()
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["message"], entry["path"], entry["level"]) == ("went quite\nwrong", "/x", "error")
    assert "ZeroDivisionError" in entry["exception"]
