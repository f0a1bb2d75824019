"""Speech text of an audio track, by faster-whisper with a model folder on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from offline.summaries.errors import InputError, VideoFileError
from offline.summaries.frames import OPEN_OPTIONS

SAMPLE_RATE = 16_000
"""Samples a second that Whisper takes."""

MAX_SECONDS = 90
"""Seconds of speech that are read. A summary keeps far fewer words than are spoken in this time."""

MAX_PACKETS = 50_000
"""Packets of a file that are read in search of audio."""

MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")
"""Files that a model folder must have. Without its tokenizer faster-whisper would look for one on the network."""


class SpeechReader:
    """Transcribes audio tracks. Safe for several threads."""

    def __init__(self, folder: Path, workers: int) -> None:
        """Load a model.

        Args:
            folder: a Whisper model in the format of CTranslate2.
            workers: how many tracks are transcribed at a time, with one thread each.

        Raises:
            InputError: faster-whisper is not installed, or the folder is no such model.
        """
        missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"{folder} has no {' and no '.join(missing)}; give a folder with a Whisper model in the format of "
                "CTranslate2 (docs/summaries.md)"
            )
        try:
            from faster_whisper import WhisperModel
        except ModuleNotFoundError as error:
            raise InputError(
                f"speech needs the package {error.name!r}; install it with: pip install -e '.[summaries,speech]'"
            ) from error
        try:
            self._model: Any = WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=1,
                num_workers=workers,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{folder} is not a Whisper model that faster-whisper can load: {error}") from error
        with (folder / "model.bin").open("rb") as file:
            self.version = f"whisper {hashlib.file_digest(file, 'sha256').hexdigest()[:16]} {MAX_SECONDS} s"

    def read(self, path: Path) -> str:
        """Return what is said in a video file, "" without speech or without an audio track.

        Raises:
            VideoFileError: the file cannot be decoded.
        """
        sound = read_sound(path)
        if not sound.size:
            return ""
        # Without a filter of silence, Whisper invents words for music.
        segments, _ = self._model.transcribe(sound, vad_filter=True, beam_size=1, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)


def read_sound(path: Path) -> NDArray[np.float32]:
    """Return float32[samples], mono, at SAMPLE_RATE: the first MAX_SECONDS of the first audio track, or no samples.

    Raises:
        VideoFileError: the file cannot be opened, or its audio is damaged from the start.
    """
    pieces: list[NDArray[np.float32]] = []
    length = packets = 0
    try:
        with av.open(path, options=OPEN_OPTIONS) as container:
            if not container.streams.audio:
                return np.zeros(0, np.float32)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            for packet in container.demux(container.streams.audio[0]):
                packets += 1
                if length >= MAX_SECONDS * SAMPLE_RATE or packets > MAX_PACKETS:
                    break
                for frame in packet.decode():
                    for part in resampler.resample(frame):
                        pieces.append(part.to_ndarray().reshape(-1).astype(np.float32, copy=False))
                        length += pieces[-1].size
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        if not pieces:
            reason = getattr(error, "strerror", None) or str(error)
            raise VideoFileError("damaged", f"{path} has audio that cannot be decoded ({reason})") from error
    return np.concatenate([*pieces, np.zeros(0, np.float32)])[: MAX_SECONDS * SAMPLE_RATE]
