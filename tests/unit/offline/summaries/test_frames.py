"""Frames of a video file: a few that differ, whatever the container, at bounded cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline.summaries.errors import VideoFileError
from offline.summaries.frames import FrameSettings, sample_frames
from tests.unit.offline.summaries.rendering import SIZE, Scene, render, tone

WHITE, ORANGE, BLACK = (235, 235, 225), (250, 200, 120), (0, 0, 0)
TWO_SCENES: list[Scene] = [("CFMOTO 675NK", WHITE, 3), ("SALE 199", ORANGE, 3)]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize(
    ("ending", "codec", "group"),
    [
        ("mp4", "mpeg4", 5),
        ("avi", "mpeg4", 300),
        ("webm", "libvpx-vp9", 300),
        ("mkv", "mpeg4", 300),
        ("ts", "mpeg4", 5),
    ],
)
def test_each_scene_gives_one_frame(tmp_path: Path, ending: str, codec: str, group: int) -> None:
    path = render(tmp_path / f"a.{ending}", TWO_SCENES, codec=codec, group=group)
    first, second = sample_frames(path)
    assert first.seconds < 3 <= second.seconds
    assert first.image.shape == second.image.shape == (*SIZE[::-1], 3)
    assert difference(first.image[:20], second.image[:20]) > 20


def test_another_text_on_the_same_background_is_another_frame(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", [("CFMOTO 675NK", WHITE, 2), ("SALE 199", WHITE, 2)])
    assert len(sample_frames(path)) == 2


def test_a_still_video_gives_one_frame(tmp_path: Path) -> None:
    assert len(sample_frames(render(tmp_path / "a.mp4", [("SALE", WHITE, 4)], group=5))) == 1


def test_blank_frames_are_left_out_unless_there_are_no_others(tmp_path: Path) -> None:
    (frame,) = sample_frames(render(tmp_path / "a.mp4", [("", BLACK, 1), ("SALE", WHITE, 2), ("", BLACK, 1)]))
    assert 1 <= frame.seconds < 3
    assert len(sample_frames(render(tmp_path / "b.mp4", [("", BLACK, 1)]))) == 1


def test_no_more_frames_than_asked_and_none_larger(tmp_path: Path) -> None:
    scenes: list[Scene] = [(f"PART {n}", (40 * n, 90, 250 - 40 * n), 1) for n in range(6)]
    path = render(tmp_path / "a.mp4", scenes, group=5)
    assert len(sample_frames(path)) == 6
    frames = sample_frames(path, FrameSettings(frames=3, max_side=60))
    assert [frame.image.shape for frame in frames] == [(34, 60, 3)] * 3
    assert sorted(frame.seconds for frame in frames) == [frame.seconds for frame in frames]


def test_decoding_ends_at_the_bounds(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", [("CFMOTO 675NK", WHITE, 3), ("SALE 199", WHITE, 3)], group=300)
    assert len(sample_frames(path)) == 2
    assert len(sample_frames(path, FrameSettings(max_decoded=10))) == 1
    assert len(sample_frames(path, FrameSettings(max_packets=10))) == 1


def test_a_file_that_breaks_off_gives_the_frames_before_the_damage(tmp_path: Path) -> None:
    whole = render(tmp_path / "a.ts", TWO_SCENES, group=5).read_bytes()
    (tmp_path / "cut.ts").write_bytes(whole[: len(whole) * 2 // 3])
    assert sample_frames(tmp_path / "cut.ts")[0].seconds < 3


def test_damage_in_the_middle_loses_no_scene(tmp_path: Path) -> None:
    content = bytearray(render(tmp_path / "a.mp4", TWO_SCENES, group=5).read_bytes())
    middle = len(content) // 3
    content[middle : middle + 200] = bytes(200)
    (tmp_path / "damaged.mp4").write_bytes(content)
    assert len(sample_frames(tmp_path / "damaged.mp4")) >= 2


@pytest.mark.parametrize("content", [b"", b"not a video", bytes(4096)])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoFileError, match=r"a\.mp4 has no frame that can be decoded .*; upload it again") as caught:
        sample_frames(path)
    assert caught.value.kind == "damaged"


def test_a_header_without_its_frames_is_refused(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mkv", TWO_SCENES)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(VideoFileError):
        sample_frames(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    render(path, [("SALE", WHITE, 1)], sound=tone(tmp_path / "t.wav", 1))
    import av

    with av.open(path) as source, av.open(tmp_path / "sound.mkv", "w") as target:
        track = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    with pytest.raises(VideoFileError, match="no video track") as caught:
        sample_frames(tmp_path / "sound.mkv")
    assert caught.value.kind == "without a video track"


def test_large_frames_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", TWO_SCENES)
    with pytest.raises(VideoFileError, match="240 x 136 pixels") as caught:
        sample_frames(path, FrameSettings(max_pixels=10_000))
    assert caught.value.kind == "too large"


def test_a_playlist_that_names_other_files_is_not_opened(tmp_path: Path) -> None:
    render(tmp_path / "secret.ts", TWO_SCENES)
    playlist = tmp_path / "a.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nsecret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoFileError):
        sample_frames(playlist)
    playlist.write_text("ffconcat version 1.0\nfile secret.ts\n")
    with pytest.raises(VideoFileError):
        sample_frames(playlist)
