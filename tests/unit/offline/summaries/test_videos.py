"""The rows of the input, and where their files are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evidence.schema import RawText
from offline.summaries.errors import InputError, VideoFileError
from offline.summaries.videos import Video, VideoFiles, find_table, read_videos


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_parquet_and_json_lines_give_the_same_rows(tmp_path: Path) -> None:
    rows = [
        {"photo_id": "p1", "caption": "c", "item_title": None, "speech": "s", "file": "a.mp4", "created_day": 3},
        {"photo_id": "p2", "caption": None, "item_title": "t", "speech": None, "file": None, "created_day": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    expected = [
        Video("p1", RawText(caption="c"), speech="s", file="a.mp4", created_day=3),
        Video("p2", RawText(item_title="t")),
    ]
    assert read_videos(tmp_path / "a.parquet") == expected
    assert read_videos(write_lines(tmp_path / "a.jsonl", *rows)) == expected


def test_half_characters_of_json_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"photo_id": "p", "caption": "kettle \\ud83d now"}\n')
    (video,) = read_videos(tmp_path / "a.jsonl")
    assert video.text.caption == "kettle ? now"


def test_a_folder_of_log_tables_stands_for_its_videos(tmp_path: Path) -> None:
    pq.write_table(pa.table({"photo_id": ["p"]}), tmp_path / "videos.parquet")
    assert find_table(tmp_path) == tmp_path / "videos.parquet"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no rows"),
        ([{"caption": "c"}], "line 1 has no photo_id; every video needs one"),
        ([{"photo_id": "p"}, {"photo_id": "p"}], "line 2: the photo_id 'p' repeats; keep one row for each video"),
        ([{"photo_id": 7}], "line 1: photo_id must be a string or null, not int"),
        ([{"photo_id": "p", "created_day": "3"}], "line 1: created_day must be an integer or null, not str"),
        ([["p"]], "line 1 is not a JSON object; write one object a line"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_videos(write_lines(tmp_path / "a.jsonl", *rows))


def test_a_file_of_another_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no")
    (tmp_path / "a.jsonl").write_text("{broken\n")
    (tmp_path / "a.csv").write_text("photo_id\n")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_videos(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="line 1 is not JSON"):
        read_videos(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"ends in '\.csv'; give a \.parquet or a \.jsonl file"):
        find_table(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"videos\.parquet is missing; give"):
        find_table(tmp_path)


def test_a_file_is_found_by_its_column_or_by_the_photo_id(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name in ("p1.mp4", "clips/x.mov", "p1.txt"):
        (tmp_path / name).write_bytes(b"")
    files = VideoFiles(tmp_path)
    assert files.find(Video("p1", RawText())) == tmp_path.resolve() / "p1.mp4"
    assert files.find(Video("p9", RawText(), file="clips/x.mov")) == tmp_path.resolve() / "clips" / "x.mov"
    assert files.find(Video("p9", RawText())) is None
    assert VideoFiles(None).find(Video("p1", RawText(), file="p1.mp4")) is None


def test_a_row_cannot_name_a_file_outside_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"")
    files = VideoFiles(tmp_path / "videos")
    for name in ("../secret.mp4", str(tmp_path / "secret.mp4"), "a/../../secret.mp4"):
        with pytest.raises(VideoFileError, match="is outside of") as caught:
            files.find(Video("p", RawText(), file=name))
        assert caught.value.kind == "outside the folder"
    with pytest.raises(VideoFileError, match="is missing; correct the column") as caught:
        files.find(Video("p", RawText(), file="none.mp4"))
    assert caught.value.kind == "missing"
