"""The engine that reads and joins the log tables: DuckDB in this process, or a Spark cluster, both through Ibis.

DuckDB is the default. It reads Parquet in pieces and spills to disk, so logs may be larger than the memory. Spark is
for logs that need more than one machine. Every expression of `offline` is written once and runs on both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from offline.errors import SettingsError, TableError
from offline.logs.schema import TABLES

ENGINES = ("duckdb", "spark")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")

# Without these, the two engines read different rows of the same files: a guessed type makes the id 007 the number 7,
# and the columns are those of one file.
_READ_OPTIONS: Mapping[str, Mapping[str, bool | str]] = {
    "duckdb": {"hive_partitioning": True, "hive_types_autocast": False, "union_by_name": True},
    "pyspark": {"mergeSchema": True, "pathGlobFilter": "*.parquet"},
}
_SPARK_OPTIONS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
}


@dataclass(frozen=True, slots=True)
class Engine:
    """A connection to an engine.

    Attributes:
        backend: the connection of Ibis.
        fetch: returns the rows of an expression as an Arrow table with the types of the expression.
        load: hands an Arrow table to the engine.
        keep: runs an expression and returns its rows, which stay in the engine.
        save: writes the rows of an expression to a Parquet file of this machine.
        search: returns the address of the files of a table in a dataset, or their addresses, None where there are none.
        errors: the exceptions of the engine.
        memory_limit: bytes of this process above which the engine spills to disk; None for a cluster.
    """

    backend: Any
    fetch: Callable[[ir.Expr], pa.Table]
    load: Callable[[pa.Table], ir.Table]
    keep: Callable[[ir.Table], ir.Table]
    save: Callable[[ir.Table, Path], None]
    search: Callable[[str, str], str | list[str] | None]
    errors: tuple[type[Exception], ...]
    memory_limit: int | None = None

    def read(self, dataset: Path | str, name: str) -> ir.Table:
        """Return table `name` of a dataset, as it is stored.

        A table is `<name>.parquet`, a file or a folder of files, or a folder `<name>/`, which may be partitioned
        (`day=3/…`). The values in the names of partitions are strings. Files and folders whose names begin with `_` or
        `.` are not read. A dataset is a folder, or a URL that the engine can read, such as `s3://bucket/logs`.

        Raises:
            TableError: the table is missing or unreadable.
        """
        if name not in TABLES:
            raise TableError(f"no table is called {name!r}; the tables are {', '.join(TABLES)}")
        root = str(dataset).rstrip("/")
        with self.reading(f"{root}/{name}"):
            address = self.search(root, name)
            if address is not None:
                return self.backend.read_parquet(address, **_READ_OPTIONS[self.backend.name])
        raise TableError(
            f"{root}/{name}.parquet is missing, and so is a folder {name} with Parquet files; write the table as "
            f"docs/data_formats.md says, or simulate logs: onebar world {root}"
        )

    def name(self, rows: ir.Table) -> ir.Table:
        """Return the expression as a view of the engine, so that what uses it is short and quick to compile."""
        return self.backend.create_view(ibis.util.gen_name("view"), rows)

    def count(self, rows: ir.Table) -> int:
        """Return the number of rows of an expression."""
        return int(self.fetch(rows.agg(rows=rows.count()))["rows"][0].as_py())

    @contextmanager
    def reading(self, where: str) -> Iterator[None]:
        """Turn the exceptions of the engine into a TableError that names a table."""
        try:
            yield
        except self.errors as error:
            # The first line of an error of Py4J names only the call that failed; the exception of Java has the reason.
            reason = str(getattr(error, "java_exception", error)).strip().splitlines()[0]
            raise TableError(f"{where} cannot be read as Parquet: {reason}") from error


def open_engine(name: str = "duckdb", *, master: str = "local[*]", memory: str | None = None) -> Engine:
    """Connect to an engine.

    Args:
        name: one of `ENGINES`.
        master: the address of the Spark cluster; `local[*]` is a cluster in this process.
        memory: the most memory that DuckDB takes before it spills to disk, such as `4GB`; its default when None.

    Raises:
        SettingsError: there is no such engine, or what it needs is not installed.
    """
    if name == "duckdb":
        return _open_duckdb(memory)
    if name == "spark":
        return _open_spark(master)
    raise SettingsError(f"no engine is called {name!r}; the engines are {', '.join(ENGINES)}")


def _open_duckdb(memory: str | None) -> Engine:
    # DuckDB makes the folder when it spills, and removes it when the connection closes.
    spill = Path(tempfile.gettempdir()) / ibis.util.gen_name("onebar-duckdb")
    options = {} if memory is None else {"memory_limit": memory}
    try:
        backend = ibis.duckdb.connect(temp_directory=str(spill), preserve_insertion_order=False, **options)
    except duckdb.Error as error:
        raise SettingsError(f"DuckDB does not accept --memory {memory}: {error}; write it like 4GB") from error
    backend.raw_sql("SET enable_progress_bar = false")
    return Engine(
        backend,
        fetch=partial(_fetch, backend.to_pyarrow),
        load=partial(_load_arrow, backend),
        keep=partial(_keep_table, backend),
        save=_save_file,
        search=partial(_search_duckdb, backend),
        errors=(duckdb.Error,),
        memory_limit=_memory_limit(backend),
    )


def _memory_limit(backend: Any) -> int:
    """Return the limit that DuckDB states, such as `2.7 GiB`, in bytes."""
    size, unit = backend.con.execute("SELECT current_setting('memory_limit')").fetchone()[0].split()
    return int(float(size) * (1 << 10 * _UNITS.index(unit)))


def _load_arrow(backend: Any, rows: pa.Table) -> ir.Table:
    name = ibis.util.gen_name("loaded")
    backend.con.register(name, rows)
    return backend.table(name)


def _keep_table(backend: Any, rows: ir.Table) -> ir.Table:
    return backend.create_table(ibis.util.gen_name("kept"), rows, temp=True)


def _save_file(rows: ir.Table, path: Path) -> None:
    rows.to_parquet(path, compression="zstd")


def _search_duckdb(backend: Any, root: str, name: str) -> str | list[str] | None:
    if backend.con.execute("SELECT 1 FROM glob(?)", [f"{root}/{name}.parquet"]).fetchone():
        return f"{root}/{name}.parquet"
    for folder in (f"{root}/{name}.parquet/", f"{root}/{name}/"):
        address = f"{folder}**/*.parquet"
        files = [path for (path,) in backend.con.execute("SELECT file FROM glob(?)", [address]).fetchall()]
        # The paths begin with the folder, but without file:// and with the home folder in the place of ~.
        begin = folder.removeprefix("file://").removeprefix("~")
        visible = [path for path in files if not _is_hidden(path.partition(begin)[2])]
        if visible:
            return address if len(visible) == len(files) else visible
    return None


def _is_hidden(path: str) -> bool:
    """Return whether Spark leaves out a file or one of its folders, such as `_temporary/`, by the path in its table."""
    return any(name.startswith(".") or (name.startswith("_") and "=" not in name) for name in path.split("/"))


def _open_spark(master: str) -> Engine:
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SettingsError(
            "the engine spark needs PySpark 4 and Java 17 or 21; install them: pip install 'onebar[spark]' and "
            "apt-get install openjdk-17-jre-headless"
        ) from error
    builder = SparkSession.builder.master(master).appName("onebar offline").config(map=_SPARK_OPTIONS)
    if master.startswith("local"):
        builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.ui.enabled", "false")
    try:
        session = builder.getOrCreate()
    except (PySparkException, Py4JError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"Spark does not start with --master {master}: {reason}; it needs Java 17 or 21 (Debian: apt-get install "
            "openjdk-17-jre-headless) and a cluster that can be reached"
        ) from error
    backend = ibis.pyspark.connect(session)
    fetch = partial(_fetch, partial(_arrow_of_spark, session, backend))
    return Engine(
        backend,
        fetch=fetch,
        load=partial(_load_data_frame, session, backend),
        keep=partial(_keep_cached, backend),
        save=partial(_save_fetched, fetch),
        search=partial(_search_spark, session),
        errors=(PySparkException, Py4JError),
    )


def _keep_cached(backend: Any, rows: ir.Table) -> ir.Table:
    name, view = ibis.util.gen_name("kept"), ibis.util.gen_name("view")
    backend.create_view(view, rows)
    backend.raw_sql(f"CACHE TABLE {name} AS SELECT * FROM {view}")
    return backend.table(name)


def _arrow_of_spark(session: Any, backend: Any, rows: ir.Table) -> pa.Table:
    return session.sql(backend.compile(rows)).toArrow()


def _load_data_frame(session: Any, backend: Any, rows: pa.Table) -> ir.Table:
    name = ibis.util.gen_name("loaded")
    session.createDataFrame(rows).createTempView(name)
    return backend.table(name)


def _save_fetched(fetch: Callable[[ir.Table], pa.Table], rows: ir.Table, path: Path) -> None:
    # The path is one of this machine; the executors need not see it.
    pq.write_table(fetch(rows), path, compression="zstd")


def _search_spark(session: Any, root: str, name: str) -> str | None:
    java = session._jvm
    for address in (f"{root}/{name}.parquet", f"{root}/{name}"):
        place = java.org.apache.hadoop.fs.Path(address)
        if place.getFileSystem(session._jsc.hadoopConfiguration()).exists(place):
            return address
    return None


def _fetch(run: Callable[[ir.Expr], pa.Table], rows: ir.Expr) -> pa.Table:
    """Return the rows with exactly the types of the expression: engines differ in nullability and in string types."""
    wanted = rows.as_table().schema().to_pyarrow()
    return run(rows).cast(pa.schema([field.with_nullable(True) for field in wanted]))
