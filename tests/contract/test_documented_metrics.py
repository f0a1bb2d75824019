"""docs/metrics.md has every metric of a running service, with its type and its labels."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from service.http.app import create_app
from service.settings import Settings
from tests.fixtures.serving import metrics_of, running

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
OF_THE_CLIENT = ("process_", "python_")

Described = dict[str, tuple[str, set[str]]]
"""By metric, its type and its labels."""


def printed() -> Described:
    """Return what the tables of the page say."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| .+ \|$", PAGE, re.MULTILINE)
    assert len(rows) == len({name for name, _, _ in rows})
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def exposed(metrics: str) -> Described:
    """Return what the service has. The parser takes `_total` from the names of counters."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(metrics)
        if not family.name.startswith(OF_THE_CLIENT) and not family.name.endswith("_created")
    }


async def test_the_page_has_every_metric_of_a_running_service(settings: Settings) -> None:
    app = create_app(settings)
    async with running(app) as client:
        assert (await client.post("/recommend", json={"photo_id": "p1"})).status_code == 200
        metrics = await metrics_of(app)
    assert len(exposed(metrics)) > 50
    assert printed() == exposed(metrics)
