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


def exported(sink: str, out: Path, *options: str, **environment: str) -> tuple[str, list[dict[str, Any]]]:
    """Return what the command prints, and the exposures."""
    arguments = ["events", "export", *([sink] if sink else []), str(out), "--first-day", TODAY, *options]
    result = CliRunner(env=environment).invoke(main, arguments)
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


def test_a_password_is_in_the_environment_and_a_trimmed_stream_loses_no_row(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    noon = int(datetime.strptime(TODAY, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000) + 12 * 3_600_000
    answers = [
        {"kind": "answer", "time_ms": noon, "request_id": name, "photo_id": "p1", "user_id": "u1", "model_version": "m",
         "hypotheses": [{"query": "hose", "verdict": "shown", "rule": None}]}
        for name in ("r1", "r2")
    ]  # fmt: skip
    order = {"kind": "feedback", "time_ms": noon + 46_800_000, "happened_ms": noon + 46_800_000, "request_id": "r2",
             "event": "order", "rank": 1, "order_value": 3.0}  # fmt: skip
    with closing(redis.Redis.from_url(redis_server.url)) as stream:
        ids = [stream.xadd("onebar:events", {"event": json.dumps(event)}) for event in answers]
        stream.config_set("requirepass", "secret-1")
        environment = {"ONEBAR_EVENTS__URL": redis_server.url.replace("redis://", "redis://:secret-1@")}
        options = ("--day", "0", "--keep-rows")
        _, before = exported("", tmp_path / "logs", *options, **environment)
        stream.execute_command("AUTH", "secret-1")
        stream.xadd("onebar:events", {"event": json.dumps(order)})
        stream.xtrim("onebar:events", minid=ids[1], approximate=False)
    assert [row["order_value"] for row in before] == [0.0, 0.0]
    text, after = exported("", tmp_path / "logs", *options, **environment)
    assert [(row["impression_id"], row["order_value"]) for row in after] == [("r1", 0.0), ("r2", 3.0)]
    assert "exposures kept" in text
    none = CliRunner().invoke(main, ["events", "export", str(tmp_path / "logs")])
    assert (none.exit_code, "ONEBAR_EVENTS__URL" in none.output) == (2, True)
