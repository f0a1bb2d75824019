"""`onebar`: every job is a subcommand, which is imported only when it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main
from service.operating.keys import create_key
from service.settings import Settings
from tests.fixtures.tiny_bundle import build_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    build_tiny_bundle(path, seed=0)
    return path


def test_help_lists_every_job() -> None:
    output = CliRunner().invoke(main, ["--help"]).output
    assert all(name in output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_job_has_an_example(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    help_text = result.output
    if "COMMAND [ARGS]" in help_text:
        group = main.get_command(None, name)  # type: ignore[arg-type]
        help_text += "".join(CliRunner().invoke(main, [name, sub, "--help"]).output for sub in group.commands)  # type: ignore[union-attr]
    assert "onebar " + name in help_text.split("Usage:", 1)[1].split("\n", 1)[1]


def test_listing_the_jobs_imports_no_heavy_package() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from cli.main import main; "
        "CliRunner().invoke(main, ['--help']); "
        "print(*({'torch', 'onnxruntime', 'fastapi', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_an_unknown_job_is_named_in_the_error() -> None:
    result = CliRunner().invoke(main, ["fly"])
    assert result.exit_code == 2
    assert "No such command 'fly'" in result.output


def test_the_doctor_accepts_a_valid_bundle_and_store(bundle: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--bundle", str(bundle)])
    assert result.exit_code == 0, result.output
    assert "hashes match" in result.output
    assert "hashed-ngrams-1, 256 dimensions" in result.output
    assert "memory://" in result.output


def test_the_doctor_names_the_fault_of_a_bundle_and_of_a_store(tmp_path: Path, bundle: Path) -> None:
    missing = CliRunner().invoke(main, ["doctor", "--bundle", str(tmp_path)])
    assert missing.exit_code == 1
    assert "REFUSED: there is no manifest.json" in missing.output
    unreachable = CliRunner().invoke(main, ["doctor", "--bundle", str(bundle), "--store", "redis://127.0.0.1:1"])
    assert unreachable.exit_code == 1
    assert "UNREACHABLE" in unreachable.output


def test_the_doctor_counts_the_keys_that_are_valid(tmp_path: Path, bundle: Path) -> None:
    keys = tmp_path / "keys.json"
    create_key(keys, "feed")
    create_key(keys, "reviews", ("explain",))
    create_key(keys, "trial", ("explain",), valid_seconds=0)
    result = CliRunner().invoke(main, ["doctor", "--bundle", str(bundle), "--keys", str(keys)])
    assert result.exit_code == 0, result.output
    assert f"{keys}: 2 valid, 1 may explain, 1 expired" in result.output


def test_the_doctor_refuses_keys_with_which_no_request_is_answered(tmp_path: Path, bundle: Path) -> None:
    keys = tmp_path / "keys.json"
    asked = ["doctor", "--bundle", str(bundle), "--keys", str(keys)]
    missing = CliRunner().invoke(main, asked)
    assert missing.exit_code == 1
    assert "REFUSED: The key file" in missing.output
    create_key(keys, "trial", valid_seconds=0)
    expired = CliRunner().invoke(main, asked)
    assert expired.exit_code == 1
    assert "REFUSED" in expired.output


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::"])
def test_the_demo_which_explains_without_a_key_answers_this_machine_alone(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEBAR_INSECURE", "true")
    result = CliRunner().invoke(main, ["demo", "--host", host])
    assert result.exit_code == 2
    assert result.stderr.startswith("OneBar cannot start: The demo explains its answers without a key")


def test_the_demo_serves_a_store_that_was_published_with_raw_user_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr("service.http.app.create_app", served.append)
    monkeypatch.setattr("service.http.server.run", lambda app, settings: 0)
    url = "sqlite:///var/evidence.db"
    assert CliRunner().invoke(main, ["demo", "--store", url]).exit_code == 0
    assert [(s.store.url, s.store.evidence, s.privacy.raw_user_ids) for s in served] == [(url, (), True)]


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sizes = ["--videos", "200", "--users", "50", "--days", "3", "--impressions-per-day", "100"]
    result = CliRunner().invoke(main, ["world", str(tmp_path / "file" / "world"), *sizes])
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'file'}" in result.stderr
    assert isinstance(result.exception, SystemExit)
