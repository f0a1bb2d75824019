"""An address that is not the service's ends a load test before it measures anything, with status 2 and one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadtest import open_loop, run
from loadtest.processes import StackError
from loadtest.stack import address_of, fetch_text
from tests.fixtures.http_server import serving_http


class Pages(BaseHTTPRequestHandler):
    """Answers GET with one of `pages`, or 404; closes the connection of every POST without an answer."""

    pages: dict[str, str]
    posted: list[str]

    def do_GET(self) -> None:
        content = self.pages.get(self.path, "not found").encode()
        self.send_response(200 if self.path in self.pages else 404)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.posted.append(self.path)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Pages.pages, Pages.posted = {}, []
    with serving_http(Pages) as address:
        yield address


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "photos.jsonl").write_text('{"photo_id": "p1", "caption": "shoes"}\n', encoding="utf-8")
    (folder / "users.jsonl").write_text('{"user_id": "u1", "queries": []}\n', encoding="utf-8")
    return folder


def run_load_test(url: str, admin_url: str, evidence: Path) -> Result:
    arguments = [
        "--url",
        url,
        "--admin-url",
        admin_url,
        "--evidence",
        str(evidence),
        "--seconds",
        "1",
        "--warm-up",
        "0",
    ]
    return CliRunner().invoke(run.main, [*arguments, "--output", str(evidence / "results")])


def run_open_loop(evidence: Path, *arguments: str) -> Result:
    output = str(evidence / "results")
    return CliRunner().invoke(open_loop.main, ["--evidence", str(evidence), "--output", output, *arguments])


def test_an_address_has_a_host_a_port_and_a_path() -> None:
    assert address_of("http://127.0.0.1:8000/behind/a/proxy/") == ("127.0.0.1", 8000, "/behind/a/proxy")
    assert address_of("http://onebar") == ("onebar", 80, "")


@pytest.mark.parametrize("address", ["https://127.0.0.1:8000", "127.0.0.1:8000", "http://", "http://a:80800", ""])
def test_only_plain_http_is_an_address(address: str) -> None:
    """The generators have no TLS: the API key would go in plain text to an https address."""
    with pytest.raises(StackError, match="is not an address such as http://"):
        address_of(address)
    with pytest.raises(StackError, match="is not an address such as http://"):
        fetch_text(address)


def test_an_open_loop_sends_nothing_to_an_https_address(url: str, evidence: Path) -> None:
    result = run_open_loop(evidence, "--url", url.replace("http:", "https:"), "--key", "obk_secret")
    assert result.exit_code == 2
    assert "the check could not run: 'https://" in result.output
    assert not Pages.posted


def test_an_open_loop_keeps_the_path_and_says_why_its_warm_up_failed(url: str, evidence: Path) -> None:
    result = run_open_loop(evidence, "--url", f"{url}/prefix")
    assert result.exit_code == 2
    assert "the connection ended before the answer did" in result.output
    assert Pages.posted == ["/prefix/recommend"]


@pytest.mark.parametrize("rates", ["10,x", "", "0", "-1,5", "nan", "inf", "10,"])
def test_rates_that_are_none_are_named(rates: str, evidence: Path) -> None:
    result = run_open_loop(evidence, "--url", "http://127.0.0.1:9", "--rates", rates)
    assert result.exit_code == 2
    assert "Invalid value for '--rates'" in result.output


def test_the_public_port_is_not_the_admin_port(url: str, evidence: Path) -> None:
    result = run_load_test(url, url, evidence)
    assert result.exit_code == 2
    assert f"the load test could not run: {url}/version answered with status 404" in result.output
    assert not Pages.posted


@pytest.mark.parametrize(
    "pages",
    [
        {"/version": "<html>sign in</html>", "/metrics": ""},
        {"/version": json.dumps({"version": "1"}), "/metrics": "<html>sign in</html>"},
    ],
)
def test_another_server_is_not_the_admin_port(url: str, evidence: Path, pages: dict[str, str]) -> None:
    Pages.pages = pages
    result = run_load_test(url, url, evidence)
    assert result.exit_code == 2
    assert f"{url} is not the admin port of a service" in result.output
    assert not Pages.posted
