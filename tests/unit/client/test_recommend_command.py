"""`onebar recommend`: it answers every row of a malformed file and prints a summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from client.rows import Columns, InputError, read_rows
from service.answering.request import RecommendRequest
from tests.fixtures.http_server import serving_http

ANSWER = {"decision": "recommend", "reason": None, "degraded": ["deadline"], "queries": []}


def captions(tmp_path: Path, content: str | bytes, name: str = "rows.csv", column: str = "title") -> list[str]:
    rows = read(tmp_path, content, name, column)
    return [body["evidence"]["caption"] for body in rows.bodies]


def read(tmp_path: Path, content: str | bytes, name: str = "rows.csv", column: str = "title"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    rows = read_rows(file, Columns(column))
    for body in rows.bodies:  # whatever the file held, the wire takes it
        RecommendRequest.model_validate(body)
    return rows


def test_quoted_fields_with_commas_quotes_and_line_breaks(tmp_path):
    text = 'item,title\n1,"red, ""new"" shoes"\n2,"two\nlines"\n3,plain\n'
    assert captions(tmp_path, text) == ['red, "new" shoes', "two\nlines", "plain"]


def test_a_stray_quote_affects_only_its_own_line(tmp_path):
    text = 'item,title\n1,"never closed\n2,5" nails\n3,"closed, all right"\n4,plain\n'
    assert captions(tmp_path, text) == ['"never closed', '5" nails', "closed, all right", "plain"]


def test_a_quote_that_never_closes_affects_only_its_own_line(tmp_path):
    rows = read(tmp_path, 'item,title\n1,"open\n' + "".join(f"{n},row\n" for n in range(200)))
    assert len(rows.bodies) == 201
    assert rows.corrected["lines with a stray quote"] == 1


def test_control_characters_broken_utf8_and_long_captions_are_corrected_and_counted(tmp_path):
    content = b"item,title\r\n1,a\x00b\x1bc\r\n2,\xff\xfe shoes\r\n3," + b"x" * 200_000 + b"\r\n"
    rows = read(tmp_path, content)
    texts = [body["evidence"]["caption"] for body in rows.bodies]
    assert texts[0] == "a b c"
    assert texts[1].endswith(" shoes")
    assert len(texts[2]) == 4096
    assert rows.corrected == {
        "broken UTF-8 replaced, characters": 2,
        "fields with control characters removed": 1,
        "fields cut to 4096 characters": 1,
    }


def test_rows_with_too_few_or_too_many_fields(tmp_path):
    assert captions(tmp_path, "item,title,x\n1\n2,two,x,y,z\n") == ["", "two"]


def test_tab_separated_files_have_no_quoting(tmp_path):
    assert captions(tmp_path, 'item\ttitle\n1\t"half open\n2\ttwo\n', "rows.tsv") == ['"half open', "two"]


def test_json_lines(tmp_path):
    text = '{"title": "one"}\nnot json\n\n{"title": null}\n[1]\n{"title": "\\ud800x"}\n'
    rows = read(tmp_path, text, "rows.jsonl")
    assert [body["evidence"]["caption"] for body in rows.bodies] == ["one", "", " x"]
    assert rows.corrected["lines that are not a JSON object, skipped"] == 2


def test_a_missing_id_becomes_the_row_number(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": null, "title": "a"}\n{"title": "b"}\n{"id": 12, "title": "c"}\n')
    rows = read_rows(file, Columns("title", photo_id="id"))
    assert [body["photo_id"] for body in rows.bodies] == ["row-1", "row-2", "12"]
    assert rows.corrected == {"photo ids replaced by the row number": 2}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("rows.jsonl", '{"tilte": "a", "id": 1}\n{"x": 2}\n', "no column 'title'; the columns are tilte, id, x"),
        ("rows.jsonl", "not json\n", "has no rows"),
        ("rows.xlsx", "x", "ends in '.xlsx'"),
        ("rows.csv", "a,b\n1,2\n", "no column 'title'"),
        ("rows.csv", "", "'title'"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_in_one_sentence(tmp_path, name, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, text, name)


class Busy(BaseHTTPRequestHandler):
    """A service that answers 429 to the first request of each video but the first, and 422 to invalid captions."""

    protocol_version = "HTTP/1.1"
    seen: set[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "refuse" in str(body.get("evidence")):
            self.reply(422, {"error": "invalid_request", "errors": [{"field": "evidence.caption", "message": "no"}]})
        elif self.seen and body["photo_id"] not in self.seen:
            self.reply(429, {"error": "overloaded", "errors": [], "retry_after_ms": 1})
        else:
            self.reply(200, ANSWER | {"photo_id": body["photo_id"], "explain": body.get("explain")})
        self.seen.add(body["photo_id"])

    def reply(self, status: int, body: dict) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Busy.seen = set()
    with serving_http(Busy) as address:
        yield address


def test_every_row_of_a_file_is_answered_and_sent_again_after_429(url, tmp_path):
    file, output = tmp_path / "rows.csv", tmp_path / "answers.jsonl"
    file.write_text("item,title\n" + "".join(f"{n},shoe {n}\n" for n in range(20)))
    arguments = ["--url", url, "--input", str(file), "--caption-column", "title", "--output", str(output)]
    result = CliRunner().invoke(main, ["recommend", *arguments])
    assert result.exit_code == 0, result.output
    assert "20 rows in" in result.output
    assert "waited after 429  19 times" in result.output
    assert "p50" in result.output
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert {answer["response"]["photo_id"] for answer in answers} == {f"row-{n}" for n in range(1, 21)}


def test_refused_rows_are_in_the_summary_and_the_exit_code_is_1(url, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("title\nshoe\nrefuse this\n")
    result = CliRunner().invoke(main, ["recommend", "--url", url, "--input", str(file), "--caption-column", "title"])
    assert result.exit_code == 1
    assert "422 invalid_request evidence.caption" in result.output


def test_every_row_asks_for_the_explanation(url, tmp_path):
    file, output = tmp_path / "rows.csv", tmp_path / "answers.jsonl"
    file.write_text("caption\nshoe\nhat\n")
    arguments = ["--url", url, "--input", str(file), "--explain", "--output", str(output)]
    assert CliRunner().invoke(main, ["recommend", *arguments]).exit_code == 0
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert [answer["response"]["explain"] for answer in answers] == [True, True]


def test_one_video(url):
    result = CliRunner().invoke(main, ["recommend", "--url", url, "p1", "--user", "u1"])
    assert (result.exit_code, json.loads(result.output)["photo_id"]) == (0, "p1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--url", "http://127.0.0.1:9", "p1"], "does not answer"),
        (["--url", "localhost", "p1"], "is not the URL of a service"),
        (["--url", "http://127.0.0.1:80800", "p1"], "is not the URL of a service"),
        (["--url", "http://127.0.0.1:abc", "p1"], "is not the URL of a service"),
        (["--url", "http://[::1", "p1"], "is not the URL of a service"),
        ([], "either a PHOTO_ID or --input"),
    ],
)
def test_an_error_is_one_sentence(arguments, sentence):
    result = CliRunner().invoke(main, ["recommend", *arguments])
    assert result.exit_code != 0
    assert sentence in result.output
