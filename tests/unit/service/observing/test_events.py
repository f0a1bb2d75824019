"""Events: they reach the sink in order, never delay the caller, and what is lost is counted by its cause."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from service.errors import ConfigurationError
from service.observing.event_metrics import DROP_CAUSES, EventMetrics
from service.observing.events import EventLog
from service.observing.sinks import JsonLinesSink, PartialWrite, open_sink
from service.observing.spool import Spool
from service.settings import MIB, EventSettings

PATIENCE_SECONDS = 30


class HeldSink:
    """A sink that takes nothing until it is released."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.written: list[dict] = []
        self.closed = False

    def write(self, events: Sequence[bytes]) -> None:
        self.entered.set()
        assert self.go.wait(PATIENCE_SECONDS)
        self.written += map(json.loads, events)

    def close(self) -> None:
        self.closed = True


class FlakySink(HeldSink):
    """A sink that fails while ``error`` is set, after taking the first ``takes`` events of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.go.set()
        self.error: Exception | None = ConnectionError("gone")
        self.takes = 0
        self.failed = threading.Event()

    def write(self, events: Sequence[bytes]) -> None:
        if self.error is None:
            super().write(events)
            return
        super().write(events[: self.takes])
        error = PartialWrite(min(self.takes, len(events)), self.error) if self.takes else self.error
        self.failed.set()
        raise error


class Bench:
    """An event log with its metrics."""

    def __init__(self, sink, spool: Spool | None = None, **settings) -> None:
        self.registry = CollectorRegistry()
        self.log = EventLog(sink, spool, EventSettings(**settings), EventMetrics(self.registry))

    def value(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(f"onebar_{name}", labels)
        assert value is not None, f"there is no {name} {labels}"
        return value

    def drops(self) -> dict[str, float]:
        counts = {cause: self.value("events_dropped_total", cause=cause) for cause in DROP_CAUSES}
        return {cause: count for cause, count in counts.items() if count}

    def emit(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.log.emit({"n": number})


def numbers(sink: HeldSink) -> list[int]:
    return [event["n"] for event in sink.written]


def test_lines_are_appended_to_a_file(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"n":-1}\n')
    bench = Bench(JsonLinesSink(str(path)))
    bench.log.start()
    for number in range(50):
        bench.log.emit({"n": number, "query": "跑鞋"})
    bench.log.close()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["n"] for line in lines] == list(range(-1, 50))
    assert lines[1]["query"] == "跑鞋"
    assert bench.drops() == {}
    assert bench.value("events_written_total") == 50


def test_a_full_queue_drops_and_counts_and_the_rest_is_flushed_at_shutdown():
    sink = HeldSink()
    bench = Bench(sink, queue_size=3)
    bench.log.start()
    bench.emit([0])
    assert sink.entered.wait(PATIENCE_SECONDS)
    bench.emit(range(1, 8))
    assert bench.drops() == {"queue_full": 4}
    sink.go.set()
    bench.log.close(PATIENCE_SECONDS)
    assert numbers(sink) == [0, 1, 2, 3]
    assert sink.closed


def test_the_queue_is_bounded_by_bytes():
    sink = HeldSink()
    bench = Bench(sink, queue_max_bytes=64 * 1024)
    bench.log.start()
    bench.emit([0])
    assert sink.entered.wait(PATIENCE_SECONDS)
    for _ in range(100):
        bench.log.emit({"n": 1, "text": "x" * 1000})
    sink.go.set()
    bench.log.close(PATIENCE_SECONDS)
    kept = [len(json.dumps(event, separators=(",", ":"))) for event in sink.written[1:]]
    assert 60 * 1024 < sum(kept) <= 64 * 1024
    assert bench.drops() == {"queue_full": 100 - len(kept)}


def test_an_event_over_its_limit_is_dropped_and_counted():
    sink = FlakySink()
    sink.error = None
    bench = Bench(sink, max_event_bytes=1024)
    bench.log.start()
    bench.log.emit({"n": 1, "text": "鞋" * 400})
    bench.log.emit({"n": 2, "text": "x" * 400})
    bench.log.close(PATIENCE_SECONDS)
    assert numbers(sink) == [2]
    assert bench.drops() == {"too_large": 1}


def test_without_a_spool_a_failing_sink_loses_events_counts_them_and_logs_once(caplog):
    bench = Bench(FlakySink())
    bench.log.start()
    bench.emit(range(20))
    bench.log.close(PATIENCE_SECONDS)
    assert bench.drops() == {"sink_failed": 20}
    assert caplog.text.count("events are being lost: gone") == 1
    assert bench.value("event_sink_down") == 1
    assert bench.value("event_sink_faults_total", cause="failed") == 1


def test_with_a_spool_a_failing_sink_loses_no_event_and_the_order_is_kept(tmp_path, caplog):
    sink = FlakySink()
    bench = Bench(sink, Spool(tmp_path / "spool", MIB))
    bench.log.start()
    bench.emit(range(2000))
    assert sink.failed.wait(PATIENCE_SECONDS)
    sink.error = None
    bench.emit(range(2000, 2500))
    bench.log.close(PATIENCE_SECONDS)
    more = FlakySink()  # what had no time to leave, leaves with the next process
    more.error = None
    rest = Bench(more, Spool(tmp_path / "spool", MIB))
    rest.log.start()
    rest.log.close(PATIENCE_SECONDS)
    assert numbers(sink) + numbers(more) == list(range(2500))
    assert (bench.drops(), rest.drops()) == ({}, {})
    assert caplog.text.count("events go to the spool: gone") == 1
    assert rest.value("event_spool_bytes") == 0


def test_events_of_a_batch_that_the_sink_accepted_are_not_sent_again(tmp_path):
    sink = FlakySink()
    sink.takes = 3
    bench = Bench(sink, Spool(tmp_path / "spool", MIB))
    bench.emit(range(10))
    bench.log.start()
    assert sink.failed.wait(PATIENCE_SECONDS)
    sink.error = None
    bench.log.close(PATIENCE_SECONDS)
    rest = FlakySink()
    rest.error = None
    again = Bench(rest, Spool(tmp_path / "spool", MIB))
    again.log.start()
    again.log.close(PATIENCE_SECONDS)
    assert numbers(sink) + numbers(rest) == list(range(10))


def test_a_full_spool_keeps_the_oldest_events_and_counts_the_others(tmp_path):
    bench = Bench(FlakySink(), Spool(tmp_path / "spool", 1000))
    bench.log.start()
    bench.emit(range(1000))
    bench.log.close(PATIENCE_SECONDS)
    kept = Spool(tmp_path / "spool", 1000)
    lines, _ = kept.peek(1000, MIB)
    kept.close()
    assert [json.loads(line)["n"] for line in lines] == list(range(len(lines)))
    assert bench.drops() == {"spool_full": 1000 - len(lines)}
    assert bench.value("event_spool_limit_bytes") == 1000
    assert 990 <= bench.value("event_spool_bytes") <= 1000


def test_an_event_that_is_not_json_is_dropped_and_raises_nothing():
    sink = FlakySink()
    sink.error = None
    bench = Bench(sink)
    bench.log.start()
    bench.log.emit({"n": object()})
    bench.log.emit({"n": 1, "query": "\udc80"})
    bench.log.close(PATIENCE_SECONDS)
    assert bench.drops() == {"not_json": 1}
    assert sink.written == [{"n": 1, "query": "?"}]


def test_a_stuck_sink_does_not_stop_the_shutdown():
    sink = HeldSink()
    bench = Bench(sink)
    bench.log.start()
    bench.emit([0])
    assert sink.entered.wait(PATIENCE_SECONDS)
    bench.emit([1])
    bench.log.close(timeout_seconds=0.05)
    assert bench.drops() == {"shutdown": 1}
    sink.go.set()


def test_closing_a_log_that_was_not_started_writes_its_events_and_releases_the_spool(tmp_path):
    sink = FlakySink()
    bench = Bench(sink, Spool(tmp_path / "spool", MIB))
    bench.emit(range(3))
    bench.log.close()
    assert sink.closed
    after = Spool(tmp_path / "spool", MIB)
    assert len(after.peek(10, MIB)[0]) == 3
    after.close()


def test_a_write_to_a_full_disk_leaves_no_partial_line(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    sink = JsonLinesSink(str(path))
    sink.write([b'{"n":1}'])
    real_write = os.write

    def short_write(descriptor: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(28, "No space left on device")
        return real_write(descriptor, data[:5])

    monkeypatch.setattr(os, "write", short_write)
    with pytest.raises(OSError, match="No space"):
        sink.write([b'{"n":2}'])
    monkeypatch.undo()
    sink.write([b'{"n":3}'])
    sink.close()
    assert path.read_text() == '{"n":1}\n{"n":3}\n'


def test_a_file_with_a_limit_stays_below_it(tmp_path):
    path = tmp_path / "events.jsonl"
    sink = JsonLinesSink(str(path), max_bytes=20)
    sink.write([b'{"n":1}', b'{"n":2}'])
    with pytest.raises(OSError, match="ONEBAR_EVENTS__MAX_FILE_BYTES"):
        sink.write([b'{"n":3}'])
    sink.close()
    assert path.read_text() == '{"n":1}\n{"n":2}\n'


def test_a_file_that_cannot_be_opened_is_an_error_at_start(tmp_path):
    with pytest.raises(ConfigurationError, match="ONEBAR_EVENTS__PATH"):
        open_sink(EventSettings(sink="jsonl", path=str(tmp_path / "no" / "such" / "folder")), "memory://")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"url": None, "spool_path": Path("spool")}, "ONEBAR_EVENTS__URL"),
        ({"url": "redis://nowhere"}, "ONEBAR_EVENTS__SPOOL_PATH"),
        ({"url": "http://nowhere", "spool_path": Path("spool")}, "ONEBAR_EVENTS__URL"),
        ({"url": "redis+cluster://nowhere", "spool_path": Path("spool")}, "one server"),
    ],
)
def test_a_redis_sink_without_a_required_setting_is_an_error_at_start(wrong, named):
    with pytest.raises(ConfigurationError, match=named):
        open_sink(EventSettings(sink="redis_stream", **wrong), "memory://")


def test_the_sink_none_has_no_event_log():
    assert open_sink(EventSettings(sink="none"), "memory://") is None
