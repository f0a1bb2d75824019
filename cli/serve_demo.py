"""`onebar demo`: serve the shipped bundle with the shipped evidence, from memory."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import click

from cli.errors import CannotStart

DEMO = Path(__file__).resolve().parent.parent / "demo"
FEED = DEMO / "evidence" / "feed.json.gz"
RULES = DEMO / "rules.yaml"
REPORTS = DEMO / "reports"
EVIDENCE = (DEMO / "evidence" / "photos.jsonl.gz", DEMO / "evidence" / "users.jsonl.gz")
# A laptop without int8 instructions needs more time than the default deadline. The first answer must not be empty.
DEADLINE_MS = 100
RECENT_ANSWERS = 500
EVENT_BYTES = 64 * 1024 * 1024


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address of this machine.")
@click.option("--port", default=8000, show_default=True, help="Port of POST /recommend.")
@click.option(
    "--events", type=click.Path(path_type=Path, dir_okay=False),
    help="Append answers and feedback to this file; by default to a file that is removed when the demo ends.",
)  # fmt: skip
@click.option("--store", help="A store of your own, published with --raw-user-ids, instead of the shipped videos.")
@click.option(
    "--reports",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=REPORTS,
    help="Folder with the JSON of your own evaluations, load tests and benchmarks, for the page.",
)
@click.option("--with-keys", is_flag=True, help="Ask for API keys, and print one for the page and one for a reviewer.")
def demo(host: str, port: int, events: Path | None, store: str | None, reports: Path, with_keys: bool) -> None:
    """Serve the shipped demo: a small trained BART and a few thousand simulated videos, without Redis.

    \b
    Example:  onebar demo
              onebar recommend PHOTO_ID --explain       (in another terminal)
              onebar demo --store sqlite:///var/evidence.db
              onebar demo --reports var/reports
              onebar demo --with-keys
    """
    from cli.demo_keys import make_demo_keys
    from service.environment import load_settings
    from service.http.access import is_loopback
    from service.http.app import create_app
    from service.http.server import run
    from service.observing.logs import configure_logging

    if not is_loopback(host):
        raise CannotStart(
            f"The demo explains its answers without a key, so other machines must not reach it at {host}; leave --host"
            " out, or use `onebar serve` with --keys."
        )
    needed = (DEMO / "bundle" / "manifest.json", FEED, RULES, *(() if store else EVIDENCE))
    missing = [path for path in needed if not path.exists()]
    if missing:
        raise CannotStart(f"{missing[0]} is missing; clone again, or run `make demo-model`")
    folder = _own_folder()
    keys = make_demo_keys() if with_keys else None
    settings = load_settings(
        bundle=DEMO / "bundle",
        prohibited_terms=DEMO / "evidence" / "prohibited_terms.tsv",
        store={"url": store} if store else {"url": "memory://", "evidence": EVIDENCE},
        privacy={"raw_user_ids": True} if store else None,
        events={"sink": "jsonl", "path": str(events or folder / "events.jsonl"), "max_file_bytes": EVENT_BYTES},
        feedback={"without_key": not with_keys},
        page={"enabled": True, "feed": FEED, "reports": reports},
        keys=keys.path if keys else None,
        default_deadline_ms=DEADLINE_MS,
        docs_public=True,
        explain_without_key=True,
        rules=None if os.environ.get("ONEBAR_RULES") else Path(shutil.copy(RULES, folder)),
        review={"answers": RECENT_ANSWERS, "public": True, "without_key": True},
        drain_seconds=0,
        host=host,
        port=port,
    )
    configure_logging(settings.log_level)
    app = create_app(settings)
    if keys:
        click.echo(f"API key of the page:     {keys.page}\nAPI key of a reviewer:   {keys.reviewer}\n")
    if not store:
        _print_examples(f"http://{host}:{port}", keys.page if keys else None)
    sys.exit(run(app, settings))


def _own_folder() -> Path:
    """Return a folder for the rules, which reviewers may change, and for the events. The end of the demo removes it."""
    folder = Path(tempfile.mkdtemp(prefix="onebar-demo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _print_examples(url: str, key: str | None) -> None:
    header = f" -H 'authorization: Bearer {key}'" if key else ""
    post = f"curl -s {url}/recommend{header} -H 'content-type: application/json' -d"
    click.echo(f"Open {url}/ in a browser. Or, in another terminal:")
    for line in (DEMO / "try_it.txt").read_text(encoding="utf-8").splitlines():
        comment, _, body = line.partition(": ")
        click.echo(f"  # {comment}\n  {post} '{body}'")
    click.echo(f"API documentation: {url}/docs\n")
