"""One description of the machine and one form of result, for the benchmarks and the load test."""

from __future__ import annotations

import ast
import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from loadtest.machine import begin_result, cache_sizes, commit, describe_machine, finish_result, versions

ROOT = Path(__file__).parents[3]

MODULES = sorted(path for folder in ("benchmarks", "loadtest") for path in (ROOT / folder).rglob("*.py"))
CPUINFO = """\
processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: A processor
flags\t\t: fpu avx2 avx512f avx512_vnni
"""


def test_the_processor_is_described_with_the_flags_that_matter(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO, encoding="utf-8")
    found = describe_machine(path)
    assert (found["cpu"], found["cpu_family_and_model"]) == ("A processor", "25/17")
    assert found["flags"] == ["avx2", "avx512f", "avx512_vnni"]
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert len(found["load_average_before"]) == 3


def test_a_machine_without_cpuinfo_is_described_by_what_is_known(tmp_path: Path) -> None:
    found = describe_machine(tmp_path / "absent")
    assert found["cpu"]
    assert (found["cpu_family_and_model"], found["flags"]) == ("?/?", [])


def test_cache_sizes_leave_the_instruction_cache_out(tmp_path: Path) -> None:
    for index, (kind, level, size) in enumerate(
        [("Data", "1", "32K"), ("Instruction", "1", "32K"), ("Unified", "3", "2M")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("type", kind), ("level", level), ("size", size)):
            (folder / name).write_text(text + "\n")
    assert cache_sizes(tmp_path) == {"L1": 32 * 2**10, "L3": 2 * 2**20}


def test_versions_name_what_is_absent() -> None:
    assert versions("numpy", "no-such-package") == {
        "python": platform.python_version(), "numpy": version("numpy"), "no-such-package": "absent",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        ("demo/evidence/prohibited_terms.tsv", True),
        ("offline/cli.py", True),
        ("refresh/command.py", True),
        ("client/rows.py", True),
        ("constraints.txt", True),
        ("pyproject.toml", True),
        ("a_new_package/engine.py", True),
        ("docs/benchmarks.md", False),
        ("docs/copy_accuracy.svg", False),
        ("tests/unit/test_new.py", False),
        ("benchmarks/results/overload.json", False),
        ("demo/reports/overload.json", False),
        ("README.md", False),
    ],
)
def test_a_commit_is_dirty_where_what_figures_depend_on_has_changed(tmp_path: Path, changed: str, dirty: bool) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "Begin")
    name = git("rev-parse", "--short", "HEAD")
    assert commit(tmp_path) == name
    path = tmp_path / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x\n", encoding="utf-8")
    assert commit(tmp_path) == (f"{name}-dirty" if dirty else name)


def test_without_git_the_commit_is_unknown(tmp_path: Path) -> None:
    assert commit(tmp_path) == "unknown"


def test_a_result_says_where_and_when_and_is_written_as_it_is_returned(tmp_path: Path) -> None:
    result = begin_result("name", "numpy") | {"figure": 1.5}
    text = finish_result(result, tmp_path / "new" / "result.json")
    assert (tmp_path / "new" / "result.json").read_text(encoding="utf-8") == text + "\n"
    written = json.loads(text)
    assert written == result | {"finished": written["finished"]}
    assert set(written) == {"benchmark", "commit", "started", "machine", "versions", "figure", "finished"}
    assert written["started"] <= written["finished"]
    assert finish_result(result, None)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_only_one_module_reads_what_the_machine_is(path: Path) -> None:
    if path == ROOT / "loadtest" / "machine.py":
        return
    strings = {n.value for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Constant)}
    assert not strings & {"/proc/cpuinfo", "rev-parse", "describe"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_code_in_a_string_imports_tests(path: Path) -> None:
    """import-linter sees the imports of modules, and not those of code that is handed to another interpreter."""
    assert not re.search(r"(from|import) tests\b", path.read_text(encoding="utf-8"))
