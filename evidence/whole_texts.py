"""Texts that are prohibited as a whole, such as blocked queries, in the same readings as prohibited terms."""

from __future__ import annotations

from collections.abc import Iterable

from evidence.readings import LEET, LOOK_ALIKE, PLAIN, SYMBOL, Reading, letters_and_signs, may_be_disguised
from evidence.safety import counts


class WholeTexts:
    """A set of texts; one that is written in another way is in it, too.

    Case, width, accents, spaces, punctuation, emoji and disguises make no difference. Signs of mathematics and currency
    do, because "c++" is not "c" and "$5" is not "5". There are no inflections.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """Fold the texts, each in every reading."""
        self._readings: dict[str, int] = {}
        for text in texts:
            for reading in (PLAIN, LOOK_ALIKE, LEET):
                spelling, scripts = _spelling_of(text, reading)
                if reading == LEET and scripts & SYMBOL:
                    continue  # its digits are digits: "s5 case" is not "5s case"
                self._readings[spelling] = self._readings.get(spelling, 0) | 1 << reading

    def __contains__(self, text: str) -> bool:
        """Return whether the text is one of the set, in one of the readings."""
        return any(self._has(text, reading) for reading in (PLAIN, LOOK_ALIKE, LEET))

    def _has(self, text: str, reading: Reading) -> bool:
        if not self._readings or (reading != PLAIN and not may_be_disguised(text, reading)):
            return False
        spelling, scripts = _spelling_of(text, reading)
        return bool(self._readings.get(spelling, 0) >> reading & 1) and counts(reading, scripts)


def _spelling_of(text: str, reading: Reading) -> tuple[str, int]:
    """Return what is compared of a text, and the scripts of its letters. A text without letters stays as it is."""
    spelling, scripts = letters_and_signs(text, reading)
    return spelling or text.strip(), scripts
