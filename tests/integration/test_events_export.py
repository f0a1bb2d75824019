"""From a running service to log tables: events in a real Redis Stream and in a real spool, exported by the command."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import redis
from click.testing import CliRunner

from cli.main import main
from service.observing.spool import Spool
from tests.fixtures.serving import bundle_path, running, scripted_app, settings_for, spoken
from tests.integration.redis_servers import RedisServer, wait_until

__all__ = ["bundle_path"]

LOCAL = {"host": "127.0.0.1"}
TODAY = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d")


def exported(sink: str, out: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return what the command prints, and the exposures."""
    result = CliRunner().invoke(main, ["events", "export", sink, str(out), "--first-day", TODAY])
    assert result.exit_code == 0, result.output
    tables = [pq.read_table(path) for path in sorted((out / "exposures").glob("*.parquet"))]
    return result.output, [row for table in tables for row in table.to_pylist()]


async def ask_and_click(client: httpx.AsyncClient, number: int) -> None:
    ask = {"photo_id": "p1", "user_id": f"u{number}", "request_id": f"r{number}", "evidence": {"caption": "hose"}}
    assert (await client.post("/recommend", json=ask)).status_code == 200
    clicks = [{"request_id": f"r{number}", "event": "click", "rank": 2}] * 2
    for click in [*clicks, {"request_id": f"invented-{number}", "event": "click", "rank": 1}]:
        assert (await client.post("/feedback", json=click, headers=LOCAL)).status_code == 202


async def test_a_stream_and_a_spool_are_exported(bundle_path: Path, tmp_path: Path, redis_server: RedisServer) -> None:
    events = {"sink": "redis_stream", "url": redis_server.url, "spool_path": tmp_path / "own-spool"}
    app, engine = scripted_app(settings_for(bundle_path, events=events, feedback={"without_key": True}))
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose", "hose reel"))
    with closing(redis.Redis.from_url(redis_server.url)) as stream:
        async with running(app) as client:
            for number in range(3):
                await ask_and_click(client, number)
            wait_until(lambda: stream.xlen("onebar:events") == 12, "the events")
        stream.xadd("onebar:events", {"other": b"no event"})
        entries = [fields[b"event"] for _, fields in stream.xrange("onebar:events") if b"event" in fields]
    text, exposures = exported(redis_server.url, tmp_path / "from-stream")
    assert [(row["impression_id"], row["position"], row["clicked"]) for row in exposures] == [
        (f"r{number}", position, position == 2) for number in range(3) for position in (1, 2)
    ]
    report = json.loads((tmp_path / "from-stream" / "events_report.json").read_text())
    assert (report["feedback"]["counted"], report["feedback"]["duplicate"]) == (3, 3)
    assert report["feedback"]["unknown_request"] == 3
    assert "unknown_request" in text
    with closing(Spool(tmp_path / "spool", 1 << 20)) as spool:  # in use by a process while it is exported
        assert spool.append(entries) == 12
        assert exported(str(tmp_path / "spool"), tmp_path / "from-spool")[1] == exposures


def test_a_redis_that_does_not_answer_and_a_missing_first_day_are_one_sentence(tmp_path: Path) -> None:
    arguments = ["events", "export", "redis://127.0.0.1:1/0", str(tmp_path)]
    down = CliRunner().invoke(main, [*arguments, "--first-day", TODAY])
    assert (down.exit_code, down.output.count("\n")) == (1, 1)
    assert "127.0.0.1:1" in down.output
    unknown = CliRunner().invoke(main, arguments)
    assert (unknown.exit_code, "--first-day" in unknown.output) == (1, True)
