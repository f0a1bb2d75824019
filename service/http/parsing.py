"""Parses and validates the body of a request. Every fault is named with its correction."""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from service.answering.request import InlineEvidence
from service.http.errors import Fault, InvalidRequest

Model = TypeVar("Model", bound=BaseModel)

MAX_FAULTS = 100


def load_json(body: bytes) -> Any:
    """Read a JSON body.

    Text that is not valid Unicode is returned with lone surrogates in it, so that validation can name its field.

    Raises:
        InvalidRequest: it is not JSON; the fault names the line and the column.
    """
    if not body.strip():
        raise InvalidRequest([Fault("body", "The body is empty; send a JSON object.")])
    try:
        return from_json(body)
    except ValueError as error:
        reason = str(error)
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        raise InvalidRequest([Fault("body", f"The body is not valid JSON: {reason}.")]) from None


def validate(model: type[Model], document: Any) -> Model:
    """Validate a document against a model of a request body.

    Raises:
        InvalidRequest: the document is invalid; every fault is named.
    """
    document, left_out = _bounded(document, model.model_fields)
    if isinstance(document, dict) and "evidence" in document:
        evidence, left_out_of_evidence = _bounded(document["evidence"], InlineEvidence.model_fields)
        document = {**document, "evidence": evidence}
        left_out += left_out_of_evidence
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidRequest(_faults(error, left_out, model)) from None


def _bounded(document: Any, known: Collection[str]) -> tuple[Any, int]:
    """Return an object with its known fields and at most `MAX_FAULTS` others, and the number of fields left out.

    A body can have thousands of unknown fields, and validation would describe each of them.
    """
    if not isinstance(document, dict) or len(document) <= MAX_FAULTS:
        return document, 0
    others = islice((name for name in document if name not in known), MAX_FAULTS)
    kept = {name: document[name] for name in (*(name for name in known if name in document), *others)}
    return kept, len(document) - len(kept)


def _faults(error: ValidationError, left_out: int, model: type[BaseModel]) -> list[Fault]:
    details = error.errors(include_url=False)
    faults = [Fault(_field(detail["loc"]), _message(detail, model)) for detail in details[:MAX_FAULTS]]
    more = max(0, len(details) - MAX_FAULTS) + left_out
    if more:
        faults.append(Fault("body", f"There are {more} more faults."))
    return faults


def _field(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" if path else _shown(part)
    return path or "body"


def _shown(text: str) -> str:
    """Return a name from the request, shortened, with unprintable characters replaced."""
    safe = "".join(c if c.isprintable() else "�" for c in text[:64])
    return safe or '""'


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    match kind:
        case "missing":
            return "It is required and missing; add it."
        case "extra_forbidden":
            return _unknown_field(detail["loc"], model)
        case "string_type":
            return f"It must be a string, not {_json_type(value)}."
        case "string_unicode":
            return "It is not valid Unicode (a lone surrogate or broken UTF-8); encode it as UTF-8."
        case "string_pattern_mismatch":
            return _bad_character(value, context)
        case "string_too_long":
            return f"It has {len(value)} characters and may have {context['max_length']}; shorten it."
        case "string_too_short":
            field = model.model_fields.get(str(detail["loc"][0])) if len(detail["loc"]) == 1 else None
            may_be_left_out = field is None or not field.is_required()
            return f"It is empty; give a value{' or leave the field out' if may_be_left_out else ''}."
        case "too_long":
            return f"It has {context['actual_length']} items and may have {context['max_length']}; send fewer."
        case "too_short":
            return f"It needs at least {context['min_length']} item."
        case "list_type":
            return f"It must be an array, not {_json_type(value)}."
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"It must be an object, not {_json_type(value)}."
        case "int_type":
            return f"It must be a whole number, not {_json_type(value)}."
        case "float_type":
            return f"It must be a number, not {_json_type(value)}."
        case "bool_type":
            return f"It must be true or false, not {_json_type(value)}."
        case "value_error":
            return f"It is refused: {context['error']}."
        case "greater_than_equal":
            return f"It must be {_number(context['ge'])} or more."
        case "less_than_equal":
            return f"It must be {_number(context['le'])} or less."
        case _:
            return f"{detail['msg']}."


def _number(bound: float) -> str:
    """All digits of a whole number, such as 9007199254740991."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _unknown_field(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    parent = tuple(part for part in location[:-1] if isinstance(part, str))
    fields = {(): model.model_fields, ("evidence",): InlineEvidence.model_fields}
    known = tuple(fields.get(parent, ()))
    near = difflib.get_close_matches(_shown(str(location[-1])), known, n=1)
    if near:
        return f"There is no such field; did you mean {near[0]!r}?"
    return "There is no such field; leave it out." + (f" The fields are {', '.join(known)}." if known else "")


def _bad_character(value: str, context: Mapping[str, Any]) -> str:
    for position, character in enumerate(value):
        if unicodedata.category(character) == "Cc" and (
            character not in "\t\n\r" or "\\x00-\\x1f" in context["pattern"]
        ):
            return f"Character {position} is the control character U+{ord(character):04X}; remove it."
    return "It may have only ASCII letters, digits and _ . : @ / = + -; change the other characters."


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a number with a fraction"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
