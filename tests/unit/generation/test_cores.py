"""The number of usable cores, from the limits of the control group."""

from __future__ import annotations

from pathlib import Path

from generation.cores import available_cores, quota_cores


def v2(tmp_path: Path, **limits: str) -> tuple[Path, Path]:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    for group, limit in limits.items():
        folder = root if group == "root" else root / group.replace("_", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(limit + "\n")
    membership.write_text("0::/pod/container\n")
    return root, membership


def test_without_a_limit_all_cores_are_available(tmp_path):
    assert quota_cores(*v2(tmp_path, root="max 100000", pod_container="max 100000")) is None
    assert quota_cores(tmp_path / "nothing", tmp_path / "nothing") is None


def test_the_lowest_limit_of_all_levels_applies(tmp_path):
    assert quota_cores(*v2(tmp_path, pod="150000 100000", pod_container="400000 100000")) == 1.5


def test_a_container_whose_control_group_is_the_root_has_its_limit(tmp_path):
    assert quota_cores(*v2(tmp_path, root="200000 100000")) == 2.0


def test_limits_of_control_groups_version_1_are_read(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("250000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert quota_cores(tmp_path, tmp_path / "nothing") == 2.5
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert quota_cores(tmp_path, tmp_path / "nothing") is None


def test_this_process_has_at_least_one_core():
    assert available_cores() >= 1
