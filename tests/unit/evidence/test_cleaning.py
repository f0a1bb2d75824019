"""Cleaning keeps what a video is about and drops what begs, points elsewhere or cannot be seen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hostile import families, grown
from evidence import cleaning
from evidence.characters import MAX_MARKS
from evidence.cleaning import (
    MAX_CHARACTERS,
    MAX_QUERY_CHARACTERS,
    MAX_ROUNDS,
    clean_query,
    clean_text,
    strip_summary_prefix,
)
from evidence.folding import fold, squeeze

Cleaner = Callable[[str | None], str]
CLEANERS = [clean_text, strip_summary_prefix, clean_query]
FAMILIES = families()
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# Text as it is typed: the pieces that the rules are about, glued together with anything.
PIECES = st.sampled_from(
    [
        "@shop.owner", "@张三(O3xabc123)", "#fyp", "#好物推荐#", "follow me", "like and share", "作品推广",
        "感谢快手我要上热门", "https://t.co/x", "13812345678", "$49.99", "¥199", "ID: abc123", "This video shows",
        "OCR:", "视频展示了", "ＦＵＬＬ", "va\u200bpe", "👍🏽", "(", "((", ")", "...", "；", ";", "UNKNOWN", "\x00",
        " ", "CFMOTO 675NK", "连衣裙", "\ud800", "ﷺ", "a@b.com", "@", "#",
    ]
)  # fmt: skip
TYPED = st.lists(PIECES | st.text(max_size=12), max_size=12).map("".join)
HOSTILE = st.lists(st.sampled_from(list(FAMILIES.values())) | PIECES, max_size=60).map("".join)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("New CFMOTO 675NK! @moto.world #bikes #fyp", "New CFMOTO 675NK"),
        ("Follow me for more! Garden hose under $49.99", "Garden hose under $49.99"),
        ("这款 #连衣裙 真好看 @小美(O3xabc123) 感谢快手我要上热门", "这款 真好看"),
        ("作品推广 夏季新款连衣裙 ¥199", "夏季新款连衣裙 ¥199"),
        ("ＡＢＣ１２３ full width", "ABC123 full width"),
        ("va\u200bcuum clea\u200dner", "vacuum cleaner"),
        ("Call 138 1234 5678 or 13812345678 now", "Call or now"),
        ("Call (555) 123-4567 about the sofa", "Call about the sofa"),
        ("see https://shop.example/x?y=1 for the drill", "see for the drill"),
        ("write to me@shop.example about the drill", "write to about the drill"),
        ("快手号: abc_123 手工皮鞋", "手工皮鞋"),
        ("Cordless drill 🔥✌️🔥 20V", "Cordless drill 20V"),
        ("so good!!!!!! really??", "so good! really"),
        ("UNKNOWN", ""),
        ("#only #tags", ""),
        (None, ""),
    ],
)
def test_a_caption_loses_its_noise_and_keeps_its_subject(raw: str | None, clean: str) -> None:
    assert clean_text(raw) == clean


@pytest.mark.parametrize("price", ["$49.99", "¥199", "under 50", "€1,299.00", "5 kg", "2x4", "20V", "24°C"])
def test_prices_and_sizes_survive(price: str) -> None:
    assert price in clean_text(f"garden hose {price} today")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("This video shows a cordless drill with two batteries", "a cordless drill with two batteries"),
        ("Video summary: The video presents a red dress", "a red dress"),
        ("OCR: SALE 20V ASR: this drill is great", "SALE 20V this drill is great"),
        ("视频展示了一款红色连衣裙", "一款红色连衣裙"),
        ("该视频主要介绍了电钻", "电钻"),
        ("A drill. The scene is bright", "A drill. The scene is bright"),
    ],
)
def test_a_summary_loses_its_template(raw: str, clean: str) -> None:
    assert strip_summary_prefix(raw) == clean


def test_a_query_keeps_its_words_on_one_line() -> None:
    assert clean_query("  CFMOTO\n675NK ; price\u200b ") == "CFMOTO 675NK price"


@pytest.mark.parametrize("cleaner", CLEANERS)
@given(raw=st.text() | TYPED | HOSTILE)
def test_cleaning_is_idempotent(cleaner: Cleaner, raw: str) -> None:
    once = cleaner(raw)
    assert cleaner(once) == once


@pytest.mark.parametrize("cleaner", CLEANERS)
@given(raw=st.text() | TYPED | HOSTILE)
def test_cleaning_returns_only_visible_text_on_one_line(cleaner: Cleaner, raw: str) -> None:
    result = cleaner(raw)
    assert all(unicodedata.category(c) not in UNSEEN for c in result)
    assert result == result.strip()
    assert "  " not in result
    result.encode("utf-8")


@pytest.mark.parametrize("cleaner", CLEANERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_hostile_field_is_cut_and_cleaned(cleaner: Cleaner, family: str) -> None:
    for characters in (63, 64, 257, 1_024, 4_096, 8_192):
        result = cleaner(grown(FAMILIES[family], characters))
        assert len(result) <= (MAX_QUERY_CHARACTERS if cleaner is clean_query else MAX_CHARACTERS)
        assert all(unicodedata.category(c) not in UNSEEN for c in result)
        assert cleaner(result) == result


@pytest.mark.parametrize("cleaner", CLEANERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_field_is_read_a_fixed_number_of_times(
    cleaner: Cleaner, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    fold = cleaning.fold

    def counted(raw: str, limit: int) -> str:
        folded = fold(raw, limit)
        passes.append(len(folded))
        return folded

    monkeypatch.setattr(cleaning, "fold", counted)
    cleaner(grown(FAMILIES[family], 8_192))
    assert 1 <= len(passes) <= MAX_ROUNDS
    assert max(passes) <= (MAX_QUERY_CHARACTERS if cleaner is clean_query else MAX_CHARACTERS)


def test_noise_that_appears_when_other_noise_is_gone_is_removed() -> None:
    assert clean_text("follow @shop me drill") == "drill"
    assert clean_text("fol\u200blow me drill") == "drill"


def test_a_text_that_does_not_settle_counts_as_missing() -> None:
    nested = "summary: summary: " * 256
    assert strip_summary_prefix(nested) == ""
    assert strip_summary_prefix("summary: summary: a drill") == "a drill"


def test_brackets_empty_at_any_depth_are_removed_in_one_pass() -> None:
    assert squeeze("drill " + "(" * 400 + " ) " * 400 + "20V") == "drill 20V"
    assert squeeze("drill ([{ x }])") == "drill ([{ x }])"
    assert squeeze(")( drill (") == "( drill"


def test_a_letter_keeps_a_bounded_number_of_marks() -> None:
    assert len(fold("a" + "\u0301\u0316" * 500, MAX_CHARACTERS)) <= 1 + MAX_MARKS
    assert len(fold("a" + "\U0001e8d0\U0001d185" * 500, MAX_CHARACTERS)) <= 1 + MAX_MARKS
    assert clean_text("Việt Nam") == "Việt Nam"


def test_the_version_of_cleaning_covers_every_module_that_it_imports() -> None:
    """Otherwise a cache of cleaned queries would outlive a change of the rules."""
    folder = Path(cleaning.__file__).parent
    found, left = set(), ["cleaning"]
    while left:
        name = left.pop()
        found.add(name)
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        left += set(re.findall(r"^from evidence\.(\w+) import", source, re.MULTILINE)) - found
    assert found == set(cleaning.CODE)
    assert len(found) > 1
