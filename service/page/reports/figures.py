"""Any JSON of figures as tables: what the benchmarks write, and other reports that have no reader of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.page.reports.form import MAX_COLUMNS, MAX_ROWS, MAX_TABLES, MAX_TEXT, Cell, Table

HEAD = ("benchmark", "commit", "started", "finished", "machine", "versions", "format")
"""What describes a measurement and is no figure of it."""

_MAX_DEPTH = 8
_DIGITS = 4


def tables_of(document: Mapping[str, Any]) -> list[Table]:
    """Return the figures of a document, without its head, as tables in the order of the document."""
    found: list[Table] = []
    for table in _walk({name: value for name, value in document.items() if name not in HEAD}, "", 0):
        found.append(table)
        if len(found) == MAX_TABLES:
            break
    return found


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table of anything, cut to the bounds of the form."""
    return Table(
        title=short(title),
        columns=[short(name) for name in columns[:MAX_COLUMNS]],
        rows=[[cell(value) for value in row[:MAX_COLUMNS]] for row in rows[:MAX_ROWS]],
    )


def cell(value: Any) -> Cell:
    """Return a value of JSON as a cell; a list or an object as a short text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return round(value, _DIGITS) if abs(value) < 1e15 else short(str(value))
    if value is None or (isinstance(value, int) and abs(value) < 1e15):
        return value
    if isinstance(value, list):
        return short(", ".join(str(cell(one)) for one in value[:8] if not isinstance(one, dict | list)))
    return short(str(value))


def short(text: str) -> str:
    """Return a text that fits into the form."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _walk(node: Mapping[str, Any], title: str, depth: int) -> Iterator[Table]:
    """Yield a table of the plain values of an object, and one for each group of objects with plain values."""
    plain = {name: value for name, value in node.items() if _is_plain(value)}
    if plain:
        yield table(title or "figures", ["figure", "value"], list(plain.items()))
    flat = {name: value for name, value in node.items() if _is_flat(value)}
    if flat:
        yield _group(title or "figures", flat)
    if depth == _MAX_DEPTH:
        return
    for name, value in node.items():
        below = f"{title}, {name}" if title else name
        if isinstance(value, dict) and name not in flat:
            yield from _walk(value, below, depth + 1)
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            yield from _walk({_name(one, at): one for at, one in enumerate(value, start=1)}, below, depth + 1)


def _group(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [[name, *(row.get(column) for column in columns)] for name, row in rows.items()]
    return table(title, ["", *columns], cells)


def _name(item: Mapping[str, Any], at: int) -> str:
    """Return the name of an object of a list: its first text, and its place where that is not enough."""
    text = next((value for value in item.values() if isinstance(value, str)), "")
    return short(f"{at}. {text}" if text else str(at))


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list) or (
        isinstance(value, list) and not any(isinstance(v, dict | list) for v in value)
    )


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(_is_plain(one) for one in value.values())
