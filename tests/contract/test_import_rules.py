"""The import rules of pyproject.toml name every package, so that a new one cannot be left out of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
NO_PACKAGES = {"deploy", "tests"}
PACKAGES = {path.parent.name for path in ROOT.glob("[a-z]*/*.py")} - NO_PACKAGES
CONTRACTS: dict[str, dict[str, Any]] = {rule["name"]: rule for rule in TOOLS["importlinter"]["contracts"]}


def test_packages_are_found() -> None:
    assert {"service", "evidence", "client", "benchmarks", "loadtest"} <= PACKAGES


@pytest.mark.parametrize(
    "named",
    [
        TOOLS["importlinter"]["root_packages"],
        TOOLS["mypy"]["packages"],
        CONTRACTS["no package imports test code"]["source_modules"],
        [*CONTRACTS["only offline and evaluation import FAISS"]["source_modules"], "offline", "evaluation"],
        [
            *CONTRACTS["installed packages do not import benchmarks and load tests"]["source_modules"],
            *CONTRACTS["installed packages do not import benchmarks and load tests"]["forbidden_modules"],
        ],
        ["loadtest", *CONTRACTS["load tests import no package of the product"]["forbidden_modules"]],
        ["evidence", "benchmarks", "loadtest", *CONTRACTS["evidence imports no other package"]["forbidden_modules"]],
    ],
    ids=["import-linter", "mypy", "tests", "faiss", "measuring", "loadtest", "evidence"],
)
def test_a_rule_about_all_packages_names_all(named: list[str]) -> None:
    assert sorted(named) == sorted(PACKAGES)


def test_the_closure_and_the_rules_agree_on_what_serving_must_not_load() -> None:
    heavy = CONTRACTS["serving imports no heavy package"]["forbidden_modules"]
    assert f'"{" ".join(sorted(heavy))}".split()' in (ROOT / "tests" / "closure.py").read_text(encoding="utf-8")
