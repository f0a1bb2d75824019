"""Debian's Chromium under Playwright, and the demo's service: one of each for all tests of this package."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cli.serve_demo import DEMO, EVIDENCE, FEED, RECENT_ANSWERS, REPORTS, RULES
from service.http.app import create_app
from service.settings import Settings
from tests.fixtures.serving import settings_for
from tests.integration.redis_servers import free_port, wait_until

PATIENCE_MS = 60_000  # longest wait for what must happen, on a busy machine
expect.set_options(timeout=PATIENCE_MS)

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The browser may reach nothing but this machine.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium. Without it the test fails, because a skipped test would prove nothing."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail("Chromium is not installed; `make test` installs it (Debian: apt-get install chromium)")
    return found


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app on a free port, in a thread; yield its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, ws="none", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the service")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def demo_settings(rules: Path, events: Path) -> Settings:
    """Return the settings of `onebar demo`, with a deadline for a busy test machine.

    Args:
        rules: a copy of the demo's rules, which reviewers may change.
        events: the file of answers and feedback.
    """
    return settings_for(
        DEMO / "bundle",
        store={"url": "memory://", "evidence": EVIDENCE},
        prohibited_terms=Path(EVIDENCE[0]).with_name("prohibited_terms.tsv"),
        page={"enabled": True, "feed": FEED, "reports": REPORTS},
        rules=rules,
        events={"sink": "jsonl", "path": str(events)},
        feedback={"without_key": True},
        review={"answers": RECENT_ANSWERS, "public": True, "without_key": True},
        docs_public=True,
    )


@pytest.fixture(scope="package")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the demo writes answers and feedback to."""
    return tmp_path_factory.mktemp("events") / "events.jsonl"


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory, events: Path) -> Iterator[str]:
    """The address of a running demo."""
    rules = Path(shutil.copy(RULES, tmp_path_factory.mktemp("rules")))
    with serving(create_app(demo_settings(rules, events))) as address:
        yield address


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS, timeout=PATIENCE_MS)
        yield running
        running.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens an empty tab. At the end, no tab may have reported an error that its test did not expect.

    A test that expects some sets ``page.expected_errors`` to a text that each of them has.
    """
    opened: list[tuple[Page, list[str]]] = []

    def open_tab(width: int = 1440, height: int = 900, **options: Any) -> Page:
        defaults = {"locale": "en-US", "reduced_motion": "reduce"}
        context = browser.new_context(viewport={"width": width, "height": height}, **(defaults | options))
        page = context.new_page()
        errors: list[str] = []
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(PATIENCE_MS)
        opened.append((page, errors))
        return page

    yield open_tab
    for page, errors in opened:
        expected = getattr(page, "expected_errors", None)
        page.context.close()
        assert [error for error in errors if expected is None or expected not in error] == []
