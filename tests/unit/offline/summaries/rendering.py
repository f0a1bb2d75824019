"""Small real video files, rendered by the tests that read them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = (240, 136)  # pixels; a macroblock has 16
RATE = 5  # frames a second
CHINESE_FONT = Path(__file__).with_name("overlay.ttf")  # the characters that overlay.md lists

_UPRIGHT = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # the matrix of a track in an .mp4 file
_TURN_RIGHT = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)

Scene = tuple[str, tuple[int, int, int], float]  # text on screen, colour of the background, seconds


def picture(text: str, colour: tuple[int, int, int] = (235, 235, 225)) -> NDArray[np.uint8]:
    """Return uint8[height, width, 3] with one line of text; Chinese text must consist of the font's characters."""
    image = Image.new("RGB", SIZE, colour)
    font = ImageFont.load_default(30) if text.isascii() else ImageFont.truetype(str(CHINESE_FONT), 30)
    ImageDraw.Draw(image).text((12, 48), text, font=font, fill=(20, 20, 20))
    return np.asarray(image)


def render(
    path: Path,
    scenes: Sequence[Scene],
    *,
    codec: str = "mpeg4",
    group: int = 12,
    sound: Path | None = None,
    turned: bool = False,
) -> Path:
    """Write a video of some scenes.

    Args:
        path: the file; its ending chooses the container.
        scenes: one after another.
        codec: mpeg4 puts a key frame every `group` frames, whatever the scenes are.
        group: frames from key frame to key frame.
        sound: a .wav file with the audio track; None for none.
        turned: store the frames turned by 90 degrees, as a phone does; for a .mp4 file.
    """
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = SIZE[::-1] if turned else SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 400_000
        stream.gop_size = group
        track = container.add_stream("aac", rate=16_000) if sound else None
        for text, colour, seconds in scenes:
            drawn = np.ascontiguousarray(np.rot90(picture(text, colour), 1 if turned else 0))
            for _ in range(round(seconds * RATE)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, format="rgb24")))
        container.mux(stream.encode(None))
        if track is not None:
            with av.open(sound) as spoken:
                resampler = av.AudioResampler(format="fltp", layout="mono", rate=16_000)
                for frame in spoken.decode(audio=0):
                    for part in resampler.resample(frame):
                        part.pts = None
                        container.mux(track.encode(part))
            container.mux(track.encode(None))
    if turned:
        content = path.read_bytes()
        assert content.count(_UPRIGHT) == 2  # of the movie and of its track
        place = content.index(_UPRIGHT, content.index(b"tkhd"))
        path.write_bytes(content[:place] + _TURN_RIGHT + content[place + len(_TURN_RIGHT) :])
    return path


def spoken(path: Path, words: str) -> Path:
    """Write a .wav file in which espeak-ng says some words."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is missing; install it with: apt-get install espeak-ng")
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(path), words], check=True)
    return path


def tone(path: Path, seconds: float) -> Path:
    """Write a .wav file with a tone."""
    samples = np.sin(np.arange(int(seconds * 16_000)) * 2 * np.pi * 440 / 16_000)
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 8000).astype(np.int16)[None], format="s16", layout="mono")
        frame.rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
