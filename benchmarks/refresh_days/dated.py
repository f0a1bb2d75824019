"""Moves the events of the live service to the simulated day.

The service writes the time of this machine, and a run of minutes plays several days. So the events of the impressions
of a day are read from the stream of the service, get the time of their impression in the simulation, and go to a second
stream, which the refresh exports. All else in them is as the service wrote it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import redis

from benchmarks.refresh_days.visits import INVENTED, Visit

SERVICE_STREAM = "onebar:events"
DATED_STREAM = "onebar:days"
_TWICE_EVERY = 10
_DRAIN_SECONDS = 30.0


def dated(events: Collection[Mapping[str, Any]], visits: Mapping[str, Visit]) -> Iterator[dict[str, Any]]:
    """Yield the events of the impressions of a day, at their time in the simulation.

    Some answers come twice, because the sink of the service delivers at least once.

    Args:
        events: of the service.
        visits: the impressions of the day, by request id.
    """
    answers = {
        event["request_id"]: event for event in events if event["kind"] == "answer" and event["request_id"] in visits
    }
    for event in events:
        request_id = event["request_id"].removeprefix(INVENTED)
        if request_id not in answers:
            continue
        shift = visits[request_id].time_ms - answers[request_id]["time_ms"]
        moved = {name: event[name] + shift for name in ("time_ms", "happened_ms") if event.get(name) is not None}
        yield {**event, **moved}
    for event in list(answers.values())[::_TWICE_EVERY]:
        yield {**event, "time_ms": visits[event["request_id"]].time_ms}


def move_events(url: str, visits: Mapping[str, Visit], answered: Collection[str]) -> int:
    """Copy the events of a day from the stream of the service to the dated one; return their number.

    Args:
        url: of the Redis with both streams.
        visits: the impressions of the day, by request id.
        answered: request ids whose answers the service has written or will write soon.

    Raises:
        RuntimeError: the answers have not come within ``_DRAIN_SECONDS``.
    """
    with redis.Redis.from_url(url) as client:
        until = time.monotonic() + _DRAIN_SECONDS
        while True:
            events = [json.loads(fields[b"event"]) for _, fields in client.xrange(SERVICE_STREAM)]
            missing = set(answered) - {event["request_id"] for event in events if event["kind"] == "answer"}
            if not missing:
                break
            if time.monotonic() > until:
                raise RuntimeError(f"{len(missing)} answers have no event, such as that of {min(missing)}")
            time.sleep(0.5)
        time.sleep(1.0)  # for the last feedback, which is written in batches as well
        events = [json.loads(fields[b"event"]) for _, fields in client.xrange(SERVICE_STREAM)]
        count = 0
        with client.pipeline(transaction=False) as pipeline:
            for event in dated(events, visits):
                pipeline.xadd(DATED_STREAM, {"event": json.dumps(event)})
                count += 1
            pipeline.execute()
        client.delete(SERVICE_STREAM)
        return count
