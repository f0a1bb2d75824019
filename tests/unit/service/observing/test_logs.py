"""Log lines: one JSON object each, with the ids of their request, whatever the message contains."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging

import pytest

from generation.errors import RequestFailed
from service.observing.logs import (
    MAX_EXTRAS,
    MAX_TRACEBACK_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    JsonFormatter,
    bind_request,
)
from tests.fixtures.serving import running, scripted_app, settings_for

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Lines(logging.Handler):
    """A handler that keeps the log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    @property
    def entries(self) -> list[dict]:
        return [json.loads(text) for text in self.texts]


@pytest.fixture
def lines():
    handler = Lines()
    logger = logging.getLogger()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


logger = logging.getLogger("test.logs")


def test_a_line_has_time_level_logger_message_and_extra_fields(lines):
    logger.warning("slow %s", "Redis", extra={"seconds": 1.5, "causes": ["timeout"]})
    (entry,) = lines.entries
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "warning", "logger": "test.logs", "message": "slow Redis", "seconds": 1.5, "causes": ["timeout"],
    }  # fmt: skip


async def test_every_line_of_a_request_has_the_ids_of_that_request_only(lines):
    async def answer(number: int) -> None:
        bind_request(traceparent=TRACE)
        bind_request(request_id=f"r{number}")
        await asyncio.sleep(0)
        logger.warning("%d", number)
        await asyncio.create_task(helper(number))

    async def helper(number: int) -> None:
        logger.warning("%d", number)

    await asyncio.gather(*(answer(number) for number in range(20)))
    logger.warning("outside")
    *inside, outside = lines.entries
    assert len(inside) == 40
    assert all(entry["request_id"] == f"r{entry['message']}" for entry in inside)
    assert {entry["traceparent"] for entry in inside} == {TRACE}
    assert not {"request_id", "traceparent"} & outside.keys()


@pytest.mark.parametrize(
    "text",
    [
        'a\n{"level":"info"}',
        "a\r\nb",
        "a\u2028b",
        "a\u0085b",
        "\x1b[31mred",
        "\x9b31m",
        "\u202etxt.exe",
        pytest.param("\ud800", id="lone surrogate"),
        "\x00",
    ],
)
def test_line_breaks_and_terminal_controls_in_a_message_are_escaped(lines, text):
    # Apart from the root logger: pytest keeps what that gets, and pytest-xdist cannot send a lone surrogate.
    apart = logging.Logger("test.logs")
    apart.addHandler(lines)
    apart.warning("%s", text, extra={"path": text, text: 1})
    (line,) = lines.texts
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    line.encode()
    entry = json.loads(line)
    assert (entry["message"], entry["path"], entry[text]) == (text, text, 1)


def test_characters_of_other_scripts_are_not_escaped(lines):
    logger.warning("跑鞋 für Zoë")
    assert "跑鞋 für Zoë" in lines.texts[0]


def test_the_length_of_a_line_is_bounded(lines):
    try:
        raise ValueError("x" * 100_000)
    except ValueError:
        extra = {f"extra_{number}": ["x" * 10_000] * 10 for number in range(100)}
        logger.exception("m" * 100_000, extra=extra)
    (line,) = lines.texts
    assert len(line) < (MAX_EXTRAS + 2) * (MAX_VALUE_CHARACTERS + 200) + MAX_TRACEBACK_CHARACTERS
    (entry,) = lines.entries
    assert entry["message"].endswith("(100000 characters)")
    assert len([key for key in entry if key.startswith("extra_")]) == MAX_EXTRAS


def test_extra_fields_cannot_replace_the_standard_fields(lines):
    def answer() -> None:
        bind_request(request_id="r1")
        logger.warning("true", extra={"level": "info", "time": "never", "logger": "other", "request_id": "r2"})

    contextvars.copy_context().run(answer)
    (entry,) = lines.entries
    assert (entry["level"], entry["logger"], entry["request_id"]) == ("warning", "test.logs", "r1")
    assert entry["time"] != "never"


def test_a_value_that_is_not_json_is_written_as_text(lines):
    logger.warning("path", extra={"path": object, "where": {"folder": ValueError("x")}})
    (entry,) = lines.entries
    assert entry["path"] == "<class 'object'>"
    assert entry["where"] == {"folder": "x"}


async def test_the_log_of_a_failed_request_has_its_request_id_and_traceparent(bundle_path, lines):
    app, engine = scripted_app(settings_for(bundle_path))
    async with running(app) as client:
        engine.error = RequestFailed("the output is not a number")
        body = {"photo_id": "p1", "request_id": "r-7", "evidence": {"caption": "garden hose"}}
        response = await client.post("/recommend", json=body, headers={"traceparent": TRACE})
        batch = {"requests": [body | {"request_id": "r-8"}, body | {"request_id": "r-9"}]}
        await client.post("/recommend/batch", json=batch, headers={"traceparent": TRACE})
    assert response.status_code == 500
    failed = [entry for entry in lines.entries if "failed on this request" in entry["message"]]
    assert [entry["request_id"] for entry in failed] == ["r-7", "r-8", "r-9"]
    assert {entry["traceparent"] for entry in failed} == {TRACE}
