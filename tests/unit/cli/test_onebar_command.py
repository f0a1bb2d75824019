"""`onebar`: one command, every job a subcommand, imported only when it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main
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
def test_every_job_teaches_with_an_example(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    taught = result.output
    if "COMMAND [ARGS]" in taught:
        group = main.get_command(None, name)  # type: ignore[arg-type]
        taught += "".join(CliRunner().invoke(main, [name, sub, "--help"]).output for sub in group.commands)  # type: ignore[union-attr]
    assert "onebar " + name in taught.split("Usage:", 1)[1].split("\n", 1)[1]


def test_listing_the_jobs_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from cli.main import main; "
        "CliRunner().invoke(main, ['--help']); "
        "print(*({'torch', 'onnxruntime', 'fastapi', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_an_unknown_job_is_named() -> None:
    result = CliRunner().invoke(main, ["fly"])
    assert result.exit_code == 2
    assert "No such command 'fly'" in result.output


def test_the_doctor_passes_a_sound_bundle_and_store(bundle: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--bundle", str(bundle)])
    assert result.exit_code == 0, result.output
    assert "hashes match" in result.output
    assert "memory://" in result.output


def test_the_doctor_names_what_is_wrong(tmp_path: Path, bundle: Path) -> None:
    missing = CliRunner().invoke(main, ["doctor", "--bundle", str(tmp_path)])
    assert missing.exit_code == 1
    assert "REFUSED: there is no manifest.json" in missing.output
    unreachable = CliRunner().invoke(main, ["doctor", "--bundle", str(bundle), "--store", "redis://127.0.0.1:1"])
    assert unreachable.exit_code == 1
    assert "UNREACHABLE" in unreachable.output


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::"])
def test_the_demo_which_explains_without_a_key_answers_this_machine_alone(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEBAR_INSECURE", "true")
    result = CliRunner().invoke(main, ["demo", "--host", host])
    assert result.exit_code == 2
    assert result.stderr.startswith("OneBar cannot start: The demo explains its answers without a key")


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sizes = ["--videos", "200", "--users", "50", "--days", "3", "--impressions-per-day", "100"]
    result = CliRunner().invoke(main, ["world", str(tmp_path / "file" / "world"), *sizes])
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'file'}" in result.stderr
    assert isinstance(result.exception, SystemExit)
