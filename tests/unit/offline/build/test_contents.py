"""Hashes of inputs: equal where the content is equal, and of all files of a table."""

from __future__ import annotations

from pathlib import Path

from offline.build.contents import folder_stamp, table_hashes, terms_hash
from offline.logs.intake import ORDER


def files(folder: Path, **contents: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.parquet").write_text(content, encoding="utf-8")
    return folder


def test_a_table_is_known_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    one = files(tmp_path / "one", **dict.fromkeys(ORDER, "rows"))
    other = files(tmp_path / "other", **dict.fromkeys(ORDER, "rows"))
    assert table_hashes(str(one), {}) == table_hashes(str(other), {})
    files(other, searches="other rows")
    before, now = table_hashes(str(one), {}), table_hashes(str(other), {})
    assert [name for name in ORDER if before[name] != now[name]] == ["searches"]


def test_each_file_of_a_partitioned_table_counts(tmp_path: Path) -> None:
    logs = files(tmp_path / "logs", **dict.fromkeys(ORDER, "rows"))
    (logs / "searches.parquet").unlink()
    for day in (0, 1):
        (logs / "searches" / f"day={day}").mkdir(parents=True)
        files(logs / "searches" / f"day={day}", part="rows")
    before = table_hashes(str(logs), {})
    (logs / "searches" / "day=1").rename(logs / "searches" / "day=2")
    assert table_hashes(str(logs), {})["searches"] != before["searches"]


def test_a_replaced_table_is_hashed_where_it_is_read(tmp_path: Path) -> None:
    logs = files(tmp_path / "logs", **dict.fromkeys(ORDER, "rows"))
    made = files(tmp_path / "made", videos="with summaries")
    assert table_hashes(str(logs), {"videos": made})["videos"] != table_hashes(str(logs), {})["videos"]


def test_what_is_behind_a_url_counts_as_changed() -> None:
    assert table_hashes("s3://bucket/logs", {}) != table_hashes("s3://bucket/logs", {})


def test_the_terms_are_those_that_are_read(tmp_path: Path) -> None:
    assert terms_hash(str(tmp_path), None) == {}
    for path in (tmp_path / "prohibited_terms.tsv", tmp_path / "mine.tsv"):
        path.write_text(f"drugs\t{path.name}\n", encoding="utf-8")
    assert terms_hash(str(tmp_path), None) != terms_hash(str(tmp_path), tmp_path / "mine.tsv")


def test_a_file_that_is_added_or_renamed_changes_the_stamp_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "p0.mp4").write_bytes(b"0")
    stamps = {folder_stamp(tmp_path)}
    (tmp_path / "p0.mp4").rename(tmp_path / "p1.mp4")
    stamps.add(folder_stamp(tmp_path))
    (tmp_path / "p0.mp4").write_bytes(b"0")
    assert len({*stamps, folder_stamp(tmp_path)}) == 3
