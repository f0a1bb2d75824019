"""Events: they reach the sink, and never hold up who emits them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Sequence

import pytest

from service.errors import ConfigurationError
from service.observing.events import EventLog, JsonLinesSink, open_sink
from service.settings import EventSettings


class HeldSink:
    """A sink that takes nothing until it is released."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.written: list[dict] = []
        self.closed = False

    def write(self, events: Sequence[str]) -> None:
        self.entered.set()
        assert self.go.wait(30)
        self.written += map(json.loads, events)

    def close(self) -> None:
        self.closed = True


class FailingSink(HeldSink):
    def write(self, events: Sequence[str]) -> None:
        raise ConnectionError("gone")


@pytest.fixture
def drops() -> Counter[str]:
    return Counter()


def counting(drops: Counter[str]):
    return lambda cause, count: drops.update({cause: count})


def test_lines_are_appended_to_a_file(tmp_path, drops):
    path = tmp_path / "events.jsonl"
    path.write_text('{"n":-1}\n')
    log = EventLog(JsonLinesSink(str(path)), 100, counting(drops))
    log.start()
    for number in range(50):
        log.emit({"n": number, "query": "跑鞋"})
    log.close()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["n"] for line in lines] == list(range(-1, 50))
    assert lines[1]["query"] == "跑鞋"
    assert not drops


def test_a_full_queue_drops_and_counts_and_the_rest_is_flushed_at_shutdown(drops):
    sink = HeldSink()
    log = EventLog(sink, 3, counting(drops))
    log.start()
    log.emit({"n": 0})
    assert sink.entered.wait(30)
    for number in range(1, 8):
        log.emit({"n": number})
    assert drops == {"queue_full": 4}
    sink.go.set()
    log.close()
    assert [event["n"] for event in sink.written] == [0, 1, 2, 3]
    assert sink.closed


def test_a_failing_sink_loses_events_counts_them_and_logs_once(drops, caplog):
    log = EventLog(FailingSink(), 100, counting(drops))
    log.start()
    for number in range(20):
        log.emit({"n": number})
    log.close()
    assert drops == {"sink_failed": 20}
    assert caplog.text.count("events are being lost: gone") == 1


def test_an_event_that_is_no_json_fails_nobody(drops):
    sink = HeldSink()
    sink.go.set()
    log = EventLog(sink, 100, counting(drops))
    log.start()
    log.emit({"n": object()})
    log.close()
    assert drops == {"sink_failed": 1}


def test_a_stuck_sink_does_not_stop_the_shutdown(drops):
    sink = HeldSink()
    log = EventLog(sink, 100, counting(drops))
    log.start()
    log.emit({"n": 0})
    assert sink.entered.wait(30)
    log.emit({"n": 1})
    log.close(timeout_seconds=0.05)
    assert drops["sink_failed"] >= 1
    sink.go.set()


def test_a_file_that_cannot_be_opened_is_told_at_start(tmp_path):
    with pytest.raises(ConfigurationError, match="ONEBAR_EVENTS__PATH"):
        open_sink(EventSettings(sink="jsonl", path=str(tmp_path / "no" / "such" / "folder")))


def test_a_wrong_redis_url_is_told_at_start():
    with pytest.raises(ConfigurationError, match="ONEBAR_EVENTS__URL"):
        open_sink(EventSettings(sink="redis_stream", url="http://nowhere"))


def test_no_sink():
    assert open_sink(EventSettings(sink="none")) is None
