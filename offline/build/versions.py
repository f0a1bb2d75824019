"""Versions of what decides the output of a step: the project's own code by its content, libraries by their version.

A change of the code that a step does not run may make the step run again, such as another comment. It never lets a
stale output pass.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


@cache
def versions_of(code: tuple[str, ...], libraries: tuple[str, ...]) -> dict[str, str]:
    """Return the version of each library, and under `code` a hash of the source.

    Args:
        code: modules and packages as paths without a suffix, such as `offline/logs` and `offline/arrays`.
        libraries: names of distributions; one that is not installed is left out.
    """
    digest = hashlib.sha256()
    for name in sorted(code):
        folder = _ROOT / name
        files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
        for path in files:
            digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    found = {"code": digest.hexdigest()[:16]}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
