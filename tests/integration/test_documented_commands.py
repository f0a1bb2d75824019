"""Every shell block of README.md and docs/own_logs.md runs, as it is written, on a small simulated shop.

Real commands, a real Redis, a real service. Blocks run in their order, each document in an empty folder of its own. The
table SUBSTITUTIONS lists every difference between a documented line and the line that runs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
import yaml

from cli.main import COMMANDS, main
from tests.integration.redis_servers import RedisServer, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
OWN_LOGS, README = "docs/own_logs.md", "README.md"

NOT_RUN = {"make test": "it runs this test"}

SUBSTITUTIONS = (
    ("make run ", "onebar demo --port {port} ", "the recipe of `make run`, on a free port"),
    ("make help", "make -C {root} help", "blocks run in a temporary folder"),
    ("onebar serve ", "onebar serve --port {port} ", "a free port"),
    ("localhost:8000", "localhost:{port}", "a free port"),
    ("redis://localhost:6379/0", "{redis}", "a Redis of this test"),
    (
        "--videos 1500 --users 800 --days 6 --impressions-per-day 4000",
        "--videos 300 --users 120 --days 4 --impressions-per-day 600",
        "a smaller shop",
    ),
    (
        "onebar offline build logs build --examples",
        "onebar offline build logs build --examples --dimension 32 --vocabulary-size 512 --max-steps 3",
        "a small embedder",
    ),
    ("onebar train tokenizer ", "onebar train tokenizer --size 1000 ", "a smaller vocabulary"),
    (
        "onebar train pretrain ",
        "onebar train pretrain --config {configs}/pretrain.yaml ",
        "a few steps of a tiny model",
    ),
    ("onebar train sft ", "onebar train sft --config {configs}/sft.yaml ", "few steps of a tiny model"),
    ("onebar export ", "onebar export --parity-count 4 ", "fewer sources"),
)

# Settings of the servers that have no option on every command line.
SERVER_SETTINGS = {"ONEBAR_ADMIN_PORT": "0", "ONEBAR_DRAIN_SECONDS": "0"}

_MODEL = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "ffn_dim": 64, "attention_heads": 2}
_OPTIM = {"batch_size": 16, "max_steps": 4, "warmup_steps": 1}
CONFIGS = {
    "pretrain.yaml": {"model": _MODEL, "optim": _OPTIM, "epoch_documents": 128, "validation_documents": 32},
    "sft.yaml": {
        "model": _MODEL,
        "optim": _OPTIM,
        "validation": {"click_examples": 16, "reject_examples": 4},
        "reject_threshold": 1.0,
    },
}
SERVERS = ("onebar demo ", "onebar serve ")
STEP_SECONDS = 300


def blocks(document: str) -> list[str]:
    """Return the ```bash blocks of a document, without the lines of NOT_RUN."""
    found = re.findall(r"^```bash\n(.*?)^```$", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return ["\n".join(line for line in block.splitlines() if not line.startswith(tuple(NOT_RUN))) for block in found]


def steps(block: str) -> list[str]:
    """Split a block of plain commands into its lines; a block with any other shell syntax stays whole."""
    lines = [line for line in block.splitlines() if line.strip()]
    return lines if all(line.startswith(("onebar ", "make ")) for line in lines) else [block]


class Workspace:
    """An empty folder in which the steps of one document run, with at most one server in the background."""

    def __init__(self, folder: Path, values: Mapping[str, str], produced: dict[str, dict[str, Path]]) -> None:
        self._folder = folder
        self._values = values
        self._produced = produced
        self._server: subprocess.Popen[bytes] | None = None
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            **SERVER_SETTINGS,
        }

    def take(self, step: str) -> str:
        """Run a step and return its standard output; a server is left running.

        A step that another document has as well, word for word, runs once: the files that it made are copied. So a
        document that leaves out a step still fails, because nothing makes the files of that step.
        """
        line = step
        for documented, run, _ in SUBSTITUTIONS:
            line = line.replace(documented, run.format_map(self._values))
        if line.startswith(SERVERS):
            self.start_server(line)
            return ""
        if self._produced.get(step):
            for name, source in self._produced[step].items():
                (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, self._folder / name)
            return ""
        before = self._files()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        self._produced[step] = {
            name: self._folder / name for name, stamp in self._files().items() if before.get(name) != stamp
        }
        return done.stdout

    def _files(self) -> dict[str, int]:
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self._folder)): path.stat().st_mtime_ns for path in files}

    def start_server(self, line: str) -> None:
        """Start a server in the background, in place of the one before, and wait until it is ready."""
        self.stop_server()
        log = self._folder / "server.log"
        with log.open("wb") as output:
            self._server = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: self._is_ready(line, log), f"an answer of {line}", seconds=60)

    def _is_ready(self, line: str, log: Path) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"{line}\n{log.read_text(encoding='utf-8')[-4000:]}"
        try:
            with urllib.request.urlopen(f"http://localhost:{self._values['port']}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def recommend(self, photo_id: str) -> dict[str, object]:
        """Ask the running server for one video."""
        request = urllib.request.Request(
            f"http://localhost:{self._values['port']}/recommend",
            json.dumps({"photo_id": photo_id, "deadline_ms": 5000}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, object] = json.loads(response.read())
        return answer

    def stop_server(self) -> None:
        """Stop the server, if one runs, as an operator does: by SIGTERM."""
        if self._server is not None:
            if self._server.poll() is None:
                os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait(timeout=60)
            self._server = None


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The values that SUBSTITUTIONS put in."""
    configs = tmp_path_factory.mktemp("configs")
    for name, content in CONFIGS.items():
        (configs / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield {"port": str(free_port()), "root": str(ROOT), "configs": str(configs), "redis": server.url}
    server.kill()


@pytest.fixture(scope="module")
def produced() -> dict[str, dict[str, Path]]:
    """By step, the files that it made."""
    return {}


@pytest.fixture
def workspace(tmp_path: Path, values: dict[str, str], produced: dict[str, dict[str, Path]]) -> Iterator[Workspace]:
    space = Workspace(tmp_path, values, produced)
    yield space
    space.stop_server()


def run_blocks(document: str, workspace: Workspace) -> None:
    for block in blocks(document):
        for step in steps(block):
            output = workspace.take(step)
            if requests := len(re.findall(r"^(?:post|curl) ", step, re.MULTILINE)):
                answers = [json.loads(line) for line in output.splitlines()]
                assert len(answers) == requests
                assert all("decision" in answer for answer in answers), output


def knows_its_videos(workspace: Workspace, logs: Path) -> None:
    """Return whether the last server of a document serves the evidence that the document loaded."""
    photo_id = pq.read_table(logs / "videos.parquet", columns=["photo_id"])["photo_id"][0].as_py()
    wait_until(lambda: workspace.recommend(photo_id)["reason"] != "no_evidence", f"evidence of {photo_id}")


@pytest.mark.slow
def test_the_commands_of_own_logs_run(workspace: Workspace, tmp_path: Path) -> None:
    run_blocks(OWN_LOGS, workspace)
    knows_its_videos(workspace, tmp_path / "logs")


@pytest.mark.slow
def test_the_commands_of_the_readme_run(workspace: Workspace, tmp_path: Path) -> None:
    [simulate] = [step for block in blocks(OWN_LOGS) for step in steps(block) if step.startswith("onebar world ")]
    workspace.take(simulate)  # the README begins where there are logs
    run_blocks(README, workspace)
    knows_its_videos(workspace, tmp_path / "logs")


def test_every_substitution_and_every_omission_is_of_a_documented_line() -> None:
    text = "".join((ROOT / document).read_text(encoding="utf-8") for document in (README, OWN_LOGS))
    assert [documented for documented, _, _ in SUBSTITUTIONS if documented not in text] == []
    assert [line for line in NOT_RUN if f"\n{line}" not in text] == []
    assert "\t$(BIN)/onebar demo --port $(PORT)$(STORE:%= --store %)\n" in (ROOT / "Makefile").read_text(
        encoding="utf-8"
    )


def leaf_commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from leaf_commands(command, (*words, name))


def examples(command: click.Command) -> list[str]:
    """Return the command lines in the help of a command; a note after two spaces is left out."""
    text = re.sub(r"\\\n\s*", "", command.help or "")
    found = re.findall(r"^\s*(?:[A-Z][\w ]*:\s+)?(onebar [a-z].*)$", text, re.MULTILINE)
    return [line.split("  ")[0] for line in found]


def test_every_command_has_a_place_in_the_documents() -> None:
    pages = [ROOT / README, *(ROOT / "docs").glob("*.md")]
    text = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in pages)
    commands = [" ".join(words) for words, _ in leaf_commands(main, ("onebar",))]
    assert len(commands) > len(COMMANDS)
    assert [command for command in commands if not re.search(rf"\b{command}\b(?!-)", text)] == []


def test_examples_in_help_have_only_commands_and_options_that_exist() -> None:
    commands = dict(leaf_commands(main, ("onebar",)))
    lines = [line for command in commands.values() for line in examples(command)]
    assert len(lines) >= len(COMMANDS)
    # A raw docstring would show click's mark for unwrapped text, \b, as two characters.
    assert [words for words, command in commands.items() if r"\b" in (command.help or "")] == []
    for line in lines:
        words = shlex.split(line, comments=True)
        known = next((commands[tuple(words[:n])] for n in (3, 2) if tuple(words[:n]) in commands), None)
        assert known is not None, f"no command: {line}"
        options = {option for parameter in known.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} - {"--help"} <= options, line
