"""Ways of writing that should hide a term, all of which are found, and texts that only resemble one, which are not."""

from __future__ import annotations

import pytest

from evidence.safety import ProhibitedTerms

WORDS = (
    "vape", "disposable vape", "sex", "gun", "cocaine", "coke", "pills", "lsd", "casino", "butterfly knife", "pot",
    "ak47", "porn", "e-cigarette", "ape", "вейп", "电子烟", "枪支",
)  # fmt: skip
TERMS = ProhibitedTerms([("category", word) for word in WORDS])

EVASIONS = {
    "Cyrillic": ["vаpe", "vарe", "ѕex", "сосaine", "ԁisposable vаpe", "VАPE", "саsino", "ѵаре", "ѕех"],
    "Greek": ["νape", "vαpe", "vaρe", "vapε", "gυn", "ΝUDE pοrn", "ΡORN", "cοke", "lѕd"],
    "Armenian, Cherokee, Lisu, Coptic": ["gսn", "Ꮩape", "ꓦape", "cⲟke", "pօrn"],
    "Latin letters with strokes, hooks and other shapes": ["vɑpe", "ɡun", "vⱥpe", "vaᵽe", "vapɇ", "ʋape", "pørn"],
    "styled Greek of mathematics": ["𝛎ape", "v𝛂pe"],
    "symbols that look like letters": ["vap℮", "v⍺pe", "cas∣no"],
    "digits and symbols for letters": [
        "v4pe", "vap3", "v4p3", "v@pe", "$ex", "s3x", "c0ca1ne", "p1lls", "pi11s", "l$d", "1sd", "ca$ino", "cas!no",
        "p0rn", "d1sposable v4pe", "c0ke", "v4p3s", "6un", "|sd", "£sd", "+hc 8utterfly kn1fe",
    ],
    "other digits for letters": ["v４pe", "v❹pe", "v⁴pe", "v④pe", "v٤pe", "v4\ufe0f\u20e3pe"],
    "digits and look-alikes at once": ["v4ре", "ѕ3x", "vap\u0417"],
    "small capitals and dotless i": ["ᴠᴀᴘᴇ", "ᴠape", "pılls", "casıno", "ᴘᴏʀɴ"],
    "invisible fillers": ["va\u3164pe", "va\u115fpe", "va\uffa0pe", "va\u1160pe", "枪\u3164支"],
    "regional and negative letters": ["🇻🇦🇵🇪", "🅥🅐🅟🅔", "🆅🅰🅿🅴", "v🅰pe", "🅰🅿e", "s🇪🇽 🇸🇪🇽"],
    "plurals": ["disposable vapes", "guns", "butterfly knives", "casinos", "VAPES", "vаpes", "g.u.n.s here"],
    "attached digits": ["vape2024", "2024vape", "vape1", "vape٢", "v4pe2024", "ak47s", "gun9mm"],
    "letters that are apostrophes": ["va\u02bcpe", "va\u02c8pe", "\u02bbvape\u02bc", "va\ua78cpe"],
    "Latin letters in a term of another script": ["вeйп", "Bейп"],
    "marks around symbols": ["v4pe!", "#v4pe$", "v4p3!!"],
    "traditional characters": ["電子煙", "電子菸", "槍支", "电子煙"],
}  # fmt: skip

INNOCENT = [
    "Essex", "Scunthorpe", "grape", "grapes", "gr4pe", "vaper", "vap3r", "evapes", "tapes2go",
    "cokery", "begun", "gunnery", "unisex", "pottery", "potato", "casinova", "spill s", "vapeur", "Sussex2024",
    # whole words of another script are words of that script
    "стакан соке", "рот", "вейпы", "ναρε", "Вей", "Москва", "о соке и о роте",
    # digits and symbols that are prices, sizes and models
    "top 5 ex-boyfriends", "5 ex", "$ 5 ex", "455", "1337", "v 4 pe-r", "AK4747",
    "15 d", "iphone13", "c++", "p.0.r",
    # Chinese
    "电子产品 烟花", "後台", "发型",
]  # fmt: skip


@pytest.mark.parametrize(("family", "text"), [(family, text) for family, texts in EVASIONS.items() for text in texts])
def test_an_evasion_is_found(family: str, text: str) -> None:
    assert TERMS.find(text) is not None, family


@pytest.mark.parametrize("text", INNOCENT)
def test_an_innocent_text_is_left_alone(text: str) -> None:
    assert TERMS.find(text) is None
