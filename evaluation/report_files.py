"""Writes a report as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_report(out: Path, report: Mapping[str, Any], markdown: str) -> str:
    """Write a report, and return a sentence that says where.

    Args:
        out: the files without their suffix; a name such as `rate-0.1` keeps its dot.
        report: as plain values.
        markdown: the same for people.
    """
    name = out.name.removesuffix(".json").removesuffix(".md")
    files = out.with_name(f"{name}.json"), out.with_name(f"{name}.md")
    out.parent.mkdir(parents=True, exist_ok=True)
    files[0].write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    files[1].write_text(markdown, encoding="utf-8")
    return f"written to {files[0]} and {files[1]}"
