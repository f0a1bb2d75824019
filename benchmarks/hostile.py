"""Texts that are made to be expensive: families of adversarial content, each a character sequence of any length."""

from __future__ import annotations

import random
from itertools import cycle, islice

REPEATED = {
    "alternating brackets": "([{（【",
    "open brackets": "(",
    "empty pairs": "()",
    "empty pairs apart": "( ) ",
    "brackets around a letter": "(a)",
    "summary labels": "summary:",
    "nested labels": "ocr: asr: summary: ",
    "summary openings": "this video shows ",
    "hyphenated letters": "a-",
    "almost a host": "a-b.",
    "hosts": "ab.com/",
    "hosts apart": "ab.com ",
    "links": "https://a ",
    "one long link": "http://",
    "Chinese without punctuation": "这是一个没有标点的句子",
    "one Chinese character": "中",
    "at signs": "@",
    "at signs and letters": "a@",
    "mentions": "@a ",
    "mentions with ids": "@a(",
    "hash signs": "#",
    "hashtags": "#a",
    "hashtags apart": "# a ",
    "e-mail addresses": "a.b@c.d ",
    "almost e-mail": "a.b+c-d_",
    "e-mail domains": "a@b.c.d.e.f.g.h.i.",
    "digits": "1",
    "phone-like": "138 1234 567 ",
    "phone numbers": "(555) 123-4567 ",
    "accounts": "id:abc ",
    "almost accounts": "user id  : ",
    "account keywords": "wechat ",
    "account numbers": "user_1234 ",
    "begging": "follow me ",
    "almost begging": "please follow my ",
    "like and share": "like and share and ",
    "like and share run": "comment, share, subscribe, ",
    "link in": "click the link in my ",
    "don't forget": "don't forget to ",
    "Chinese begging": "感谢快手我要上热门",
    "almost Chinese begging": "感谢快手官方平台给我我要上点",
    "Chinese approval": "点赞、双击、转发、",
    "Chinese follow": "求点关",
    "begging around begging": "fol@x low me ",
    "emoji": "👍",
    "emoji between letters": "a👍",
    "joined emoji": "👩\u200d🚀",
    "zero-width": "\u200b",
    "zero-width between letters": "a\u200b",
    "variation selectors": "a\ufe0f",
    "ligature of 18": "\ufdfa",
    "ligature of 8": "\ufdfb",
    "two classes of marks": "\u0301\u0316",
    "marks that decompose": "\u0f73",
    "letters with marks": "e\u0301\u0316\u0327",
    "Hangul jamo": "\u1112\u1161\u11ab",
    "full-width": "ＡＢｃ１：＃＠",
    "full-width brackets": "（［｛",
    "controls": "\x00\x1f",
    "surrogates": "\ud800a",
    "spaces": " ",
    "wide spaces": "\u3000\u2003\n\t",
    "punctuation": "!",
    "two punctuation marks": "!?",
    "punctuation apart": "! ? ",
    "semicolons": "; ",
    "edges": "-=",
    "apostrophes": "don't",
    "words": "a ",
    "plurals": "as ",
    "upper case": "FOLLOW ",
    "capitals that grow": "\u0130\u0390",
    "Arabic": "ﷲﷺ",
}


def families(seed: int = 0) -> dict[str, str]:
    """Return the unit of each family; `grown` makes a text of it. Some are drawn by the seed."""
    draw = random.Random(seed)
    whole = range(0x20, 0x30000)
    return REPEATED | {
        "nested brackets": "(" * 512 + ")" * 512,
        "nested alternating brackets": "([" * 1024 + "])" * 1024,
        "alternating nested brackets": "([" * 256 + "])" * 256,
        "alternating nested brackets, deep": "([" * 1013 + "])" * 1013,
        "begging within begging": "follow " * 64 + "me " * 64,
        "rounds of costly units": "follow " * 8 + "me " * 8 + "".join(draw.choices(list(REPEATED.values()), k=4096)),
        "rounds of random characters": "follow " * 8 + "me " * 8 + "".join(map(chr, draw.choices(whole, k=4096))),
        "random from all units": "".join(draw.choices(list(REPEATED.values()), k=4096)),
        "random characters": "".join(map(chr, draw.choices(whole, k=4096))),
        "random punctuation": "".join(draw.choices("()[]{}@#:;.,-_!? a1", k=4096)),
        "distinct Chinese": "".join(map(chr, draw.sample(range(0x4E00, 0x9FA5), k=4096))),
    }


def grown(unit: str, characters: int) -> str:
    """Return the unit repeated to a number of characters."""
    return "".join(islice(cycle(unit), characters))
