"""Business rules: a YAML file written by trust and safety and by editors, validated at start.

``rules.example.yaml`` in this folder shows every rule. All faults of a file are reported together, each with its line,
its field and the correction.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from service.answering.normalize import query_key
from service.errors import RulesError

MAX_FILE_BYTES = 32 * 1024 * 1024
_MAX_DEPTH = 8

Location = tuple[int | str, ...]


class _Rule(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class LengthRule(_Rule):
    """Bounds on the length of a query; words are separated by spaces."""

    min_characters: int = Field(default=1, ge=1, le=256)
    max_characters: int = Field(default=256, ge=1, le=256)
    min_words: int = Field(default=1, ge=1, le=64)
    max_words: int = Field(default=64, ge=1, le=64)

    @model_validator(mode="after")
    def _ordered(self) -> LengthRule:
        if self.min_characters > self.max_characters:
            raise ValueError("min_characters is over max_characters, so no query could pass; exchange them")
        if self.min_words > self.max_words:
            raise ValueError("min_words is over max_words, so no query could pass; exchange them")
        return self


class PinnedQuery(_Rule):
    """A query that is shown first for some videos, if it passes the safety rules."""

    query: str = Field(min_length=1, max_length=256)
    photo_ids: list[str] = []
    categories: list[str] = []

    @model_validator(mode="after")
    def _somewhere(self) -> PinnedQuery:
        if not self.photo_ids and not self.categories:
            raise ValueError("it is pinned nowhere; add photo_ids or categories")
        return self


class RecentlyShownRule(_Rule):
    """A query that a user was shown within the window is not shown to that user again."""

    window_seconds: int = Field(ge=1, le=30 * 24 * 3600)


class Rules(_Rule):
    """The whole file. An absent rule does nothing."""

    minimum_score: float | None = Field(
        default=None, le=0, description="Hypotheses with a lower score are dropped: the evidence supports no query."
    )
    length: LengthRule | None = None
    blocked_categories: list[str] = []
    blocked_queries: list[str] = []
    pinned_queries: list[PinnedQuery] = []
    recently_shown: RecentlyShownRule | None = None
    version: str | None = Field(default=None, exclude=True, description="Set by load_rules: 12 hex digits of the file.")

    @model_validator(mode="after")
    def _meaningful(self) -> Rules:
        for query in self.blocked_queries:
            if not query_key(query):
                raise ValueError(f"the blocked query {query!r} has neither a letter nor a digit; remove it")
        return self


def load_rules(path: Path) -> Rules:
    """Read and validate a rules file.

    Raises:
        RulesError: the file cannot be read or is invalid; one line for each fault.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RulesError(str(path), [f": it cannot be read ({error.strerror}); check --rules"]) from error
    return read_rules(content, path)


def read_rules(content: bytes, path: Path) -> Rules:
    """Validate the content of a rules file; ``path`` is named in messages.

    Raises:
        RulesError: it is invalid; one line for each fault.
    """
    if len(content) > MAX_FILE_BYTES:
        raise RulesError(str(path), [": it is over 32 MiB; move long lists to the file of prohibited terms"])
    document, lines, duplicates = _parse(path, content)
    problems = list(duplicates)
    rules = Rules()
    if document is not None:
        if isinstance(document, dict) and "version" in document:
            problems.append(f":{lines.get(('version',), 1)}: version: the service sets it; remove it")
        try:
            rules = Rules.model_validate(document)
        except ValidationError as error:
            problems += [_problem(detail, lines) for detail in error.errors(include_url=False)]
    if problems:
        raise RulesError(str(path), problems)
    return rules.model_copy(update={"version": version_of(content)})


def version_of(content: bytes) -> str:
    """Return the version of a rules file: 12 hex digits of a hash of its content."""
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def _parse(path: Path, content: bytes) -> tuple[Any, dict[Location, int], list[str]]:
    try:
        _check_structure(path, content)
        node = yaml.compose(content, Loader=yaml.CSafeLoader)
        document = yaml.load(content, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise RulesError(str(path), [f":{line}: it is not valid YAML ({error.problem}); correct this line"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RulesError(str(path), [f": it is not valid YAML in UTF-8 ({str(error).splitlines()[0]})"]) from error
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        # YAML makes dates and numbers of plain text, and its constructors let such errors of a bad value through.
        raise RulesError(
            str(path), [f": YAML reads a value as a date or a number, and it is none ({error}); put it in quotes"]
        ) from error
    lines: dict[Location, int] = {}
    duplicates: list[str] = []
    if node is not None:
        _walk(node, (), lines, duplicates)
    return document, lines, duplicates


def _check_structure(path: Path, content: bytes) -> None:
    """Refuse what would overflow the stack of the composer, or grow without bound when aliases are replaced."""
    anchored: list[bool] = []
    for event in yaml.parse(content, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            anchored.append(event.anchor is not None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchored.pop()
        line = event.start_mark.line + 1 if event.start_mark else 1
        if len(anchored) > _MAX_DEPTH:
            raise RulesError(str(path), [f":{line}: it is nested too deeply; see rules.example.yaml for its form"])
        if isinstance(event, yaml.AliasEvent) and any(anchored):
            raise RulesError(str(path), [f":{line}: an alias inside an anchored value; write the value out"])


def _walk(node: yaml.Node, location: Location, lines: dict[Location, int], duplicates: list[str]) -> None:
    """Collect the line of every node, and report duplicate keys (YAML would silently use the last)."""
    lines.setdefault(location, node.start_mark.line + 1)
    if len(location) > _MAX_DEPTH:  # an alias may contain itself
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*location, str(key.value))
            if inner in lines:
                duplicates.append(f":{key.start_mark.line + 1}: {_dotted(inner)}: it is given twice; merge the two")
                continue
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, duplicates)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*location, index), lines, duplicates)


def _problem(detail: ErrorDetails, lines: dict[Location, int]) -> str:
    location = detail["loc"]
    known = location
    while known and known not in lines:
        known = known[:-1]
    return f":{lines.get(known, 1)}: {_dotted(location)}: {_correction(detail)}"


def _correction(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return "there is no such rule; rules.example.yaml shows all rules"
        case "string_type":
            return f'it must be text; put it in quotes: "{detail["input"]}"'
        case "missing":
            return "it is required; add it"
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"it must be {context['ge']} or more"
        case "less_than_equal":
            return f"it must be {context['le']} or less"
        case _:
            return detail["msg"][:1].lower() + detail["msg"][1:]


def _dotted(location: Location) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "the file"
