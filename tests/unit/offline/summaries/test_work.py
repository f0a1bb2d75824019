"""Speech within the work on videos: read once for a file, and never where the input has it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from evidence.schema import RawText
from offline.summaries.errors import VideoFileError
from offline.summaries.frames import FrameSettings
from offline.summaries.journal import Journal
from offline.summaries.outcome import Outcome
from offline.summaries.speech import SpeechReader
from offline.summaries.videos import Video, VideoFiles
from offline.summaries.work import Summarizer
from tests.unit.offline.summaries.rendering import render


class Listener:
    """In the place of a Whisper model, which no package of the tests has: the words of a file by its name."""

    version = "listener 1"

    def __init__(self, **words: str) -> None:
        self.words = words
        self.heard: list[str] = []

    def read(self, path: Path) -> str:
        self.heard.append(path.stem)
        if path.stem not in self.words:
            raise VideoFileError("damaged", f"{path} has no sound")
        return self.words[path.stem]


class NoBar:
    def update(self, n: int) -> Any:
        pass


@pytest.fixture
def videos(tmp_path: Path) -> list[Video]:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a", "b", "silent"):
        render(folder / f"{name}.mp4", [("", (20 * len(name), 200, 90), 0.4)])
    return [
        Video("a", RawText(caption="hi")),
        Video("b", RawText(caption="hi"), speech="what the input says"),
        Video("silent", RawText(caption="hi")),
        Video("none", RawText(caption="hi")),
    ]


def work_on(tmp_path: Path, videos: list[Video], listener: Listener) -> list[Outcome]:
    with Journal(tmp_path / "out") as journal:
        work = Summarizer(
            VideoFiles(tmp_path / "videos"), journal, FrameSettings(), cast(SpeechReader, listener), workers=2
        )
        try:
            return asyncio.run(work.run(videos, work.look(videos, NoBar()), None, NoBar()))
        finally:
            work.close()


def test_speech_is_read_once_for_a_file_and_only_where_the_input_has_none(tmp_path: Path, videos: list[Video]) -> None:
    listener = Listener(a="a very quiet kettle")
    outcomes = work_on(tmp_path, videos, listener)
    assert [outcome.summary for outcome in outcomes] == ["a very quiet kettle", "what the input says", "", ""]
    assert outcomes[0].content == ("a very quiet kettle",)
    assert outcomes[2].file_fault == "damaged"
    assert sorted(listener.heard) == ["a", "silent"]
    assert [outcome.summary for outcome in work_on(tmp_path, videos, listener)] == [o.summary for o in outcomes]
    assert sorted(listener.heard) == ["a", "silent"]


def test_another_model_hears_again(tmp_path: Path, videos: list[Video]) -> None:
    work_on(tmp_path, videos, Listener(a="one", silent=""))
    other = Listener(a="two", silent="")
    other.version = "listener 2"
    assert work_on(tmp_path, videos, other)[0].summary == "two"
