"""Loading files: both forms, every way in which a file can be wrong, and bad rows put aside."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from feature_store.embedded import EmbeddedStore
from feature_store.errors import LoadError, StoreUrlError
from feature_store.loader import BadRows, load, load_path, open_sources
from feature_store.publish import open_writer
from feature_store.store import open_store
from feature_store.writes import HashWrite

ROWS = [{"photo_id": f"p{n}", "caption": f"caption {n}", "anchors": ["a", "b"]} for n in range(2500)]


class Kept:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.writes: dict[str, HashWrite] = {}

    def write(self, writes: list[HashWrite]) -> None:
        self.writes |= {write.key: write for write in writes}

    def close(self) -> None:
        pass


def jsonl(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def file_of(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture(params=["jsonl", "jsonl.gz", "parquet"])
def evidence_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"evidence.{request.param}"
    if request.param == "parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        content = jsonl(ROWS)
        path.write_bytes(gzip.compress(content) if request.param == "jsonl.gz" else content)
    return path


def test_every_form_loads_the_same(evidence_file: Path) -> None:
    kept = Kept()
    seen: list[int] = []
    sizes: set[int] = set()

    def progress(source: Any, position: int) -> None:
        seen.append(position)
        sizes.add(source.size)

    report = load(open_sources(evidence_file), kept, progress=progress)
    assert (report.rows, report.written, report.bad) == (2500, 2500, 0)
    assert report.kinds == {"photos": 2500}
    assert kept.writes["onebar:1:photo:p7"].fields["anchors"] == b'["a","b"]'
    assert seen == sorted(seen)
    assert {seen[-1]} == sizes


def test_a_folder_may_hold_photos_and_users(tmp_path: Path) -> None:
    file_of(tmp_path, "part-0.jsonl", jsonl(ROWS[:3]))
    file_of(tmp_path, "users.jsonl", jsonl([{"user_id": "u", "queries": ["q"]}]))
    file_of(tmp_path, "_SUCCESS", b"")
    kept = Kept()
    assert load_path(tmp_path, kept).kinds == {"photos": 3, "users": 1}
    assert "onebar:1:user:u" in kept.writes


def test_bad_rows_are_counted_and_put_aside_with_their_reason(tmp_path: Path) -> None:
    lines = [b'{"photo_id": "a", "caption": "x"}', b"{oops", b"[1]", b'{"photo_id": "", "caption": "x"}', b"\xff", b""]
    path = file_of(tmp_path, "mixed.jsonl", b"\n".join(lines))
    aside = tmp_path / "bad.jsonl"
    with BadRows(aside) as bad_rows:
        report = load(open_sources(path), Kept(), bad_rows=bad_rows)
    assert (report.rows, report.written, report.bad) == (5, 1, 4)
    found = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [entry["row_number"] for entry in found] == [2, 3, 4, 5]
    assert found[0] == {
        "file": "mixed.jsonl",
        "row_number": 2,
        "reason": "not JSON (JSONDecodeError)",
        "row": "{oops",
    }
    assert found[2]["row"] == {"photo_id": "", "caption": "x"}
    assert sum(report.reasons.values()) == 4


def test_no_file_is_made_where_no_row_is_bad(tmp_path: Path) -> None:
    path = file_of(tmp_path, "good.jsonl", jsonl(ROWS[:2]))
    with BadRows(tmp_path / "bad.jsonl") as bad_rows:
        load(open_sources(path), Kept(), bad_rows=bad_rows)
    assert not (tmp_path / "bad.jsonl").exists()


def test_bytes_in_a_bad_row_are_put_aside_as_base64(tmp_path: Path) -> None:
    rows = [{"photo_id": "p", "embedding": b"abc", "embedding_version": "v"}]
    path = tmp_path / "evidence.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    with BadRows(tmp_path / "bad.jsonl") as bad_rows:
        load(open_sources(path), None, bad_rows=bad_rows)
    assert json.loads((tmp_path / "bad.jsonl").read_text())["row"]["embedding"] == "YWJj"


def test_misspelt_columns_are_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.jsonl", jsonl([{"photo_id": "p", "caption": "c", "histroies": []}]))
    assert load_path(path, None).ignored_columns == {"histroies"}


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.jsonl", b"\xef\xbb\xbf" + jsonl(ROWS[:2]))
    assert load_path(path, None).written == 2


def whole_parquet(folder: Path) -> bytes:
    parquet.write_table(pa.Table.from_pylist(ROWS), folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("table.csv", b"photo_id,caption\np1,hello\n", "neither Parquet nor JSON Lines"),
        ("blank.jsonl", b"\n\n", "neither Parquet nor JSON Lines"),
        ("one.json", b'[{"photo_id": "p"}]', "one JSON document: write one object a line"),
        ("odd.jsonl", b'{"id": 1, "caption": "x"}\n', "neither photo_id nor user_id; its columns are caption, id"),
        ("both.jsonl", b'{"photo_id": "p", "user_id": "u"}\n', "say which it is with --kind"),
        ("bare.jsonl", b'{"photo_id": "p", "day": 3}\n', "nothing to load beside photo_id"),
        ("user.jsonl", b'{"user_id": "u"}\n', "lacks the column queries"),
        ("cut.parquet", b"PAR1 and then nothing", "corrupt or not all there"),
        ("cut.jsonl.gz", gzip.compress(jsonl(ROWS))[:-20], "corrupt or cut off after line"),
        ("bad.jsonl.gz", b"\x1f\x8b\x08\x00 not gzip at all", "corrupt or cut off"),
    ],
)
def test_wrong_files_are_refused_with_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(LoadError, match=sentence) as caught:
        load_path(file_of(tmp_path, name, content), None)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parquet_file_that_is_corrupt_inside_is_refused(tmp_path: Path) -> None:
    content = bytearray(whole_parquet(tmp_path))
    content[100:2000] = b"\xff" * 1900
    with pytest.raises(LoadError, match="corrupt"):
        load_path(file_of(tmp_path, "corrupt.parquet", bytes(content)), None)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        load_path(tmp_path / "none.jsonl", None)
    with pytest.raises(LoadError, match="has no file that ends in"):
        load_path(tmp_path, None)


def test_kind_settles_a_file_with_both_ids(tmp_path: Path) -> None:
    row = {"photo_id": "p", "user_id": "u", "queries": ["q"], "caption": "c"}
    path = file_of(tmp_path, "both.jsonl", jsonl([row]))
    kept = Kept()
    load_path(path, kept, kind="users")
    assert list(kept.writes) == ["onebar:1:user:u"]


def test_the_errors_file_must_be_writable(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.jsonl", b'{"photo_id": "p", "caption": 1}\n')
    with BadRows(tmp_path / "no" / "folder.jsonl") as bad_rows, pytest.raises(LoadError, match="--errors-file"):
        load(open_sources(path), None, bad_rows=bad_rows)


async def test_the_store_in_memory_can_be_filled_too(tmp_path: Path) -> None:
    store = await open_store("memory://")
    assert isinstance(store, EmbeddedStore)
    load_path(file_of(tmp_path, "x.jsonl", jsonl(ROWS[:2])), store.writer())
    assert (await store.fetch("p1")).photo is not None
    await store.close()


@pytest.mark.parametrize("url", ["memory://", "http://x", "sqlite://x", "nonsense", "redis://h:p"])
def test_urls_that_cannot_be_written_are_refused(url: str) -> None:
    with pytest.raises(StoreUrlError):
        open_writer(url)


def test_a_row_group_of_any_size_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "evidence.parquet"
    noise = random.Random(1)
    rows = [{"photo_id": f"p{n}", "embedding": noise.randbytes(2000), "embedding_version": "m"} for n in range(12_000)]
    parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=len(rows))
    del rows
    before = pa.total_allocated_bytes()
    allocated = [pa.total_allocated_bytes() - before for _ in open_sources(path)[0].batches()]
    assert len(allocated) == 12
    assert max(allocated) < path.stat().st_size / 3
