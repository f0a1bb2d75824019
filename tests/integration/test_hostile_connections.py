"""Hostile peers of a running service: each limit on a connection is enforced, named in the answer, and counted."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fixtures.serving import bundle_path
from tests.integration.serve_process import Served, serving

__all__ = ["bundle_path"]

POST = b"POST /recommend HTTP/1.1\r\nhost: onebar\r\ncontent-type: application/json\r\n"
ASK = {"photo_id": "p1", "evidence": {"caption": "red running shoes"}}


@pytest.fixture(scope="module")
def served(bundle_path: Path) -> Iterator[Served]:
    """A service with short time limits."""
    with serving(
        bundle_path,
        CONNECTIONS__HEADERS_SECONDS="0.5",
        CONNECTIONS__BODY_SECONDS="0.5",
        CONNECTIONS__READING_SECONDS="0.5",
        CONNECTIONS__MAX_CONNECTIONS="40",
        DEFAULT_DEADLINE_MS="10000",
    ) as service:
        yield service


def connect(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=20)


def answer(connection: socket.socket) -> tuple[int, dict]:
    """Read until the server closes; the status and the body of the last response."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    assert data, "the connection was closed without a reason"
    head, _, body = data.rpartition(b"\r\n\r\n")
    return int(head.rpartition(b"HTTP/1.1 ")[2][:3]), json.loads(body)


def answer_of_one_more(served: Served) -> tuple[int, dict]:
    with connect(served) as one_more:
        return answer(one_more)


def closed(served: Served, cause: str) -> float:
    return served.metric(f'onebar_connections_closed_total{{cause="{cause}"}}')


def test_headers_over_the_limit_are_refused_and_not_kept(served):
    before, memory = closed(served, "headers_too_large"), served.resident_mb()
    with connect(served) as connection:
        connection.sendall(POST)
        with contextlib.suppress(ConnectionError):  # reset or broken pipe, when the server has seen enough
            for _ in range(3200):  # 200 MB in one header
                connection.sendall(b"a" * 65536)
            pytest.fail("the server took all of it")
    assert closed(served, "headers_too_large") == before + 1
    assert served.resident_mb() < memory + 8
    assert served.post(ASK)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [b"x-long: " + b"a" * 17_000 + b"\r\n\r\n", b"".join(b"x-%d: 1\r\n" % n for n in range(101)) + b"\r\n"],
    ids=["too long", "too many"],
)
def test_the_header_limit_applies_to_headers_that_arrive_in_one_segment(served, headers):
    with connect(served) as connection:
        connection.sendall(POST + headers)
        status, body = answer(connection)
    assert (status, body["error"]) == (431, "request_header_fields_too_large")
    assert "16384 bytes or 100 lines" in body["message"]


@pytest.mark.parametrize("start", [b"0\r\na: ", b"0\r\n", b"1;"], ids=["value", "name", "extension of a chunk"])
def test_trailers_over_the_limit_are_refused_and_not_kept(served, start):
    before, memory = closed(served, "headers_too_large"), served.resident_mb()
    with connect(served) as connection:
        connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n" + start)
        with contextlib.suppress(ConnectionError):
            for _ in range(3200):
                connection.sendall(b"a" * 65536)
            pytest.fail("the server took all of it")
    assert closed(served, "headers_too_large") == before + 1
    assert served.resident_mb() < memory + 8


def test_a_trailer_is_not_a_header(served):
    chunks = b"%x\r\n%s\r\n0\r\ncontent-type: text/plain\r\n\r\n" % (len(json.dumps(ASK)), json.dumps(ASK).encode())
    head = POST.replace(b"content-type: application/json\r\n", b"")
    with connect(served) as connection:
        connection.sendall(head + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
        assert answer(connection)[0] == 200


@pytest.mark.parametrize("path", [b"POST /recommend", b"GET /healthz"])
def test_a_body_without_end_is_not_read_after_the_answer(served, path):
    with connect(served) as connection:
        connection.sendall(path + b" HTTP/1.1\r\nhost: onebar\r\ncontent-length: 9000000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(320):
                connection.sendall(b"a" * 65536)
            pytest.fail("the server took all of it")


def test_a_long_request_line_is_refused(served):
    with connect(served) as connection:
        connection.sendall(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: onebar\r\n\r\n")
        assert answer(connection)[0] == 431


@pytest.mark.parametrize("sent", [b"", b"POST /recomm", POST], ids=["nothing", "half a line", "half the headers"])
def test_a_peer_that_does_not_send_its_headers_gets_408_and_is_closed(served, sent):
    before = closed(served, "headers_timeout")
    with connect(served) as connection:
        connection.sendall(sent)
        status, body = answer(connection)
    assert (status, body["error"]) == (408, "request_timeout")
    assert closed(served, "headers_timeout") == before + 1


def test_the_time_limit_of_headers_applies_to_a_further_request_in_the_same_segment(served):
    before = closed(served, "headers_timeout")
    body = json.dumps(ASK).encode()
    with connect(served) as connection:
        connection.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body + POST)  # in one segment
        status, document = answer(connection)
    assert (status, document["error"]) == (408, "request_timeout")
    assert closed(served, "headers_timeout") == before + 1


def test_single_header_bytes_do_not_extend_the_time_limit(served):
    with connect(served) as connection:
        connection.sendall(POST)
        connection.settimeout(0.1)
        data = b""
        for _ in range(100):
            connection.sendall(b"x")
            try:
                data = connection.recv(4096)
                break
            except TimeoutError:
                continue
        assert data.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("framing", [b"content-length: 100\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"])
def test_a_peer_that_does_not_send_its_body_gets_408_and_is_closed(served, framing):
    before = closed(served, "body_timeout")
    with connect(served) as connection:
        connection.sendall(POST + framing)
        status, body = answer(connection)
    assert (status, body["error"]) == (408, "request_timeout")
    assert closed(served, "body_timeout") == before + 1


def test_a_body_over_the_limit_gets_413_and_is_not_kept_in_memory(served):
    memory = served.resident_mb()
    with connect(served) as connection:
        connection.sendall(POST + b"content-length: 100000000\r\n\r\n")
        response = connection.recv(4096)
        assert response.startswith(b"HTTP/1.1 413 ")
    assert served.resident_mb() < memory + 8


def test_a_refusal_before_the_body_has_arrived_is_the_only_answer_on_its_connection(served):
    with connect(served) as connection:
        connection.sendall(POST.replace(b"application/json", b"text/plain") + b"content-length: 5000\r\n\r\n{")
        data = b""
        while chunk := connection.recv(4096):
            data += chunk
    assert data.startswith(b"HTTP/1.1 415 ")
    assert data.count(b"HTTP/1.1 ") == 1


def test_input_that_is_not_http_gets_400(served):
    before = closed(served, "malformed")
    with connect(served) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert answer(connection)[0] == 400
    assert closed(served, "malformed") == before + 1


def test_too_many_pipelined_requests_are_refused(served):
    body = json.dumps(ASK).encode()
    request = POST + b"content-length: %d\r\n\r\n" % len(body) + body
    with connect(served) as connection:
        connection.sendall(request * 200)
        status, document = answer(connection)
    assert (status, document["error"]) == (400, "bad_request")
    assert closed(served, "pipelined") >= 1


def test_an_upgrade_to_another_protocol_is_refused(served):
    body = json.dumps(ASK).encode()
    with connect(served) as connection:
        head = POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        status, document = answer(connection)
    assert (status, document["error"]) == (400, "bad_request")
    assert "without `upgrade`" in document["message"]


def test_connections_over_the_limit_are_refused_and_the_admin_port_still_answers(served):
    with ExitStack() as held:
        for _ in range(40):
            held.enter_context(connect(served)).sendall(POST)  # none of them is idle
        status, body = answer_of_one_more(served)
        assert (status, body["error"]) == (503, "service_unavailable")
        assert served.get("/healthz", admin=True)[0] == 200
        assert served.get("/readyz", admin=True)[0] == 200
    assert closed(served, "too_many_connections") >= 1


def test_idle_connections_make_room_for_a_new_one(served):
    before = closed(served, "idle_over_limit")
    time.sleep(1.2)  # until the connections of other tests are gone
    with ExitStack() as held:
        for _ in range(40):
            connection = held.enter_context(connect(served))
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: onebar\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        status, _ = answer_of_one_more(served)
        assert status == 503, "a request may be on its way on each of them"
        time.sleep(5.1)
        assert served.post(ASK)[0] == 200
    assert closed(served, "idle_over_limit") == before + 1


def test_the_log_has_the_cause_of_each_close_and_no_traceback(served):
    assert {line["cause"] for line in served.lines if line["message"] == "a connection was closed"} >= {
        "headers_too_large", "headers_timeout", "body_timeout", "malformed", "pipelined", "too_many_connections",
    }  # fmt: skip
    assert [line for line in served.lines if line.get("level") != "info"] == []


def test_the_connection_limit_is_below_the_descriptor_limit(bundle_path):
    prlimit = shutil.which("prlimit")
    assert prlimit, "install util-linux"
    with serving(bundle_path, prefix=(prlimit, "--nofile=256:256")) as service, ExitStack() as held:
        for _ in range(300):
            held.enter_context(connect(service))
        assert service.get("/healthz", admin=True)[0] == 200
        assert any("leaves room for 64 connections" in line["message"] for line in service.lines)


def test_an_incomplete_body_does_not_delay_the_shutdown(bundle_path):
    with serving(bundle_path, CONNECTIONS__BODY_SECONDS="1") as service, connect(service) as connection:
        connection.sendall(POST + b"content-length: 100\r\n\r\n{")
        time.sleep(0.2)  # until the server has read it
        assert service.stop() == 0
        assert not any("Cancel" in line["message"] for line in service.lines)


def test_requests_are_answered_while_the_service_drains(bundle_path):
    with serving(bundle_path, DRAIN_SECONDS="2", DEFAULT_DEADLINE_MS="10000") as service:
        service.process.terminate()
        answers = []
        for _ in range(5):
            answers.append((service.get("/readyz", admin=True)[0], service.post(ASK)[0]))
            time.sleep(0.1)
        assert answers[-1] == (503, 200)
        assert {status for _, status in answers} == {200}
        assert service.process.wait(30) == 0
