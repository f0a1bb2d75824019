from __future__ import annotations

from pathlib import Path

import numpy as np

from generation.huge_pages import HUGE_PAGE, large_mappings, use_huge_pages

SMAPS = """\
55d000200000-55d000a00000 rw-p 00000000 00:00 0                          [heap]
Size:               8192 kB
Rss:                8000 kB
7f0000100000-7f0000900000 rw-p 00000000 00:00 0
Size:               8192 kB
Rss:                8192 kB
7f1000000000-7f1000800000 rw-p 00000000 00:00 0
Rss:                  40 kB
7f2000000000-7f2000800000 r--p 00000000 00:00 0
Rss:                8192 kB
7f3000000000-7f3000800000 rw-p 00000000 08:01 12345                      /usr/lib/libonnx.so
Rss:                8192 kB
7f4000000000-7f4000100000 rw-p 00000000 00:00 0
Rss:                1024 kB
7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0                          [stack]
Rss:                8192 kB
"""


def test_only_whole_pages_of_resident_memory_are_chosen() -> None:
    assert large_mappings(SMAPS.splitlines()) == [
        (0x55D000200000, 0x55D000A00000),
        (0x7F0000200000, 0x7F0000800000),
    ]


def test_the_content_of_memory_does_not_change() -> None:
    values = np.arange(4 * HUGE_PAGE, dtype=np.int64)
    assert use_huge_pages() >= 0
    np.testing.assert_array_equal(values, np.arange(4 * HUGE_PAGE, dtype=np.int64))


def test_a_system_without_smaps_is_not_changed(tmp_path: Path) -> None:
    assert use_huge_pages(tmp_path / "absent") == 0
