"""Text on frames, in two languages, each line once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline.summaries.frames import Frame, sample_frames
from offline.summaries.ocr import TextReader
from tests.unit.offline.summaries.rendering import picture, render

WHITE, ORANGE = (235, 235, 225), (250, 200, 120)


def frame(image: np.ndarray) -> Frame:
    return Frame(0.0, image, np.zeros((32, 32), np.float32))


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def test_english_and_chinese_text_of_a_video(tmp_path: Path, reader: TextReader) -> None:
    path = render(tmp_path / "a.mp4", [("CFMOTO 675NK", WHITE, 2), ("无线吸尘器", ORANGE, 2)], group=5)
    assert reader.read(sample_frames(path)) == ["CFMOTO 675NK", "无线吸尘器"]


def test_a_video_that_a_phone_has_turned_is_read_upright(tmp_path: Path, reader: TextReader) -> None:
    path = render(tmp_path / "a.mp4", [("CFMOTO 675NK", WHITE, 1)], turned=True)
    assert reader.read(sample_frames(path)) == ["CFMOTO 675NK"]


def test_a_line_that_stays_on_screen_is_read_once(reader: TextReader) -> None:
    frames = [frame(picture("CFMOTO 675NK", colour)) for colour in (WHITE, ORANGE)]
    assert reader.read(frames) == ["CFMOTO 675NK"]


def test_a_frame_without_text_has_no_lines(reader: TextReader) -> None:
    noise = np.random.default_rng(7).integers(0, 60, (136, 240, 3)).astype(np.uint8)
    assert reader.read([frame(picture("")), frame(noise)]) == []
