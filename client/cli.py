"""`onebar recommend` and `onebar feedback`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

_URL = click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="URL of the service.")
_KEY = click.option("--key", envvar="ONEBAR_KEY", help="The API key; better given in the environment, as ONEBAR_KEY.")


@click.command()
@click.argument("photo_id", required=False)
@_URL
@_KEY
@click.option("--user", "user_id", help="The viewer.")
@click.option(
    "--explain", is_flag=True, help="Also return the source text and every hypothesis; of rows, into --output."
)
@click.option("--input", "input_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A .csv, .tsv or .jsonl file; each row is sent as inline evidence.")  # fmt: skip
@click.option("--caption-column", default="caption", show_default=True, help="The column with the caption.")
@click.option("--summary-column", help="The column with the summary.")
@click.option("--id-column", help="The column with the photo id; by default the row number.")
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(1, 64), help="Requests at a time.")
@click.option("--deadline-ms", type=click.IntRange(1, 10_000), help="Deadline of each request.")
@click.option("--limit", type=click.IntRange(1), help="Send no more than this many rows.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the answers here, as JSON lines."
)
def recommend(
    photo_id: str | None,
    url: str,
    key: str | None,
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
    from client.connection import Connection
    from client.rows import Columns, read_rows
    from client.run_file import run_file

    if (photo_id is None) == (input_file is None):
        raise click.UsageError("Give either a PHOTO_ID or --input FILE.")
    if input_file is None:
        body = {"photo_id": photo_id, "user_id": user_id, "explain": explain, "deadline_ms": deadline_ms}
        with Connection(url, key) as connection:
            reply = connection.post({name: value for name, value in body.items() if value is not None})
        click.echo(json.dumps(reply.body, ensure_ascii=False, indent=2))
        sys.exit(0 if reply.status == 200 else 1)
    rows = read_rows(input_file, Columns(caption_column, summary_column, id_column), limit)
    common = {"user_id": user_id, "explain": explain or None, "deadline_ms": deadline_ms}
    report = run_file(url, rows, concurrency, common, output, key)
    click.echo(report.text())
    sys.exit(0 if report.clean else 1)


@click.command()
@click.argument("request_id")
@click.argument("event", type=click.Choice(["click", "engagement", "order"]))
@_URL
@_KEY
@click.option("--rank", type=click.IntRange(1), help="The rank of the shown query.")
@click.option("--query", help="The shown query itself, instead of its rank.")
@click.option("--order-value", type=float, help="Value of the order; only with `order`.")
@click.option("--event-id", help="Such as the number of the order: the same event with the same id counts once.")
@click.option("--time-ms", type=int, help="When it happened, in Unix milliseconds; by default now.")
def feedback(
    request_id: str,
    event: str,
    url: str,
    key: str | None,
    rank: int | None,
    query: str | None,
    order_value: float | None,
    event_id: str | None,
    time_ms: int | None,
) -> None:
    """Tell a running service what a viewer did with a query that the answer REQUEST_ID showed.

    \b
    Examples:
      onebar feedback r-1 click --rank 1
      onebar feedback r-1 order --query "web camera" --order-value 19.9 --event-id order-4711
    """
    from client.connection import Connection

    body = {
        "request_id": request_id, "event": event, "rank": rank, "query": query, "order_value": order_value,
        "event_id": event_id, "time_ms": time_ms,
    }  # fmt: skip
    with Connection(url, key) as connection:
        reply = connection.post({name: value for name, value in body.items() if value is not None}, "/feedback")
    click.echo(json.dumps(reply.body, ensure_ascii=False, indent=2))
    sys.exit(0 if reply.status == 202 else 1)
