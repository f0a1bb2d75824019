"""What axe-core finds on the page."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(page: Page, *rules: str, within: str | None = None) -> list[str]:
    """Return the serious violations that axe-core finds; of all rules, or of some; on the page, or in a part of it."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}  # of the others, one element each is enough
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    found = Axe().run(page, context=within, options=options).response
    assert len(found["passes"]) >= (len(rules) or 10)  # it has looked at something
    return [
        f"{item['id']}: {node['html'][:160]} {node['any'][0]['message'] if node['any'] else ''}"
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]
