"""A folder of training runs that can be resumed, but not with other data or settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.errors import InputError


def require_same_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Refuse a folder whose runs depend on something else.

    Args:
        path: a JSON file of the folder, with what its runs depend on.
        facts: what the runs to come depend on, as plain values.

    Raises:
        InputError: a fact differs from the file.
    """
    before = json.loads(path.read_text(encoding="utf-8"))
    for name, value in facts.items():
        if before.get(name) != value:
            raise InputError(
                f"the runs in {path.parent} have {name} {before.get(name)!r}, not {value!r}; give the same, or another "
                "folder"
            )
