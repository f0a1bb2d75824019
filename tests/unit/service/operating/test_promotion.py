"""The record of the promoted bundle: what promote and rollback write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.bundle_variants import bundle_variant
from cli.main import main
from generation.bundle import load_bundle
from generation.errors import BundleError
from service.operating.promotion import CURRENT, HISTORY, PromotionError, promote, read_current, read_history, rollback


@pytest.fixture
def bundles(bundle_path: Path, tmp_path: Path) -> list[Path]:
    return [
        bundle_variant(bundle_path, tmp_path / "bundles" / str(day), {"reject": {"threshold": 0.9 + day / 100}})
        for day in range(3)
    ]


@pytest.fixture
def promoted(tmp_path: Path) -> Path:
    return tmp_path / "promoted"


def test_a_promotion_names_the_bundle_its_version_and_the_reason(promoted, bundles):
    promote(promoted, bundles[0], "daily refresh")
    record = json.loads((promoted / CURRENT).read_text())
    assert record["bundle_id"] == load_bundle(bundles[0]).model_version
    assert record["reason"] == "daily refresh"
    assert read_current(promoted).path(promoted) == bundles[0]


def test_a_bundle_beside_the_record_is_found_where_both_were_moved_to(promoted, bundles, tmp_path):
    promote(promoted, bundles[0], "a")
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert load_bundle(read_current(moved / "promoted").path(moved / "promoted"))


def test_the_record_can_be_read_by_another_user(promoted, bundles):
    promote(promoted, bundles[0], "a")
    assert (promoted / CURRENT).stat().st_mode & 0o777 == 0o644


def test_rollbacks_return_to_the_bundles_of_before_one_after_the_other_and_then_to_the_setting(promoted, bundles):
    for bundle in bundles:
        promote(promoted, bundle, "daily refresh")
    returned = [rollback(promoted, "worse").path(promoted) for _ in bundles]
    assert returned == [bundles[1], bundles[0], None]
    with pytest.raises(PromotionError, match="nothing to return to"):
        rollback(promoted)
    assert [entry["kind"] for entry in read_history(promoted)] == ["rollback"] * 3 + ["promotion"] * 3


def test_a_promotion_after_a_rollback_can_be_rolled_back_to_the_same_bundle(promoted, bundles):
    promote(promoted, bundles[0], "a")
    promote(promoted, bundles[1], "b")
    rollback(promoted)
    promote(promoted, bundles[2], "c")
    assert rollback(promoted).path(promoted) == bundles[0]


def test_promoting_the_same_bundle_again_does_not_make_it_its_own_predecessor(promoted, bundles):
    promote(promoted, bundles[0], "a")
    promote(promoted, bundles[1], "b")
    promote(promoted, bundles[1], "again")
    assert rollback(promoted).path(promoted) == bundles[0]


def test_a_damaged_bundle_is_not_promoted(promoted, bundles):
    promote(promoted, bundles[0], "a")
    (bundles[1] / "embeddings.bin").write_bytes(b"x")
    with pytest.raises(BundleError):
        promote(promoted, bundles[1], "b")
    assert read_current(promoted).path(promoted) == bundles[0]


def test_no_rollback_to_a_folder_with_another_model(promoted, bundles):
    promote(promoted, bundles[0], "a")
    promote(promoted, bundles[1], "b")
    bundles[0].rename(bundles[0].with_name("away"))
    bundles[2].rename(bundles[0])
    with pytest.raises(PromotionError, match="no longer holds"):
        rollback(promoted)
    assert read_current(promoted).path(promoted) == bundles[1]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"bundle": 1}', b'{"bundle": "b", "bundle_id": null, "promoted_at": "t", "reason": "r", '
     b'"kind": "promotion", "earlier": []}'],
)  # fmt: skip
def test_a_record_that_is_none_is_refused_with_the_file_and_the_remedy(promoted, content):
    promoted.mkdir()
    (promoted / CURRENT).write_bytes(content)
    with pytest.raises(PromotionError, match=r"current\.json is not a record of a promotion .* promote a bundle again"):
        read_current(promoted)


def test_a_torn_line_of_the_history_is_left_out(promoted, bundles):
    promote(promoted, bundles[0], "a")
    with (promoted / HISTORY).open("a") as file:
        file.write('{"bundle": "b", "bun')
    assert [entry["reason"] for entry in read_history(promoted)] == ["a"]


def test_the_commands_promote_list_and_roll_back(promoted, bundles):
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["bundle", *arguments, "--promoted", str(promoted)])
        assert result.exit_code == 0, result.output
        return result.output

    version = load_bundle(bundles[0]).model_version
    assert version in run("promote", str(bundles[0]), "--reason", "first try")
    run("promote", str(bundles[1]))
    assert version in run("rollback", "--reason", "worse")
    listed = run("history").splitlines()
    assert ["worse" in listed[0], "first try" in listed[2], len(listed)] == [True, True, 3]


def test_the_command_says_in_one_sentence_what_is_wrong(promoted, tmp_path):
    result = CliRunner().invoke(main, ["bundle", "promote", str(tmp_path / "none"), "--promoted", str(promoted)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: there is no manifest.json in")
