"""Text folds character by character, with bounded work, and alike on each way through the code."""

from __future__ import annotations

import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import readings, runs
from evidence.readings import CYRILLIC, GREEK, LATIN, LEET, LOOK_ALIKE, OTHER, PLAIN, READINGS, SYMBOL
from evidence.runs import runs_of

LONGEST_EXPANSION = 18  # of U+FDFA


def letters(text: str, reading: int) -> str:
    return "".join(run.letters for run in runs_of(text, reading))


@pytest.mark.parametrize(
    ("text", "plain", "look_alike", "leet"),
    [
        ("Ｖàpe", "vape", "vape", "vape"),
        ("vаpе", "vаpе", "vape", "vape"),
        ("ΝΕΡΟ νερό", "νερονερο", "nepovepo", "nepovepo"),
        ("v4p€", "v4p", "v4pe", "vape"),
        ("ﬁll 1²", "fill12", "fill12", "fiiii2"),
        ("ᴘıłł", "pill", "pill", "piii"),
        ("🅰🇧 c❹", "abc4", "abc4", "abca"),
        ("電子煙", "电子烟", "电子烟", "电子烟"),
        ("ʼnˈn", "nn", "nn", "nn"),
    ],
)
def test_each_reading_has_its_letters(text: str, plain: str, look_alike: str, leet: str) -> None:
    assert [letters(text, reading) for reading in (PLAIN, LOOK_ALIKE, LEET)] == [plain, look_alike, leet]


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("ab", LATIN), ("аb", LATIN | CYRILLIC), ("αb", LATIN | GREEK), ("сок", CYRILLIC), ("ѕех", CYRILLIC | OTHER),
        ("枪", OTHER), ("12", 0), ("vap℮", LATIN | SYMBOL), ("հb", LATIN | OTHER),
    ],
)  # fmt: skip
def test_a_run_knows_its_scripts(text: str, scripts: int) -> None:
    (run,) = runs_of(text, LOOK_ALIKE)
    assert run.scripts == scripts


@pytest.mark.parametrize(
    "code",
    [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x180E, 0x200B, 0x2060, 0x2065, 0x3164, 0xFE0F, 0xFFA0, 0xE0041],
)
def test_what_unicode_ignores_in_rendering_is_dropped(code: int) -> None:
    for reading in READINGS:
        (run,) = runs_of(f"va{chr(code)}pe", reading)
        assert run.letters == "vape"


def test_no_character_folds_to_more_letters_than_the_longest_decomposition() -> None:
    long = [c for c in map(chr, range(0x110000)) if len(unicodedata.normalize("NFKD", c)) > 4]
    assert len(long) > 20
    for reading in READINGS:
        assert max(len(letters(character, reading)) for character in long) <= LONGEST_EXPANSION


def test_the_tables_are_bounded() -> None:
    for reading in READINGS:
        for code in range(0x4E00, 0x4E00 + readings.MAX_KEPT_CHARACTERS + 100):
            runs_of(chr(code), reading)
            readings.may_be_disguised(chr(code), LEET)
    assert all(0 < len(table) <= readings.MAX_KEPT_CHARACTERS for table in readings.TABLES)
    assert all(len(known) <= readings.MAX_KEPT_CHARACTERS for known in readings._SAME.values())
    assert letters("槍", PLAIN) == "枪"
    assert "槍" in readings.TABLES[PLAIN]  # also where the table was full


def test_a_long_word_and_many_short_ones_are_read_in_one_pass() -> None:
    """A run that is copied for each letter, or a character that is folded anew each time, would take minutes here."""
    size = 200_000
    for reading in READINGS:
        assert [len(run.letters) for run in runs_of("é" * size, reading)] == [size]
        assert len(runs_of("é " * size, reading)) == size + 1


@given(pieces=st.lists(st.text(max_size=4), max_size=4))
def test_pieces_fold_to_what_the_whole_folds_to(pieces: list[str]) -> None:
    for reading in READINGS:
        assert "".join(letters(piece, reading) for piece in pieces) == letters("".join(pieces), reading)


@given(text=st.text(string.printable, max_size=20))
def test_the_quick_way_for_ascii_finds_the_same_runs(text: str) -> None:
    for reading in READINGS:
        assert runs._runs_of_ascii(text, reading) == runs._runs_of_any(text, reading)


@given(text=st.text(max_size=10))
def test_a_text_that_cannot_be_disguised_reads_alike(text: str) -> None:
    if not readings.may_be_disguised(text, LOOK_ALIKE):
        assert runs_of(text, LOOK_ALIKE) == runs_of(text, PLAIN)
    if not readings.may_be_disguised(text, LEET):
        assert not any(run.scripts & SYMBOL for run in runs_of(text, LEET))
