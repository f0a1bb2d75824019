"""Events of one person are erased from files; all others stay, byte for byte, also while a process writes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from feature_store.errors import LoadError
from feature_store.event_files import erase_events, is_event_of

NAMES = {"gone", "g ö n e"}


def event(user_id: str | None, **fields: object) -> str:
    return json.dumps({"request_id": "r", "user_id": user_id, **fields})


EVENTS = [
    event("gone"),
    event("stays", note="gone"),
    event(None),
    event("g ö n e"),
    "no JSON, gone",
    "[" * 5000 + "gone",
    json.dumps(["gone"]),
    "",
    event("gone", more="x" * 500),
]


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_only_the_events_of_the_person_go(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = "".join(f"{line}\n" for line in EVENTS).encode()
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    path.chmod(0o640)
    assert erase_events(path, NAMES) == 3
    assert erase_events(path, NAMES) == 0, "it can be run again"
    left = path.read_bytes()
    text = (gzip.decompress(left) if name.endswith("gz") else left).decode()
    assert lines_of(text) == [line for n, line in enumerate(EVENTS) if line and n not in (0, 3, 8)]
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_no_other_byte_of_a_plain_file_moves(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    data = "".join(f"{line}\n" for line in EVENTS).encode()
    path.write_bytes(data)
    with path.open("ab") as writer:  # the service goes on writing to the file that it has open
        erase_events(path, NAMES)
        writer.write(event("late").encode() + b"\n")
    left = path.read_bytes()
    assert len(left) == len(data) + len(event("late")) + 1
    assert left.count(b"\n") == data.count(b"\n") + 1
    assert left.endswith(event("late").encode() + b"\n")


def test_a_line_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(event("gone"))
    assert erase_events(path, NAMES) == 0
    assert path.read_text() == event("gone")


def test_a_folder_is_searched_for_its_event_files(tmp_path: Path) -> None:
    for name in ("0001.jsonl", "0002.jsonl"):
        (tmp_path / name).write_text(event("gone") + "\n" + event("stays") + "\n")
    (tmp_path / "lock").write_text("gone")
    assert erase_events(tmp_path, NAMES) == 2
    assert (tmp_path / "lock").read_text() == "gone"


def test_a_file_that_is_not_there_or_broken_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="is not there"):
        erase_events(tmp_path / "none.jsonl", NAMES)
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(b"x" * 1000)[:-20])
    with pytest.raises(LoadError, match="cannot be searched"):
        erase_events(broken, NAMES)
    assert [file.name for file in tmp_path.iterdir()] == ["broken.jsonl.gz"]


def test_an_id_inside_another_field_is_no_match() -> None:
    assert not is_event_of(event("x", hypotheses=[{"query": "gone"}]).encode(), NAMES)
    assert is_event_of(b'{"user_id":"\\u0067one"}', NAMES)
