"""/docs in a real browser that can reach only the service."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from service.http.app import create_app
from tests.fixtures.serving import bundle_path, settings_for
from tests.integration.redis_servers import free_port, wait_until

__all__ = ["bundle_path"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def address(bundle_path: Path) -> Iterator[str]:
    """The address of a running service."""
    port = free_port()
    app = create_app(settings_for(bundle_path, store={"url": "memory://"}))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, ws="none", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the service")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
async def test_the_page_renders_without_a_network(address: str, tmp_path: Path) -> None:
    browser = await asyncio.create_subprocess_exec(
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=10000",
        "--dump-dom", f"{address}/docs", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(browser.communicate(), 60)
    page = output.decode()
    for drawn in ('class="opblock-summary-path" data-path="/recommend"', "Generate search queries for one video"):
        assert drawn in page
    assert "Failed to load" not in page
