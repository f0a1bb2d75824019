"""`python -m benchmarks.evidence`: measure sizes, and write the figures of all that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import benchmarks.evidence
from benchmarks.evidence.report import plot, to_markdown
from benchmarks.evidence.sizes import BuildOptions, measure_build, measure_world, remove_files
from benchmarks.peers.report import replace_between
from benchmarks.usage import CommandError
from loadtest.machine import begin_result, finish_result

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_RESULT = "result.json"


@click.command(context_settings={"show_default": True}, help=benchmarks.evidence.__doc__)
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of all sizes.")
@click.option("--videos", type=click.IntRange(min=200), multiple=True, help="A size; may be repeated [none: report].")
@click.option("--embedder", type=_FOLDER, help="Build with this embedder.")
@click.option("--hashed", is_flag=True, help="Build with the hashed embedder. Without either, one is trained.")
@click.option("--max-steps", type=click.IntRange(min=1), help="The most steps of a training stage.")
@click.option("--memory", default="3GB", help="Of DuckDB, before it spills to disk.")
@click.option("--threads", type=click.IntRange(min=1), default=2, help="Of NumPy, FAISS and torch.")
@click.option("--seed", default=7, help="Of the worlds.")
@click.option("--remove", is_flag=True, help="Remove the tables and the evidence of a size when it is measured.")
@click.option("--output", type=_FILE, help="JSON result of all sizes in --work.")
@click.option("--into", type=_FILE, help="Markdown file; the table goes between <!-- sizes --> and <!-- /sizes -->.")
@click.option("--plot", "picture", type=_FILE, help="Where to draw them, as SVG.")
def main(
    work: Path,
    videos: tuple[int, ...],
    embedder: Path | None,
    hashed: bool,
    max_steps: int | None,
    memory: str,
    threads: int,
    seed: int,
    remove: bool,
    output: Path | None,
    into: Path | None,
    picture: Path | None,
) -> None:
    """Measure sizes; the help text is the docstring of the package."""
    if hashed and embedder is not None:
        raise click.UsageError("give --embedder or --hashed, not both")
    arguments = ["--hashed"] if hashed else ["--embedder", str(embedder)] if embedder else []
    arguments += ["--max-steps", str(max_steps)] if max_steps else []
    for size in videos:
        folder = work / str(size)
        folder.mkdir(parents=True, exist_ok=True)
        result = begin_result("evidence", "duckdb", "faiss-cpu", "ibis-framework", "numpy", "pyarrow", "tokenizers")
        try:
            world = measure_world(folder, size, seed)
            build = measure_build(folder, BuildOptions(tuple(arguments), memory, threads))
        except CommandError as error:
            raise click.ClickException(str(error)) from error
        kept = folder / _RESULT
        if not kept.is_file() or json.loads(kept.read_text(encoding="utf-8"))["build"] != build:
            finish_result(result | {"videos": size, "world": world, "build": build}, kept)
        if remove:
            remove_files(folder)
    sizes = _read(work)
    if not sizes:
        raise click.ClickException(f"{work} has no results; give --videos")
    click.echo(to_markdown(sizes))
    if into:
        replace_between(into, "sizes", to_markdown(sizes))
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"benchmark": "evidence", "sizes": sizes}, indent=1) + "\n", encoding="utf-8")
    if picture:
        plot(sizes, picture)


def _read(work: Path) -> list[dict[str, Any]]:
    """Return the results of all sizes, the smallest first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in work.glob(f"*/{_RESULT}")]
    return sorted(found, key=lambda size: int(size["videos"]))


if __name__ == "__main__":
    main()
