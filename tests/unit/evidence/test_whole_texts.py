"""A blocked text stays blocked however it is written, and texts that differ in more are not blocked."""

from __future__ import annotations

import pytest

from evidence.whole_texts import WholeTexts

BLOCKED = WholeTexts(["Free Gift-Cards", "c++", "$5 watch", "iphone s5 case", "coke", "枪支弹药", "стакан соке", "🔥"])


@pytest.mark.parametrize(
    "text",
    [
        "free giftcards", "ＦＲＥＥ ｇｉｆｔ cards!", "frее gift cards", "fr33 g1ft c@rds",
        "free\u3164gift cards",
        "free gift cards 🔥",
        "ꜰʀᴇᴇ gift cards", "C ++", "$5 watch", "槍支彈藥", "枪支 弹药", "сoke", "c0ke", "СТАКАН СОКЕ", "🔥",
    ],
)  # fmt: skip
def test_another_way_of_writing_is_blocked(text: str) -> None:
    assert text in BLOCKED


@pytest.mark.parametrize(
    "text",
    [
        "free gift card", "gift cards", "c", "c+", "5 watch", "iphone 5s case", "соке", "cokes", "枪支", "", "!",
        "🔥🔥",
        "diet coke",
    ],
)  # fmt: skip
def test_another_text_is_not_blocked(text: str) -> None:
    assert text not in BLOCKED


def test_an_empty_set_blocks_nothing() -> None:
    assert "" not in WholeTexts([])
    assert "a1" not in WholeTexts([])
