"""Frames of a video file: a few that differ from each other, at bounded cost.

Encoders put key frames at cuts, and a key frame is decoded without its neighbours. So candidates are the key frames
near evenly spaced times. A file with too few of them, or without an index, is decoded from its start instead. Of the
candidates, those are kept that differ most from each other: a cut to another scene, or another text on the screen.

A file comes from an unknown person. Only container formats of video are opened (a playlist could name other files or
addresses), and packets, decoded frames and pixels are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from offline.summaries.errors import VideoFileError

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,asf,ogg"
"""Container formats that are opened."""

OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}

Image = NDArray[np.uint8]

_SIDE = 32
"""Side of the small grey image by which candidates are compared."""

_BLOCKS = 4
"""Blocks along each side of it."""


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """How frames are sampled.

    Attributes:
        frames: the most frames returned.
        candidates: the most frames that are compared.
        max_side: longer side of a returned frame, in pixels; larger frames are reduced.
        max_decoded: frames that are decoded at most.
        max_packets: packets that are read at most.
        max_pixels: a file with larger frames is refused.
        min_difference: difference from which two frames count as different: the mean absolute difference of grey
            values (0 to 255) in the block where it is largest.
        min_contrast: standard deviation of grey values under which a frame counts as blank.
    """

    frames: int = 6
    candidates: int = 24
    max_side: int = 960
    max_decoded: int = 600
    max_packets: int = 20_000
    max_pixels: int = 4096 * 4096
    min_difference: float = 6.0
    min_contrast: float = 4.0


DEFAULTS = FrameSettings()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        seconds: its time in the video.
        image: uint8[height, width, 3], RGB, upright.
        signature: float32[32, 32], grey values of the reduced image.
    """

    seconds: float
    image: Image
    signature: NDArray[np.float32]


class _Reader:
    """One open file, and what may still be read and decoded of it."""

    def __init__(self, path: Path, container: InputContainer, settings: FrameSettings) -> None:
        if not container.streams.video:
            raise VideoFileError("without a video track", f"{path} has no video track; give another file")
        self._path, self._container, self._settings = path, container, settings
        self._stream: VideoStream = container.streams.video[0]
        self._packets, self._frames = settings.max_packets, settings.max_decoded
        context = self._stream.codec_context
        self._check_size(context.width, context.height)
        context.thread_count = 1
        context.options = {"max_pixels": str(settings.max_pixels)}
        self.candidates: dict[float, Frame] = {}

    def key_frames(self) -> None:
        """Decode the key frame before each of `candidates` evenly spaced times."""
        stream = self._stream
        start = stream.start_time or 0
        if stream.duration:
            step = stream.duration / self._settings.candidates
        elif self._container.duration and stream.time_base:
            step = float(self._container.duration / av.time_base / stream.time_base) / self._settings.candidates
        else:
            return
        seen: set[int | None] = set()
        for number in range(self._settings.candidates):
            self._container.seek(start + int((number + 0.5) * step), stream=stream)
            for packet in self._container.demux(stream):
                self._packets -= 1
                if self._packets < 0 or self._frames <= 0:
                    return
                if packet.is_keyframe and packet.size:
                    if packet.pts not in seen:
                        seen.add(packet.pts)
                        # None takes out what the decoder holds back; the next seek resets it.
                        for frame in (*stream.codec_context.decode(packet), *stream.codec_context.decode(None)):
                            self._keep(frame)
                    break

    def from_start(self) -> None:
        """Decode the first frames in order, and keep every 2^n-th of them, with n as small as fits."""
        self._container.seek(0)
        kept: list[Frame] = []
        step = 1
        place = -1
        try:
            for packet in self._container.demux(self._stream):
                self._packets -= 1
                if self._packets < 0 or self._frames <= 0:
                    break
                try:
                    decoded = packet.decode()
                except av.InvalidDataError:
                    continue  # a damaged packet; the next key frame can be decoded again
                for frame in decoded:
                    self._frames -= 1
                    place += 1
                    if place % step == 0:
                        kept.append(self._converted(frame))
                if len(kept) >= 2 * self._settings.candidates:
                    kept, step = kept[::2], 2 * step
        finally:
            self.candidates.update((frame.seconds, frame) for frame in kept)

    def _keep(self, frame: VideoFrame) -> None:
        self._frames -= 1
        kept = self._converted(frame)
        self.candidates[kept.seconds] = kept

    def _converted(self, frame: VideoFrame) -> Frame:
        """Return a frame as an upright RGB image that is no larger than allowed."""
        self._check_size(frame.width, frame.height)
        scale = min(1.0, self._settings.max_side / max(frame.width, frame.height))
        size: dict[str, Any] = {name: max(1, round(getattr(frame, name) * scale)) for name in ("width", "height")}
        image: Any = frame.reformat(**size, format="rgb24").to_ndarray()
        grey = frame.reformat(width=_SIDE, height=_SIDE, format="gray").to_ndarray()
        upright = np.ascontiguousarray(np.rot90(image, frame.rotation // 90))
        return Frame(self._seconds(frame), upright, grey.astype(np.float32))

    def _seconds(self, frame: VideoFrame) -> float:
        if frame.pts is None or self._stream.time_base is None:
            return float(self._settings.max_decoded - self._frames)  # no time is known: the order remains
        return float((frame.pts - (self._stream.start_time or 0)) * self._stream.time_base)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._settings.max_pixels:
            raise VideoFileError(
                "too large", f"{self._path} has frames of {width} x {height} pixels; give a smaller rendition"
            )


def sample_frames(path: Path, settings: FrameSettings = DEFAULTS) -> list[Frame]:
    """Return at most `settings.frames` frames of a video file that differ from each other, in order of time.

    A file that is damaged further on gives the frames before the damage.

    Raises:
        VideoFileError: no frame can be decoded; the file is no video, or its frames are too large.
    """
    candidates: dict[float, Frame] = {}
    fault: Exception | None = None
    try:
        with av.open(path, options=OPEN_OPTIONS) as container:
            reader = _Reader(path, container, settings)
            candidates = reader.candidates
            try:
                reader.key_frames()
            except (av.FFmpegError, ValueError) as error:  # no index, or a damaged one
                fault = error
            if len(candidates) < settings.frames:
                reader.from_start()
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        fault = error
    if not candidates:
        reason = f" ({_reason(fault)})" if fault else ""
        raise VideoFileError("damaged", f"{path} has no frame that can be decoded{reason}; upload it again")
    return _different([candidates[seconds] for seconds in sorted(candidates)], settings)


def _different(candidates: list[Frame], settings: FrameSettings) -> list[Frame]:
    """Return the frames that differ most from each other: each is farthest from those taken before it."""
    clear = [frame for frame in candidates if frame.signature.std() >= settings.min_contrast] or candidates[:1]
    taken = [0]
    distance = np.array([_difference(frame, clear[0]) for frame in clear])
    while len(taken) < settings.frames:
        farthest = int(distance.argmax())
        if distance[farthest] < settings.min_difference:
            break
        taken.append(farthest)
        distance = np.minimum(distance, [_difference(frame, clear[farthest]) for frame in clear])
    return [clear[place] for place in sorted(taken)]


def _difference(one: Frame, other: Frame) -> float:
    """Return the difference of two frames in the block where it is largest, so that a new line of text counts."""
    blocks = np.abs(one.signature - other.signature).reshape(_BLOCKS, -1, _BLOCKS, _SIDE // _BLOCKS)
    return float(blocks.mean(axis=(1, 3)).max())


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
