"""The key by which queries are compared; it ignores case, width, spaces and punctuation."""

from __future__ import annotations

import re
import unicodedata

# \w keeps letters and digits; symbols such as + and $ stay too, because "c++" is not "c" and "$5" is not "5".
_IGNORED = re.compile(r"[\s_!-#%-*,-/:;?@\[-\]{}¡-¿‐-⁞　-〿]+")


def query_key(query: str) -> str:
    """Return the query folded in width and case, without spaces and punctuation; empty if no character remains.

    >>> query_key("ＣＦＭＯＴＯ 675-NK!") == query_key("cfmoto 675nk")
    True
    """
    folded = unicodedata.normalize("NFKC", query).casefold()
    return _IGNORED.sub("", unicodedata.normalize("NFKC", folded))
