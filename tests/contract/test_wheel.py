"""A wheel has every file of the installed packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked_files() -> list[str]:
    """Return the tracked files of the packages that are installed, relative to the root."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    command = ["git", "ls-files", "-z", "--", *(f"{name.removesuffix('*')}/" for name in packages)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\0").split("\0")


def test_a_built_wheel_has_every_tracked_file_of_the_packages(tmp_path: Path) -> None:
    """`build_py` fills the folder that becomes the wheel; it compiles nothing and needs no network."""
    tracked, source, built = tracked_files(), tmp_path / "source", tmp_path / "built"
    assert {"demo/bundle/manifest.json", "service/page/static/index.html"} <= set(tracked)
    for name in (*tracked, "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(built)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    assert [name for name in tracked if not (built / name).exists()] == []
