"""The file of prohibited terms: `category<TAB>term` lines, with options for the terms that follow them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast, get_args

from evidence.errors import TermListError
from evidence.inflections import Inflections
from evidence.readings import PLAIN
from evidence.runs import runs_of

_DIRECTIVE = "#!"
_LEET = {"on": True, "off": False}
_KNOWN = f"inflections={'|'.join(get_args(Inflections))} and leet={'|'.join(_LEET)}"


class Term(NamedTuple):
    """A prohibited term.

    category: its policy category.
    text: as it is written in the list.
    inflections: which inflections of its last word are prohibited, too; English only.
    leet: whether digits and symbols for letters are seen through ("v4pe").
    """

    category: str
    text: str
    inflections: Inflections = "plurals"
    leet: bool = True


def as_term(entry: tuple[str, str] | Term) -> Term:
    """Return a term, or a (category, term) pair as a term with the default options."""
    return entry if isinstance(entry, Term) else Term(*entry)


def load_terms(path: Path) -> list[Term]:
    """Read terms from a UTF-8 file of `category<TAB>term` lines.

    A line that starts with `#` is a comment. A line such as `#! inflections=none leet=off` sets options for the terms
    below it, up to the next line of this kind; an option that it does not name has its default there.

    Raises:
        TermListError: the file is missing, is not UTF-8, or a line has another form.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise TermListError(f"cannot read the list of prohibited terms {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TermListError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    terms = []
    options = Term("", "")
    for number, line in enumerate(lines, start=1):
        if line.startswith(_DIRECTIVE):
            options = _options(line, f"{path}, line {number}")
            continue
        if not line.strip() or line.startswith("#"):
            continue
        category, tab, text = line.partition("\t")
        if not tab or not category.strip() or not text.strip():
            raise TermListError(f"{path}, line {number}: expected category<TAB>term, got {line!r}")
        if not any(run.letters for run in runs_of(text, PLAIN)):
            raise TermListError(f"{path}, line {number}: the term {text.strip()!r} has no letter or digit; remove it")
        terms.append(options._replace(category=category.strip(), text=text.strip()))
    return terms


def _options(line: str, place: str) -> Term:
    """Return a term with the options of a directive and nothing else."""
    options = Term("", "")
    for word in line.removeprefix(_DIRECTIVE).split():
        name, _, value = word.partition("=")
        if name == "inflections" and value in get_args(Inflections):
            options = options._replace(inflections=cast(Inflections, value))
        elif name == "leet" and value in _LEET:
            options = options._replace(leet=_LEET[value])
        else:
            raise TermListError(f"{place}: {word!r} is not an option; write {_KNOWN} behind {_DIRECTIVE}")
    return options
