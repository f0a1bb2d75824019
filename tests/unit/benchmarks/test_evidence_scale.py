"""The benchmark of the evidence's size: growth, the report, and results that are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evidence.report import WHOLE, WORLD, growth, plot, to_markdown
from benchmarks.evidence.sizes import BuildOptions, measure_build, measure_world, remove_files
from benchmarks.usage import CommandError


def size(videos: int, factor: float) -> dict[str, Any]:
    used = {"seconds": 10 * factor, "cpu_seconds": 8 * factor, "peak_memory_bytes": 2**30}
    return {"videos": videos, "world": used, "build": {"whole": used, "steps": {"evidence": used}}}


def test_growth_is_the_exponent_between_the_smallest_and_the_largest_size() -> None:
    sizes = [size(10, 1), size(100, 3), size(1000, 10_000)]
    assert growth(sizes, "cpu_seconds") == {WORLD: 2.0, "evidence": 2.0, WHOLE: 2.0}
    assert growth(sizes, "peak_memory_bytes")["evidence"] == 0
    assert growth(sizes[:1], "cpu_seconds") == {}


def test_the_table_has_a_row_for_each_step(tmp_path: Path) -> None:
    lines = to_markdown([size(10, 1), size(1000, 100)]).splitlines()
    assert lines[2:] == [
        f"| {name} | 8 / 10 / 1,024 | 800 / 1,000 / 1,024 | 1.0 |" for name in (WORLD, "evidence", WHOLE)
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_the_plot_is_an_svg_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sizes = [size(10, 1), size(1000, 100)]
    for name in "ab":
        plot(sizes, tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_a_size_is_measured_once(tmp_path: Path) -> None:
    options = BuildOptions(("--hashed",), "1GB", threads=1)
    world = measure_world(tmp_path, 200, seed=3)
    build = measure_build(tmp_path, options)
    assert build["rows"]["videos"] == 200
    assert 3600 < build["rows"]["impressions"] < 4400
    assert set(build["steps"]) == set(build["estimated"]) == {"tables", "evidence", "users"}
    assert build["steps"]["evidence"]["counts"]["videos"] == 200
    assert build["whole"]["peak_memory_bytes"] >= build["steps"]["evidence"]["peak_memory_bytes"] > 0

    remove_files(tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".log", ".log"]
    assert measure_world(tmp_path, 200, seed=3) == world == json.loads((tmp_path / "world.json").read_text())
    assert measure_build(tmp_path, options) == build
    with pytest.raises(CommandError, match="does not exist"):
        measure_build(tmp_path, BuildOptions(("--hashed",), "2GB", threads=1))
