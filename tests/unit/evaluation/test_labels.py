"""Labels are joined with the shown videos of a day, and each wrong form has a message that says how to correct it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.errors import InputError
from evaluation.labels import labelled_videos, read_labelled, write_labelled

GOOD: dict[str, Any] = {"photo_id": ["p0", "p1"], "unsafe": [True, False], "category": ["fraud", None]}


@pytest.fixture
def labels(tmp_path: Path) -> Callable[..., Path]:
    """Write labels of two videos, with other columns where they are given."""

    def write(**columns: Any) -> Path:
        pq.write_table(pa.table(GOOD | columns), tmp_path / "labels.parquet")
        return tmp_path / "labels.parquet"

    return write


@pytest.fixture
def shown(examples_file: Callable[..., Path]) -> Path:
    return examples_file([{"photo_id": f"p{n}", "kind": "shown", "target": ""} for n in (1, 0, 9)], "shown.parquet")


def test_shown_videos_get_their_labels(shown: Path, labels: Callable[..., Path], tmp_path: Path) -> None:
    assert write_labelled(shown, labels(), tmp_path / "out.parquet") == 2
    videos = read_labelled(tmp_path / "out.parquet")
    assert [example.photo_id for example in videos.examples] == ["p1", "p0"]
    assert videos.unsafe == [False, True]
    assert videos.category == ["", "fraud"]


def test_labels_of_other_logs_are_refused(
    examples_file: Callable[..., Path], labels: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"has no label for any video .* first is of 'p0', .* shown is 'elsewhere'"):
        write_labelled(examples_file([{"photo_id": "elsewhere"}]), labels(), tmp_path / "out.parquet")


@pytest.mark.parametrize(
    "columns",
    [
        {name: pa.array(values).dictionary_encode() for name, values in GOOD.items() if name != "unsafe"},
        {name: pa.array(values, pa.large_string()) for name, values in GOOD.items() if name != "unsafe"},
        {"category": [None, None]},
    ],
)
def test_other_types_of_the_same_values_are_read(
    columns: dict[str, Any], shown: Path, labels: Callable[..., Path], tmp_path: Path
) -> None:
    assert write_labelled(shown, labels(**columns), tmp_path / "out.parquet") == 2


def test_ids_that_a_platform_writes_as_numbers_are_those_of_the_examples(
    examples_file: Callable[..., Path], labels: Callable[..., Path], tmp_path: Path
) -> None:
    shown = examples_file([{"photo_id": "17"}, {"photo_id": "18"}])
    assert write_labelled(shown, labels(photo_id=[18, 19]), tmp_path / "out.parquet") == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"unsafe": [1, 0]}, "the type int64 in the column unsafe; give a bool, true for"),
        ({"unsafe": ["yes", "no"]}, "the type string in the column unsafe; give a bool"),
        ({"photo_id": [1.0, 2.0]}, "the type double in the column photo_id; give the id"),
        ({"category": [3, 4]}, "the type int64 in the column category; give the policy category as a string"),
        ({"unsafe": [True, None]}, "no unsafe in row 2; give a bool, .* or leave the row out"),
        ({"unsafe": [None, None]}, "no unsafe in row 1"),
        ({"photo_id": [None, "p1"]}, "no photo_id in row 1"),
        ({"photo_id": ["p0", "p0"]}, "the photo_id 'p0' in row 1 and in row 2; keep one row of each video"),
    ],
)
def test_wrong_labels_are_refused_with_file_place_and_fix(
    columns: dict[str, Any], message: str, shown: Path, labels: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"labels\.parquet has {message}"):
        write_labelled(shown, labels(**columns), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_file_of_another_form_is_refused(shown: Path, tmp_path: Path) -> None:
    fix = "give a Parquet file with the columns photo_id, unsafe, category"
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"photo_id": ["p0"], "verdict": ["unsafe"]}), path)
    with pytest.raises(InputError, match=f"has no column unsafe, category; {fix}"):
        write_labelled(shown, path, tmp_path / "out.parquet")
    path.write_text("photo_id\tunsafe\n")
    with pytest.raises(InputError, match=f"cannot be read as Parquet .*; {fix}"):
        write_labelled(shown, path, tmp_path / "out.parquet")


def test_each_held_out_day_has_its_own_labelled_videos(
    examples_file: Callable[..., Path], labels: Callable[..., Path], tmp_path: Path
) -> None:
    for split, photo in (("valid", "p0"), ("test", "p1")):
        examples_file([{"photo_id": photo, "kind": "shown", "target": ""}], f"shown_{split}.parquet")
    of_test = labelled_videos(tmp_path, "test", labels())
    assert labelled_videos(tmp_path, "valid", None) is None
    of_valid = labelled_videos(tmp_path, "valid", labels())
    assert of_test is not None
    assert of_valid is not None
    assert (of_test.unsafe, of_valid.unsafe) == ([False], [True])
    assert labelled_videos(tmp_path, "valid", None) == of_valid
