"""Real sources to measure parity on and to calibrate with: rows of an examples table, rendered as in serving."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from evidence.render import Renderer
from evidence.rows import EVIDENCE_COLUMNS, evidence_of_row
from model_export.errors import ExportError


def rendered_sources(path: str | Path, renderer: Renderer, count: int) -> list[list[int]]:
    """Return token ids of up to `count` different sources, taken evenly from the whole of an examples table.

    Raises:
        ExportError: the table lacks columns or has no rows.
    """
    table = pq.read_table(path)
    missing = set(EVIDENCE_COLUMNS) - set(table.column_names)
    if missing:
        raise ExportError(f"{path} lacks the columns {sorted(missing)}; give a table from `onebar offline examples`")
    table = table.select(EVIDENCE_COLUMNS)
    step = max(1, table.num_rows // (2 * count))  # twice as many: several examples may share a source
    sources: dict[tuple[int, ...], None] = {}
    for row in table.take(list(range(0, table.num_rows, step))).to_pylist():
        sources.setdefault(tuple(renderer.render(evidence_of_row(row)).token_ids))
        if len(sources) == count:
            break
    if not sources:
        raise ExportError(f"{path} has no rows; give a table from `onebar offline examples`")
    return [list(source) for source in sources]
