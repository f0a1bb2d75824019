"""Text on frames, by RapidOCR. Its models (PP-OCRv6, Chinese and English) are in its package; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any

from rapidfuzz.fuzz import ratio
from rapidocr import RapidOCR

from offline.summaries.frames import Frame

MAX_LINES = 40
"""Lines of a video that are kept."""

MIN_SCORE = 0.7
"""Lines of which the model is less certain are dropped: texture that looks like letters."""

SAME_LINE = 85.0
"""Similarity (0 to 100) from which two lines are readings of one line: a caption that stays for several frames."""

_SETTINGS = {
    "Global.log_level": "error",
    "Global.use_cls": False,  # upside-down text is not what a video is about
    # Frames have their final size already; by default small ones would be enlarged, at four times the cost.
    "Det.limit_type": "max",
    "Det.limit_side_len": 960,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


_idle: SimpleQueue[RapidOCR] = SimpleQueue()
"""Models of this process that no thread uses. A model is for one thread at a time, and is loaded in .3 s."""


class TextReader:
    """Reads the text on frames. Safe for several threads; each thread at work has a model of its own.

    Attributes:
        version: changes with the models and the settings.
    """

    def __init__(self) -> None:
        self.version = f"rapidocr {version('rapidocr')} {sorted(_SETTINGS.items())} {MIN_SCORE} {SAME_LINE} {MAX_LINES}"

    def read(self, frames: Sequence[Frame]) -> list[str]:
        """Return the lines on these frames from top to bottom, each once; of several readings the most certain one."""
        lines: list[tuple[str, float]] = []
        try:
            model = _idle.get_nowait()
        except Empty:
            model = RapidOCR(params=_SETTINGS)
        try:
            for frame in frames:
                for text, score in _read(model, frame):
                    _add(lines, text, score)
        finally:
            _idle.put(model)
        return [text for text, _ in lines[:MAX_LINES]]


def _read(model: RapidOCR, frame: Frame) -> list[tuple[str, float]]:
    result: Any = model(frame.image[:, :, ::-1])  # it takes BGR
    found = zip(result.txts or (), result.scores or (), strict=True)
    return [(" ".join(text.split()), float(score)) for text, score in found if score >= MIN_SCORE]


def _add(lines: list[tuple[str, float]], text: str, score: float) -> None:
    if sum(map(str.isalnum, text)) < 2:
        return
    for place, (known, certainty) in enumerate(lines):
        if ratio(known, text) >= SAME_LINE:
            if score > certainty:
                lines[place] = (text, score)
            return
    lines.append((text, score))
