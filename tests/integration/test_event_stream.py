"""The Redis Stream of events on real servers: refused servers, limits of the stream, and outages."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry

from service.errors import ConfigurationError
from service.observing.event_metrics import DROP_CAUSES, EventMetrics
from service.observing.events import EventLog, open_event_log
from service.observing.redis_sink import RedisStreamSink, open_redis_sink
from service.observing.sinks import SinkRefused
from service.settings import MIB, EventSettings
from tests.integration.redis_servers import RedisServer, wait_until

STREAM = "onebar:events"
EVENT = {"decision": "recommend", "hypotheses": [{"query": f"travel camera lens {rank}"} for rank in range(8)]}
MANUAL = Path(__file__).parents[2] / "docs" / "operations.md"


def settings(url: str, folder: Path, **others: object) -> EventSettings:
    return EventSettings(sink="redis_stream", url=url, spool_path=folder / "spool", **others)


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start Redis servers that end with the test."""
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(started)}"
        folder.mkdir()
        server = RedisServer(folder, *options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


class Counted:
    """A running event log with its metrics."""

    def __init__(self, events: EventSettings, store_url: str = "memory://") -> None:
        self._registry = CollectorRegistry()
        log = open_event_log(events, store_url, EventMetrics(self._registry))
        assert log is not None
        self.log: EventLog = log
        log.start()

    def value(self, name: str, **labels: str) -> float:
        value = self._registry.get_sample_value(f"onebar_{name}", labels)
        assert value is not None, f"there is no {name} {labels}"
        return value

    @property
    def dropped(self) -> dict[str, float]:
        counts = {cause: self.value("events_dropped_total", cause=cause) for cause in DROP_CAUSES}
        return {cause: count for cause, count in counts.items() if count}

    def emit(self, first: int, last: int) -> None:
        """Emit events with consecutive request ids."""
        for number in range(first, last):
            self.log.emit({"request_id": str(number), **EVENT})

    def until(self, name: str, value: float) -> None:
        """Wait until a metric has a value."""
        wait_until(lambda: self.value(name) == value, f"{name} {value}")

    def until_delivered(self) -> None:
        """Wait until the sink works and the spool is empty."""
        wait_until(lambda: self.value("event_sink_down") == 0 and self.value("event_spool_bytes") == 0, "a replay")


def request_ids(server: RedisServer) -> list[int]:
    with server.client() as client:
        return [int(json.loads(fields[b"event"])["request_id"]) for _, fields in client.xrange(STREAM)]


@contextmanager
def forwarded(server: RedisServer) -> Iterator[int]:
    """Another port of this machine that leads to a server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with source, target:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", server.port))
            for ends in ((near, far), (far.dup(), near.dup())):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_the_server_of_the_store_is_refused_at_start_by_its_address(tmp_path, name):
    store_url = "redis://127.0.0.1:6399/0"  # nothing needs to listen there
    with pytest.raises(ConfigurationError, match=r"server of the feature store.*ALLOW_STORE_SERVER=true"):
        open_redis_sink(settings(f"redis://{name}:6399/1", tmp_path), store_url)


def test_the_server_of_the_store_is_refused_under_another_address(tmp_path, start_redis):
    server = start_redis()
    with forwarded(server) as port, pytest.raises(ConfigurationError, match="server of the feature store"):
        open_redis_sink(settings(f"redis://127.0.0.1:{port}/0", tmp_path), server.url)


@pytest.mark.parametrize("store_is", ["master", "replica"])
def test_a_server_with_the_data_of_the_store_is_refused(tmp_path, start_redis, store_is):
    master = start_redis()
    replica = start_redis("--replicaof", "127.0.0.1", str(master.port))
    with replica.client() as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replication")
    store, events = (master, replica) if store_is == "master" else (replica, master)
    with pytest.raises(ConfigurationError, match="server of the feature store"):
        open_redis_sink(settings(events.url, tmp_path), store.url)


def test_a_node_of_the_stores_cluster_is_refused(tmp_path, redis_cluster):
    for node in redis_cluster.servers[1:]:
        with pytest.raises(ConfigurationError, match="server of the feature store"):
            open_redis_sink(settings(node.url, tmp_path), redis_cluster.url)


def test_an_allowed_server_of_the_store_must_have_noeviction(tmp_path, start_redis):
    server = start_redis("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu")
    allowed = settings(server.url, tmp_path, allow_store_server=True, stream_max_bytes=16 * MIB)
    with pytest.raises(ConfigurationError, match=r"maxmemory-policy is allkeys-lfu.*noeviction"):
        open_redis_sink(allowed, server.url)
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
    with closing(open_redis_sink(allowed, server.url)) as sink:
        sink.write([b"{}"])
    assert len(server_entries(server)) == 1


def server_entries(server: RedisServer) -> list[object]:
    with server.client() as client:
        return list(client.xrange(STREAM))


def test_a_server_with_too_little_memory_is_refused(tmp_path, start_redis):
    server = start_redis("--maxmemory", "64mb")
    with pytest.raises(ConfigurationError, match="maxmemory is 67108864 bytes, less than"):
        open_redis_sink(settings(server.url, tmp_path, stream_max_bytes=65 * MIB), "memory://")


def test_a_server_that_evicts_gets_no_events_until_its_policy_is_corrected(tmp_path, start_redis, caplog):
    server = start_redis("--maxmemory-policy", "allkeys-lru")
    server.kill()
    counted = Counted(settings(server.url, tmp_path), "redis://127.0.0.1:1/0")
    counted.emit(0, 10)
    counted.until("events_spooled_total", 10)
    server.start()
    wait_until(lambda: counted.value("event_sink_faults_total", cause="refused") == 1, "a refusal")
    counted.emit(10, 20)
    counted.until("events_spooled_total", 20)
    with server.client() as client:
        assert client.exists(STREAM) == 0
        client.config_set("maxmemory-policy", "noeviction")
    counted.until_delivered()
    counted.log.close()
    assert request_ids(server) == list(range(20))
    assert counted.dropped == {}
    assert caplog.text.count("events go to the spool: its maxmemory-policy is allkeys-lru") == 1


def test_after_an_outage_every_event_arrives_once_and_in_order(tmp_path, start_redis):
    server = start_redis("--appendonly", "yes")
    counted = Counted(settings(server.url, tmp_path))
    counted.emit(0, 1000)
    counted.until("events_written_total", 1000)
    server.kill()
    counted.emit(1000, 6000)
    counted.until("events_spooled_total", 5000)
    server.start()
    counted.emit(6000, 7000)
    counted.until_delivered()
    counted.log.close()
    assert request_ids(server) == list(range(7000))
    assert counted.dropped == {}


def test_the_stream_is_bounded_by_its_memory(tmp_path, start_redis):
    server = start_redis()
    limit = 2 * MIB
    sink = open_redis_sink(settings(server.url, tmp_path, stream_max_bytes=limit), "memory://")
    batch_bytes = 0
    for size in (200, 4000, 1000):  # the size of an event changes, and the bound does not
        batch = [json.dumps({"n": "x" * size}).encode()] * 64
        batch_bytes = max(batch_bytes, sum(map(len, batch)))
        for _ in range(100):
            sink.write(batch)
            with server.client() as client:
                assert client.memory_usage(STREAM, samples=0) < limit * 1.1 + batch_bytes
    sink.close()
    with server.client() as client:
        assert client.memory_usage(STREAM, samples=0) > limit / 2
        assert client.info("memory")["used_memory"] < 2 * limit + 2 * MIB


def test_a_full_server_loses_nothing_while_the_spool_has_room(tmp_path, start_redis):
    server = start_redis("--maxmemory", "8mb")
    with server.client() as client:
        others = 0
        while client.info("memory")["used_memory"] < 7 * MIB:
            client.set(f"other-{others}", "x" * 100_000)
            others += 1
        counted = Counted(settings(server.url, tmp_path, stream_max_bytes=7 * MIB))
        counted.emit(0, 4000)
        wait_until(lambda: counted.value("event_sink_faults_total", cause="failed") == 1, "a refused XADD")
        client.delete(*(f"other-{number}" for number in range(others)))
    counted.until_delivered()
    counted.log.close()
    assert request_ids(server) == list(range(4000))
    assert counted.dropped == {}


def documented_acl() -> list[str]:
    """The words of the ACL command in the manual."""
    (line,) = re.findall(r"^ACL SETUSER onebar-events .*$", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    return line.split()


@pytest.fixture
def with_acl(tmp_path, start_redis) -> tuple[RedisServer, EventSettings]:
    """A server with the user of the manual, and the settings of a sink that is this user."""
    server = start_redis()
    with server.client() as client:
        client.execute_command(*(">s3cret" if word == ">PASSWORD" else word for word in documented_acl()))
    return server, settings(f"redis://onebar-events:s3cret@127.0.0.1:{server.port}/0", tmp_path)


def test_the_documented_acl_user_can_only_write_the_stream(with_acl):
    server, events = with_acl
    with closing(open_redis_sink(events, "memory://")) as sink:
        sink.write([b'{"n":1}', b'{"n":2}'])
    assert len(server_entries(server)) == 2
    with redis.Redis.from_url(events.url) as user:
        for command in (["GET", "x"], ["XRANGE", STREAM, "-", "+"], ["XADD", "other", "*", "a", "b"], ["DEL", STREAM],
                        ["CONFIG", "GET", "*"], ["FLUSHALL"]):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                user.execute_command(*command)


@pytest.mark.parametrize("missing", ["info", "xlen", "memory|usage"])
def test_a_user_without_a_permission_is_refused_with_its_name(with_acl, missing):
    server, events = with_acl
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "onebar-events", f"-{missing}")
    with pytest.raises(ConfigurationError, match=rf"\+{re.escape(missing)}"):
        open_redis_sink(events, "memory://")


def test_a_stream_key_of_another_type_does_not_crash_the_sink(tmp_path, start_redis):
    server = start_redis()
    with server.client() as client:
        client.set(STREAM, "text")
    counted = Counted(settings(server.url, tmp_path))
    counted.emit(0, 10)
    counted.until("events_spooled_total", 10)
    with server.client() as client:
        client.delete(STREAM)
    counted.until_delivered()
    counted.log.close()
    assert request_ids(server) == list(range(10))


def test_a_sink_is_checked_again_each_minute(tmp_path, start_redis, monkeypatch):
    server = start_redis()
    monkeypatch.setattr("service.observing.redis_sink._CHECK_SECONDS", 0.0)
    sink: RedisStreamSink = open_redis_sink(settings(server.url, tmp_path), "memory://")
    with closing(sink), server.client() as client:
        sink.write([b"{}"])
        client.config_set("maxmemory-policy", "volatile-lru")
        with pytest.raises(SinkRefused, match="volatile-lru"):
            sink.write([b"{}"])
