"""`onebar serve`, `onebar rules check` and `onebar recommend`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

import click

from generation.errors import BackendError, BundleError
from service.errors import RulesError, ServiceError
from service.settings import load_settings

CANNOT_START = 2


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="The folder that `onebar export` wrote.")
@click.option("--store", help="redis://…, rediss://…, redis+cluster://…, sqlite:///FILE or memory://.")
@click.option("--evidence", type=click.Path(path_type=Path), multiple=True, help="Evidence to load into memory://.")
@click.option("--host", help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=int)
@click.option("--rules", type=click.Path(path_type=Path), help="YAML file of business rules.")
@click.option("--prohibited-terms", type=click.Path(path_type=Path), help="File of category<TAB>term lines.")
@click.option("--query-trie", type=click.Path(path_type=Path), help="File of queries; nothing else is written.")
def serve(
    bundle: Path | None,
    store: str | None,
    evidence: tuple[Path, ...],
    host: str | None,
    port: int | None,
    rules: Path | None,
    prohibited_terms: Path | None,
    query_trie: Path | None,
) -> None:
    """Serve POST /recommend.

    Every setting can be given in the environment (ONEBAR_BUNDLE, ONEBAR_STORE__URL, ONEBAR_DEFAULT_DEADLINE_MS, …);
    an option wins over it.

    \b
    Example:
      onebar serve --bundle bundles/latest --store redis://localhost:6379/0 --rules rules.yaml
      curl -s localhost:8000/recommend -H 'content-type: application/json' -d '{"photo_id": "p1"}'
    """
    # fastapi and uvicorn are slow to import; `onebar rules check` and `--help` need neither.
    from service.app import create_app
    from service.logs import configure_logging
    from service.server import run

    try:
        settings = load_settings(
            bundle=bundle, host=host, port=port, rules=rules, prohibited_terms=prohibited_terms,
            query_trie=query_trie,
            store={key: value for key, value in (("url", store), ("evidence", evidence or None)) if value} or None,
        )  # fmt: skip
        configure_logging(settings.log_level)
        started = run(create_app(settings), settings)
    except (BackendError, BundleError, ServiceError) as error:
        _cannot_start(str(error))
    if not started:
        sys.exit(CANNOT_START)


@click.group()
def rules() -> None:
    """Check a file of business rules."""


@rules.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_rules(file: Path) -> None:
    """Say whether FILE would be accepted by `onebar serve --rules FILE`, and every fault with its line.

    \b
    Example:
      onebar rules check rules.yaml
    """
    from service.rules import load_rules

    try:
        loaded = load_rules(file)
    except RulesError as error:
        for problem in error.problems:
            click.echo(f"{file}{problem}", err=True)
        sys.exit(1)
    click.echo(
        f"{file} is good: version {loaded.version}, {len(loaded.blocked_categories)} blocked categories, "
        f"{len(loaded.blocked_queries)} blocked queries, {len(loaded.pinned_queries)} pinned queries, "
        f"length bounds {'on' if loaded.length else 'off'}, recently shown {'on' if loaded.recently_shown else 'off'}."
    )


@click.command()
@click.argument("photo_id", required=False)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where the service is.")
@click.option("--user", "user_id", help="The viewer.")
@click.option("--explain", is_flag=True, help="Also print the source text and every hypothesis.")
@click.option("--input", "input_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A .csv, .tsv or .jsonl file; each row is sent as inline evidence.")  # fmt: skip
@click.option("--caption-column", default="caption", show_default=True, help="The column with the caption.")
@click.option("--summary-column", help="The column with the summary.")
@click.option("--id-column", help="The column with the photo id; the row number where missing.")
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(1, 64), help="Requests at a time.")
@click.option("--deadline-ms", type=click.IntRange(1, 10_000), help="Deadline of each request.")
@click.option("--limit", type=click.IntRange(1), help="Send no more than this many rows.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the answers here, as JSON lines."
)
def recommend(
    photo_id: str | None,
    url: str,
    user_id: str | None,
    explain: bool,
    input_file: Path | None,
    caption_column: str,
    summary_column: str | None,
    id_column: str | None,
    concurrency: int,
    deadline_ms: int | None,
    limit: int | None,
    output: Path | None,
) -> None:
    """Ask a running service for the queries of one video, or of every row of a file.

    \b
    Examples:
      onebar recommend p1 --user u1
      onebar recommend --input captions.csv --caption-column title --concurrency 4
    """
    from service.client import ClientError, Connection, run_file
    from service.client_input import Columns, InputError, read_rows

    if (photo_id is None) == (input_file is None):
        raise click.UsageError("Give either a PHOTO_ID or --input FILE.")
    try:
        if input_file is None:
            body = {"photo_id": photo_id, "user_id": user_id, "explain": explain, "deadline_ms": deadline_ms}
            with Connection(url) as connection:
                reply = connection.post({key: value for key, value in body.items() if value is not None})
            click.echo(json.dumps(reply.body, ensure_ascii=False, indent=2))
            sys.exit(0 if reply.status == 200 else 1)
        columns = Columns(caption_column, summary_column, id_column)
        rows = read_rows(input_file, columns, limit)
        report = run_file(url, rows, concurrency, {"user_id": user_id, "deadline_ms": deadline_ms}, output)
    except (ClientError, InputError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(report.text())
    sys.exit(0 if report.clean else 1)


def _cannot_start(sentence: str) -> NoReturn:
    click.echo(f"OneBar cannot start: {sentence}", err=True)
    sys.exit(CANNOT_START)
