"""The live service of a run: two redis-servers, one for the evidence and one for the events, and `onebar serve`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.live_service import LiveService, serving
from benchmarks.refresh_days.dated import SERVICE_STREAM
from benchmarks.refresh_days.shop import Shop, command, onebar
from loadtest.redis_server import running_redis
from loadtest.stack import console_command


@dataclass(frozen=True, slots=True)
class Live:
    """A running service with its servers.

    Attributes:
        service: the process.
        store: URL of the feature store.
        events: URL of the Redis that the events go to.
        key: an API key that may send feedback.
    """

    service: LiveService
    store: str
    events: str
    key: str


@contextmanager
def live(shop: Shop) -> Iterator[Live]:
    """Publish the evidence of the days before, and serve the first bundle until the end of the context.

    Raises:
        StackError: a part did not start.
    """
    work = shop.out / "live"
    with ExitStack() as parts:
        urls = []
        for name in ("store", "events"):
            (work / name).mkdir(parents=True, exist_ok=True)
            urls.append(parts.enter_context(running_redis(work / name)))
        store, events = urls
        onebar("evidence", "publish", shop.first_build, "--store", store, "--user-key", shop.user_key)
        keys = work / "keys.json"
        keys.unlink(missing_ok=True)
        made = subprocess.run(
            command("keys", "create", keys, "feed", "--may", "feedback"), check=True, capture_output=True, text=True
        )
        settings = {
            "BUNDLE": shop.first_bundle,
            "STORE__URL": store,
            "PRIVACY__KEY_FILE": shop.user_key,
            "PROHIBITED_TERMS": shop.logs / "prohibited_terms.tsv",
            "PROMOTION__FOLDER": shop.promoted,
            "RESULT_CACHE__MAX_BYTES": 0,
            "EVENTS__SINK": "redis_stream",
            "EVENTS__URL": events,
            "EVENTS__STREAM": SERVICE_STREAM,
            "EVENTS__SPOOL_PATH": work / "spool",
            "DRAIN_SECONDS": 0,
        }
        texts = {name: str(value) for name, value in settings.items()}
        service = parts.enter_context(serving(Path(console_command()), texts, work, "--keys", str(keys)))
        yield Live(service, store, events, made.stdout.split()[0])


def refresh_command(settings: Path, day: int) -> tuple[list[str], dict[str, str]]:
    """Return the command line of the refresh of a day, and its environment."""
    return command("refresh", "--config", settings, "--day", day), os.environ | {"PYTHONUNBUFFERED": "1"}
