"""The images install locked versions with hashes, and the locks follow pyproject.toml and constraints.txt."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "locks"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
# The requirements of each lock.
ROOTS = {
    "serving": PROJECT["project"]["dependencies"],
    "loadtest": PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["loadtest"],
    "build": PROJECT["build-system"]["requires"],
    "tools": PROJECT["dependency-groups"]["tools"],
}
HEAVY = {"torch", "transformers", "faiss-cpu", "pandas", "pyarrow", "duckdb", "scikit-learn", "onnx", "optimum"}


def entries(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Return each locked package with its requirement and its hashes."""
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    found = {}
    for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " ")):
        if not entry.startswith("#"):
            requirement = Requirement(entry.split("--hash", 1)[0].strip())
            found[canonicalize_name(requirement.name)] = (requirement, re.findall(r"--hash=(\S+)", entry))
    return found


def test_there_is_a_lock_for_each_image_and_for_the_tools() -> None:
    assert {path.stem for path in LOCKS.glob("*.txt")} == set(ROOTS)


@pytest.mark.parametrize("name", list(ROOTS))
def test_a_lock_has_one_version_and_hashes_of_every_package_and_no_host(name: str) -> None:
    for requirement, hashes in entries(name).values():
        assert re.fullmatch(r"==[\w.!+]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize("name", list(ROOTS))
def test_a_lock_has_every_dependency_of_the_project(name: str) -> None:
    locked = entries(name)
    for asked in map(Requirement, ROOTS[name]):
        found = locked.get(canonicalize_name(asked.name))
        assert found is not None, f"{asked} is not locked; run: make lock"
        assert asked.specifier.contains(str(found[0].specifier).removeprefix("==")), f"{asked}; run: make lock"


@pytest.mark.parametrize("name", list(ROOTS))
def test_a_lock_has_the_versions_of_constraints_txt(name: str) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {canonicalize_name(r.name): r for r in map(Requirement, (line for line in lines if "==" in line))}
    for package, (requirement, _) in entries(name).items():
        if package in tested:
            assert requirement.specifier == tested[package].specifier, "run: make lock"


def test_the_serving_lock_has_no_heavy_package() -> None:
    assert not HEAVY & entries("serving").keys()


def test_every_installation_in_the_image_checks_hashes_or_installs_only_the_project() -> None:
    commands = re.findall(r"pip [^&\n]*?(?:install|wheel) [^&\n]*", DOCKERFILE.replace("\\\n", " "))
    assert len(commands) >= 4
    for command in commands:
        assert ("--require-hashes" in command and "--only-binary :all:" in command) or "--no-deps" in command, command
        # A build in isolation would fetch setuptools without a hash.
        assert "pip wheel" not in command or "--no-build-isolation" in command, command


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "deploy" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found on PyPI"}
FLAWED = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("output", "status", "text"),
    [
        (report(CLEAN, CLEAN), 0, "2 packages, no known vulnerability."),
        (report(CLEAN, SKIPPED, FLAWED), 1, "c 2: CVE-1, fixed in 3"),
        (report(CLEAN, SKIPPED), 2, "no advisories for 1 of 2 packages"),
        (report(), 2, "could not be done"),
        ("", 2, "did not reach its advisory service (the last line)"),
    ],
)
def test_an_audit_without_advisories_does_not_pass(audit: ModuleType, output: str, status: int, text: str) -> None:
    found, said = audit.judge(output, "a traceback\nthe last line\n")
    assert found == status
    assert text in said
