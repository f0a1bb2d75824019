"""Reads the log tables (docs/data_formats.md). A table may be a file or a folder of files, as for `onebar offline`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from training.errors import DataError


def read_log_table(logs: Path | str, name: str, columns: Sequence[str]) -> Any:
    """Read columns of a log table.

    A table is `<name>.parquet`, a file or a folder of files, or a folder `<name>/`. A folder may be partitioned
    (`day=3/…`). Rows come in the order of the files' paths.

    Args:
        logs: folder of the log tables.
        name: of the table.
        columns: to read; a column may be the name of a partition.

    Returns:
        A `pyarrow.Table` of the columns.

    Raises:
        DataError: the table is missing, unreadable or lacks a column.
    """
    root = Path(logs)
    for path in (root / f"{name}.parquet", root / name):
        files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
        if files:
            return _read_files(path, files, columns)
    raise DataError(
        f"{root / name}.parquet is missing, and so is a folder {name} with Parquet files; write the table as "
        f"docs/data_formats.md says, or simulate logs: onebar world {root}"
    )


def _read_files(path: Path, files: Sequence[Path], columns: Sequence[str]) -> Any:
    try:
        dataset = ds.dataset([str(file) for file in files], format="parquet", partitioning="hive")
        return dataset.to_table(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
