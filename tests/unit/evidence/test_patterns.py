"""The expressions of cleaning take linear time: their quantifiers are held against rules that ensure it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest

from evidence import characters, cleaning, folding, patterns

MOST_REPETITIONS = 64
MOST_STEPS = 512
"""Of one repetition within another: what the innermost may take in all."""

REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
PROBES = [chr(code) for code in range(0x250)] + list("中文，。！？、：；）】\u3000")


def expressions(*modules: ModuleType) -> dict[str, re.Pattern[str]]:
    """Return every expression that stands in the modules, alone or in a rule."""
    found: dict[str, re.Pattern[str]] = {}

    def visit(name: str, value: object) -> None:
        if isinstance(value, re.Pattern) and value not in found.values():
            found[name] = value
        elif isinstance(value, tuple):
            for number, item in enumerate(value):
                visit(f"{name}[{number}]", item)

    for module in modules:
        for name, value in vars(module).items():
            visit(f"{module.__name__}.{name}", value)
    return found


def faults(expression: re.Pattern[str]) -> list[str]:
    """Return what may take more than linear time in an expression."""
    parsed = _parser.parse(expression.pattern, expression.flags)
    return [*_faults(list(parsed), repetitions=1, tail_can_fail=False), *_touching(parsed)]


def _faults(sequence: list[Any], repetitions: int, tail_can_fail: bool) -> Iterator[str]:
    for place, (kind, value) in enumerate(sequence):
        can_fail_after = tail_can_fail or any(not _nullable(item) for item in sequence[place + 1 :])
        if kind in REPEATS:
            _, most, body = value
            if most is _constants.MAXREPEAT:
                if kind is not _constants.POSSESSIVE_REPEAT:
                    yield "an unbounded quantifier gives back what it took"
                if repetitions > 1:
                    yield "an unbounded quantifier within a repetition"
                if can_fail_after:
                    yield "what follows an unbounded quantifier can fail"
                most = MOST_REPETITIONS
            elif most > MOST_REPETITIONS:
                yield f"a bound of {most}"
            if repetitions * most > MOST_STEPS:
                yield f"repetitions within repetitions, {repetitions * most} in all"
            yield from _faults(list(body), repetitions * most, can_fail_after or most > 1)
        else:
            for inner in _inner(kind, value):
                yield from _faults(list(inner), repetitions, can_fail_after)


def _touching(sequence: Any) -> Iterator[str]:
    """Neighbouring unbounded quantifiers, with nothing required between them, that can match the same character."""
    unbounded: list[set[str]] = []
    for kind, value in sequence:
        if kind in REPEATS and value[1] is _constants.MAXREPEAT:
            unbounded.append(_characters_of(value[2], sequence))
        elif not _nullable((kind, value)):
            unbounded.append(set())
        for inner in [value[2]] if kind in REPEATS else _inner(kind, value):
            yield from _touching(inner)
    if any(left & right for left, right in pairwise(unbounded)):
        yield "neighbouring unbounded quantifiers match the same characters"


def _inner(kind: Any, value: Any) -> list[Any]:
    """Return the sequences within an item that is no repetition."""
    if kind is _constants.BRANCH:
        return list(value[1])
    if kind is _constants.SUBPATTERN:
        return [value[3]]
    if kind is _constants.ATOMIC_GROUP:
        return [value]
    if kind in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [value[1]]
    return []


def _nullable(item: tuple[Any, Any]) -> bool:
    """Whether an item cannot fail: it may match nothing, and asserts nothing."""
    kind, value = item
    if kind in REPEATS:
        return value[0] == 0
    if kind is _constants.BRANCH:
        return any(all(map(_nullable, branch)) for branch in value[1])
    return kind is _constants.SUBPATTERN and all(map(_nullable, value[3]))


def _characters_of(body: Any, sequence: Any) -> set[str]:
    """Return the characters that a repeated item can begin with, among the probes."""
    first = _parser.SubPattern(sequence.state, [body[0]])
    compiled = _compiler.compile(first, sequence.state.flags)
    return {character for character in PROBES if compiled.match(character)}


EXPRESSIONS = expressions(characters, patterns, folding, cleaning)


def test_the_expressions_are_found() -> None:
    assert len(EXPRESSIONS) >= 20
    assert patterns.SUMMARY_OPENING in EXPRESSIONS.values()
    assert all(rule.dropped in EXPRESSIONS.values() for rule in patterns.TEXT_RULES)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_quantifier_is_bounded_or_cannot_be_tried_again(name: str) -> None:
    assert faults(EXPRESSIONS[name]) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        (r"a\s*,?\s*", "neighbouring"),
        (r"\s*+\s*+", "neighbouring"),
        (r"(?:[a-z]++)(?:,)?[b-d]++", "what follows"),
        (r"[\w.]+@", "gives back"),
        (r"[\w.]++@", "what follows"),
        (r"(?:\w++@)?b", "what follows"),
        (r"(?:a++b?)++", "within a repetition"),
        (r"(?:x|a*+){2,3}+", "within a repetition"),
        (r"a{0,65}", "a bound of 65"),
        (r"(?:(?:a{0,9}b){0,9}c){0,9}", "repetitions within repetitions"),
        (r"https?://\S+", "gives back"),
    ],
)
def test_an_expression_that_may_take_more_than_linear_time_is_rejected(expression: str, fault: str) -> None:
    assert any(fault in found for found in faults(re.compile(expression)))


@pytest.mark.parametrize("expression", [r"#[^\s#]++#?", r"[\w-]{1,63}+@", r"x(?:/\S*+|(?!\w))", r"(.)(?: ?\1)++"])
def test_an_expression_in_linear_time_is_accepted(expression: str) -> None:
    assert faults(re.compile(expression)) == []
