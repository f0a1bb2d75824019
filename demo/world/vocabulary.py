"""Reads the vocabulary files of the demo world."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from demo.errors import WorldError

POLICY_CATEGORIES = ("weapons", "tobacco", "gambling", "adult", "drugs", "counterfeit")
ASPECTS = ("price", "review", "showcase", "use", "unboxing")


@dataclass(frozen=True, slots=True)
class ProductType:
    """A product type: its two names, its price range in dollars, and its words."""

    noun: str
    other_noun: str
    lowest_price: float
    highest_price: float
    features: tuple[str, ...]
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Department:
    """A department, with words for any of its products."""

    name: str
    kinds: tuple[str, ...]
    tastes: tuple[str, ...]
    types: tuple[ProductType, ...]


def _sections(name: str) -> dict[str, list[str]]:
    """Return the lines of a vocabulary file by [section], without comments and blank lines."""
    text = files(__package__).joinpath("vocabulary").joinpath(name).read_text("utf-8")
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            lines = sections.setdefault(line[1:-1], [])
        elif line.strip() and not line.startswith("#"):
            lines.append(line.strip())
    return sections


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def departments(names: Collection[str] = ()) -> tuple[Department, ...]:
    """Return departments in the order of `departments.txt`.

    Args:
        names: the departments to return; all of them when empty.

    Raises:
        WorldError: a name is not that of a department.
    """
    known = _departments()
    unknown = sorted(set(names) - {department.name for department in known})
    if unknown:
        raise WorldError(
            f"no department is called {', '.join(map(repr, unknown))}; "
            f"the departments are {', '.join(department.name for department in known)}"
        )
    return tuple(department for department in known if not names or department.name in names)


@cache
def _departments() -> tuple[Department, ...]:
    """Read `departments.txt`."""
    out = []
    for name, lines in _sections("departments.txt").items():
        types = []
        for line in lines[2:]:
            nouns, prices, features, uses = line.split("|")
            noun, other = nouns.split("~")
            low, high = prices.split("-")
            types.append(
                ProductType(noun.strip(), other.strip(), float(low), float(high), _listed(features), _listed(uses))
            )
        kinds, tastes = (_listed(line.partition(":")[2]) for line in lines[:2])
        out.append(Department(name, kinds, tastes, tuple(types)))
    return tuple(out)


@cache
def words(section: str) -> tuple[str, ...]:
    """Return the words of one section of `names.txt`."""
    return tuple(word for line in _sections("names.txt")[section] for word in line.split())


@cache
def phrases(section: str) -> tuple[str, ...]:
    """Return the lines of one section of `talk.txt`."""
    return tuple(_sections("talk.txt")[section])


@cache
def safety(section: str) -> tuple[str, ...]:
    """Return the lines of one section of `safety.txt`: the terms of a policy category, or the phrases around them."""
    return tuple(_sections("safety.txt")[section])
