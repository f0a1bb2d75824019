"""`onebar serve` and `onebar rules check`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from service.environment import load_settings, unknown_variables
from service.errors import RulesError


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="The folder that `onebar export` wrote.")
@click.option("--store", help="redis://…, rediss://…, redis+cluster://…, sqlite:///FILE or memory://.")
@click.option(
    "--evidence",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Evidence to load at start, into memory:// or sqlite://.",
)
@click.option("--host", help="Address to listen on; 0.0.0.0 for all interfaces.")
@click.option("--port", type=int, help="Port of POST /recommend.")
@click.option("--rules", type=click.Path(path_type=Path), help="YAML file of business rules.")
@click.option("--prohibited-terms", type=click.Path(path_type=Path), help="File of category<TAB>term lines.")
@click.option("--keys", type=click.Path(path_type=Path), help="File of API keys that `onebar keys` wrote.")
@click.option("--insecure", is_flag=True, default=None, help="Accept requests from other machines without a key.")
@click.option("--admin-port", type=int, help="Port of health, metrics, version and docs.")
@click.option("--user-key", type=click.Path(path_type=Path), help="File with the keys of user pseudonyms.")
@click.option("--query-set", type=click.Path(path_type=Path), help="File of queries; no others are generated.")
def serve(
    bundle: Path | None,
    store: str | None,
    evidence: tuple[Path, ...],
    host: str | None,
    port: int | None,
    rules: Path | None,
    prohibited_terms: Path | None,
    keys: Path | None,
    insecure: bool | None,
    admin_port: int | None,
    user_key: Path | None,
    query_set: Path | None,
) -> None:
    """Serve POST /recommend.

    Every setting can be given in the environment (ONEBAR_BUNDLE, ONEBAR_STORE__URL, ONEBAR_DEFAULT_DEADLINE_MS, …);
    an option takes precedence.

    \b
    Example:
      onebar serve --bundle bundles/latest --store redis://localhost:6379/0 --rules rules.yaml
      curl -s localhost:8000/recommend -H 'content-type: application/json' -d '{"photo_id": "p1"}'
    """
    # fastapi and uvicorn are slow to import; `onebar rules check` and `--help` need neither.
    from service.http.app import create_app
    from service.http.server import run
    from service.observing.logs import configure_logging

    settings = load_settings(
        bundle=bundle, host=host, port=port, rules=rules, prohibited_terms=prohibited_terms, keys=keys,
        insecure=insecure, admin_port=admin_port, query_set=query_set,
        privacy={"key_file": user_key} if user_key else None,
        store={key: value for key, value in (("url", store), ("evidence", evidence or None)) if value} or None,
    )  # fmt: skip
    configure_logging(settings.log_level)
    for name, nearest in unknown_variables(os.environ).items():
        hint = f"; did you mean {nearest}?" if nearest else ""
        logging.getLogger(__name__).warning("%s is no setting of the service and has no effect%s", name, hint)
    sys.exit(run(create_app(settings), settings))


@click.group()
def rules() -> None:
    """Check a file of business rules."""


@rules.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_rules(file: Path) -> None:
    """Check whether `onebar serve --rules FILE` accepts FILE, and print every fault with its line.

    \b
    Example:
      onebar rules check rules.yaml
    """
    from service.answering.rules import load_rules

    try:
        loaded = load_rules(file)
    except RulesError as error:
        for problem in error.problems:
            click.echo(f"{file}{problem}", err=True)
        sys.exit(1)
    click.echo(
        f"{file} is valid: version {loaded.version}, {len(loaded.blocked_categories)} blocked categories, "
        f"{len(loaded.blocked_queries)} blocked queries, {len(loaded.pinned_queries)} pinned queries, "
        f"length bounds {'on' if loaded.length else 'off'}, recently shown {'on' if loaded.recently_shown else 'off'}."
    )
