"""`onebar feedback`: its options become the body, and the reply is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from service.http.feedback_wire import FeedbackRequest
from tests.fixtures.http_server import serving_http


class Service(BaseHTTPRequestHandler):
    """Accepts every feedback but that of `r-0`."""

    bodies: list[dict[str, Any]]

    def do_POST(self) -> None:
        assert self.path == "/behind/a/proxy/feedback"
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.bodies.append(body | {"key": self.headers["authorization"]})
        content = json.dumps({"request_id": body["request_id"]}).encode()
        self.send_response(403 if body["request_id"] == "r-0" else 202)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Service.bodies = []
    with serving_http(Service) as address:
        yield f"{address}/behind/a/proxy"


def test_the_options_are_the_fields_of_the_wire(url: str) -> None:
    arguments = ["feedback", "--url", url, "--key", "ob_key"]
    sent = CliRunner().invoke(
        main,
        [*arguments, "r-1", "order", "--query", "web camera", "--order-value", "19.9", "--event-id", "o-1",
         "--time-ms", "5"],
    )  # fmt: skip
    refused = CliRunner().invoke(main, [*arguments, "r-0", "click", "--rank", "2"])
    assert (sent.exit_code, json.loads(sent.output)) == (0, {"request_id": "r-1"})
    assert refused.exit_code == 1
    order, click = Service.bodies
    assert order.pop("key") == "Bearer ob_key"
    assert order == {
        "request_id": "r-1", "event": "order", "query": "web camera", "order_value": 19.9, "event_id": "o-1",
        "time_ms": 5,
    }  # fmt: skip
    FeedbackRequest.model_validate(order)
    assert click["rank"] == 2
