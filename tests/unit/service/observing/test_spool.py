"""The spool: bounded, in order, whole after a crash, and for one process at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from feature_store.event_files import erase_events
from service.errors import ConfigurationError
from service.observing import spool as spool_module
from service.observing.spool import Spool, segments
from service.settings import MIB


def lines(*numbers: int) -> list[bytes]:
    return [json.dumps({"n": number}).encode() for number in numbers]


def drained(spool: Spool) -> list[int]:
    """Deliver everything, in small pieces."""
    found: list[int] = []
    while not spool.is_empty:
        batch, taken = spool.peek(7, 1000)
        found += [json.loads(line)["n"] for line in batch]
        spool.delivered(taken)
    return found


@pytest.fixture
def opened() -> Iterator[Callable[..., Spool]]:
    """Open spools that are closed when the test ends."""
    with ExitStack() as stack:
        yield lambda folder, max_bytes=MIB: stack.enter_context(closing(Spool(folder, max_bytes)))


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 100)


@pytest.mark.usefixtures("small_segments")
def test_lines_are_read_in_the_order_in_which_they_were_appended(tmp_path, opened):
    spool = opened(tmp_path)
    for start in range(0, 100, 5):
        assert spool.append(lines(*range(start, start + 5))) == 5
    assert len(segments(tmp_path)) > 5
    assert drained(spool) == list(range(100))
    assert spool.size == 0
    assert segments(tmp_path) == []
    spool.append(lines(100))
    assert drained(spool) == [100]


@pytest.mark.usefixtures("small_segments")
def test_the_next_process_reads_only_the_lines_that_were_not_delivered(tmp_path, opened):
    spool = Spool(tmp_path, MIB)
    spool.append(lines(*range(10)))
    spool.append(lines(*range(10, 40)))
    _, taken = spool.peek(4, MIB)
    spool.delivered(taken)
    spool.close()
    after = opened(tmp_path)
    assert after.size == sum(path.stat().st_size for path in segments(tmp_path))
    after.append(lines(40))
    assert drained(after) == list(range(4, 41))


def test_a_full_disk_at_the_end_loses_no_line(tmp_path, monkeypatch):
    """The oldest segment is not written anew then, and its delivered lines come once more."""
    spool = Spool(tmp_path, MIB)
    spool.append(lines(*range(40)))
    _, taken = spool.peek(4, MIB)
    spool.delivered(taken)
    create = spool_module._create
    monkeypatch.setattr(spool_module, "_create", lambda path: HalfFull(create(path)))
    spool.close()
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == ["0000000000000001.jsonl"]
    with closing(Spool(tmp_path, MIB)) as after:
        assert after.torn == 0
        assert drained(after) == list(range(40))


class HalfFull:
    """A file on a disk that has room for half of what is written."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, data):
        return self._file.write(data[: len(data) // 2])

    def fileno(self):
        return self._file.fileno()


def test_lines_over_the_limit_are_refused_until_others_are_delivered(tmp_path, opened):
    spool = opened(tmp_path, 50)
    assert spool.append(lines(*range(10))) == 5
    assert spool.append(lines(11)) == 0
    assert spool.size <= 50
    assert drained(spool) == [0, 1, 2, 3, 4]
    assert spool.append(lines(12)) == 1


def test_a_partial_line_left_by_a_crash_is_removed_and_counted(tmp_path, opened):
    (tmp_path / "0000000000000001.jsonl").write_bytes(b'{"n":1}\n{"n":2}\n{"n":')
    (tmp_path / "0000000000000002.jsonl").write_bytes(b"torn" * 40_000)
    (tmp_path / "0000000000000003.jsonl").write_bytes(b'{"n":3}\n')
    spool = opened(tmp_path)
    assert spool.torn == 2
    spool.append(lines(4))
    assert drained(spool) == [1, 2, 3, 4]


def test_a_failed_write_does_not_damage_earlier_lines(tmp_path, monkeypatch, opened):
    spool = opened(tmp_path)
    spool.append(lines(1))

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        spool.append(lines(2))
    monkeypatch.undo()
    spool.append(lines(3))
    assert drained(spool) == [1, 3]


def test_a_second_process_is_refused_with_one_sentence(tmp_path):
    spool = Spool(tmp_path, MIB)
    with pytest.raises(ConfigurationError, match=r"in use by another process.*ONEBAR_EVENTS__SPOOL_PATH"):
        Spool(tmp_path, MIB)
    spool.close()
    Spool(tmp_path, MIB).close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="ONEBAR_EVENTS__SPOOL_PATH"):
        Spool(tmp_path / "file" / "spool", MIB)


def test_the_spool_is_readable_by_its_owner_only(tmp_path, opened):
    spool = opened(tmp_path / "spool")
    spool.append(lines(1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "spool", *segments(tmp_path / "spool")]}
    assert set(modes.values()) == {0o700, 0o600}


@pytest.mark.usefixtures("small_segments")
def test_lines_are_erased_in_place_while_the_spool_is_in_use(tmp_path, opened):
    events = [b'{"n":%d,"user_id":"%s"}' % (n, b"odd" if n % 2 else b"even") for n in range(40)]
    spool = opened(tmp_path)
    spool.append(events[:30])
    _, taken = spool.peek(2, MIB)
    spool.delivered(taken)
    spool.append(events[30:])
    sizes = [path.stat().st_size for path in segments(tmp_path)]
    assert erase_events(tmp_path, {"odd"}) == 20
    assert [path.stat().st_size for path in segments(tmp_path)] == sizes
    spool.append(lines(41))
    assert drained(spool) == [*range(2, 40, 2), 41]


def test_an_appended_line_survives_sigkill(tmp_path, opened):
    script = """
import os, sys
from pathlib import Path
from service.observing.spool import Spool
spool = Spool(Path(sys.argv[1]), 2**20)
number = 0
while True:
    spool.append([b'{"n":%d}' % number])
    number += 1
    os.write(1, b"%d\\n" % number)
"""
    root = Path(__file__).parents[4]
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    assert writer.stdout is not None
    with writer.stdout:
        for _ in range(50):
            confirmed = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        confirmed = max([confirmed, *map(int, writer.stdout.read().split(b"\n")[:-1])])
    writer.wait()
    spool = opened(tmp_path)
    found = drained(spool)
    assert found == list(range(len(found)))
    assert len(found) >= confirmed >= 50
