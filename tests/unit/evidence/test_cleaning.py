"""Cleaning keeps what a video is about and drops what begs, points elsewhere or cannot be seen."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.cleaning import MAX_CHARACTERS, clean_query, clean_text, strip_summary_prefix

CLEANERS = [clean_text, strip_summary_prefix, clean_query]

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
@given(raw=TYPED)
def test_cleaning_is_idempotent(cleaner, raw: str) -> None:
    once = cleaner(raw)
    assert cleaner(once) == once


@pytest.mark.parametrize("cleaner", CLEANERS)
@given(raw=st.text() | TYPED)
def test_cleaning_returns_only_visible_text_on_one_line(cleaner, raw: str) -> None:
    result = cleaner(raw)
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in result)
    assert result == result.strip()
    assert "  " not in result
    result.encode("utf-8")


@pytest.mark.parametrize("cleaner", CLEANERS)
@pytest.mark.parametrize("unit", ["@a", "#", "follow me ", "(", "1", "感谢快手", "ﷺ", "\u200b", "a.", "id:"])
def test_a_huge_hostile_field_is_cut_and_cleaned(cleaner, unit: str) -> None:
    result = cleaner(unit * 20_000)
    assert len(result) <= MAX_CHARACTERS
    assert cleaner(result) == result
