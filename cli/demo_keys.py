"""The API keys of `onebar demo --with-keys`: made when it starts, removed when it ends."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from service.operating.keys import PERMISSIONS, create_key


@dataclass(frozen=True, slots=True)
class DemoKeys:
    """The file of the keys, and the keys themselves: one for the page, and one that may review."""

    path: Path
    page: str
    reviewer: str


def make_demo_keys() -> DemoKeys:
    """Make both keys in a folder of their own. The end of the process removes it."""
    folder = Path(tempfile.mkdtemp(prefix="onebar-demo-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "keys.json"
    others = tuple(name for name in PERMISSIONS if name != "review")
    return DemoKeys(path, create_key(path, "page", others)[1], create_key(path, "reviewer", ("review",))[1])
