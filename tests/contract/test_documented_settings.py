"""docs/settings.md has every setting of the service with its form, default and meaning, and the message of a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.environment import load_settings
from service.errors import ConfigurationError
from service.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
NUMBERS = {"integer": "whole number", "number": "number"}
BOUNDS = {"minimum": "at least {}", "exclusiveMinimum": "over {}", "maximum": "at most {}"}


def form(schema: dict[str, Any]) -> str:
    """Return what may stand in the variable, from the JSON schema of its field."""
    for other in schema.get("anyOf", ()):
        if other["type"] != "null":
            return form(other)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema["type"]:
        case "boolean":
            return "`true`, `false`"
        case "array":
            return f"JSON list of {form(schema['items'])}s"
        case "string":
            return schema.get("format", "text")
        case kind:
            bounds = [text.format(f"{schema[name]:.16g}") for name, text in BOUNDS.items() if name in schema]
            return ", ".join([NUMBERS[kind], *bounds])


def default(value: Any) -> str:
    """Return a default as one would write it into the variable."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:.16g}`" if isinstance(value, float) else f"`{value}`"


def rows(schema: dict[str, Any], prefix: str, definitions: dict[str, Any]) -> Iterator[str]:
    """Yield the row of every field of a branch of the settings, and of the branches in it."""
    for name, field in schema["properties"].items():
        variable = f"{prefix}{name.upper()}"
        if "$ref" in field:
            yield from rows(definitions[field["$ref"].rpartition("/")[2]], f"{variable}__", definitions)
        else:
            yield f"| `{variable}` | {form(field)} | {default(field['default'])} | {field['description']} |"


def test_the_page_has_a_row_for_every_setting_as_the_classes_define_it() -> None:
    schema = Settings.model_json_schema()
    expected = sorted(rows(schema, "ONEBAR_", schema["$defs"]))
    printed = sorted(re.findall(r"^\| `ONEBAR_[A-Z_]+` \| .* \| .* \| .* \|$", PAGE, re.MULTILINE))
    assert len(expected) > 60
    assert printed == expected


def test_the_printed_message_is_that_of_the_printed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    [(variables, message)] = re.findall(
        r"^```bash\n(ONEBAR_.*) onebar serve\n```\n+```text\nOneBar cannot start: (.*)\n```$", PAGE, re.MULTILINE
    )
    for variable in variables.split():
        monkeypatch.setenv(*variable.split("="))
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value) == message
