"""How fast is the page at `/`, and what does it cost the service?

    python -m benchmarks.page_speed --output var/benchmarks/page_speed.json
    python -m benchmarks.page_speed --skip-api --screenshots docs/images         # the pictures of docs/page.md too

Serves the demo's bundle and evidence twice, with the page and without it. Two parts:
- page: Chromium opens the page several times, each with an empty cache. The first bar is there at the mark
  `onebar:first-bar`, in milliseconds since the navigation began. Then the page scrolls through videos, and the browser
  counts the tasks over 50 ms.
- api: `POST /recommend` by one client, to both services in turns of a few requests, so that other load on the machine
  hits both. The result cache is off.
"""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import click
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.live_service import LiveService, live_service
from loadtest.machine import begin_result, finish_result
from loadtest.samples import percentile
from loadtest.traffic import WARM, open_traffic

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_TURN = 10
_PICTURED = 8
"""Place in the feed of the video in the picture of the phone."""
_PATIENCE_MS = 120_000
_OBSERVE_LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver(list => longTasks.push(...list.getEntries().map(entry => [entry.startTime, entry.duration])))
  .observe({ type: "longtask", buffered: true });
"""
_FIRST_BAR = "performance.getEntriesByName('onebar:first-bar')[0]?.startTime"
_SCROLL = "by => document.getElementById('feed').scrollBy({ top: by * innerHeight, behavior: 'smooth' })"


def measure_page(browser: Browser, address: str, loads: int, videos: int) -> dict[str, Any]:
    """Open the page `loads` times, and scroll through `videos` videos in each."""
    first_bars, during_load, during_scroll = [], [], []
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        page.add_init_script(_OBSERVE_LONG_TASKS)
        page.goto(address)
        while page.evaluate(_FIRST_BAR) is None:  # the page's policy forbids what wait_for_function does
            page.wait_for_timeout(20)
        first_bars.append(float(page.evaluate(_FIRST_BAR)))
        page.wait_for_timeout(1000)
        scrolled_from = float(page.evaluate("performance.now()"))
        for _ in range(videos):
            page.evaluate(_SCROLL, 1)
            page.wait_for_timeout(700)
        tasks = page.evaluate("longTasks")
        during_load += [duration for start, duration in tasks if start < scrolled_from]
        during_scroll += [duration for start, duration in tasks if start >= scrolled_from]
        context.close()
    return {
        "loads": loads,
        "first_bar_ms": {"min": min(first_bars), "median": statistics.median(first_bars), "max": max(first_bars)},
        "videos_scrolled": loads * videos,
        "long_tasks_while_scrolling_ms": sorted(during_scroll, reverse=True),
        "long_tasks_while_loading_ms": sorted(during_load, reverse=True),
    }


def take_screenshots(browser: Browser, address: str, folder: Path) -> None:
    """Write `page_wide.png` (light), `page_search.png` (dark) and `page_phone.png` (dark: the feed, and the drawer)."""
    folder.mkdir(parents=True, exist_ok=True)
    page = open_still(browser, address, 1440, 900, "light")
    page.screenshot(path=folder / "page_wide.png")
    page.click(".search-details > summary")
    page.wait_for_selector(".tree")
    page.emulate_media(color_scheme="dark")
    page.evaluate("document.querySelector('.card.search').scrollIntoView()")
    page.locator(".card.search").screenshot(path=folder / "page_search.png")
    page.context.close()
    page = open_still(browser, address, 390, 844, "dark")
    for number in range(1, _PICTURED + 1):
        page.evaluate(
            "n => { const feed = document.getElementById('feed'); feed.scrollTop = n * feed.clientHeight; }", number
        )
        page.wait_for_selector(f".slide.current[aria-posinset='{number + 1}']")
    page.wait_for_selector(".query")
    feed = Image.open(BytesIO(page.screenshot()))
    page.click(".why")
    page.wait_for_selector("#panel.open")
    page.evaluate("document.querySelector('.hypotheses').scrollIntoView()")
    drawer = Image.open(BytesIO(page.screenshot()))
    page.context.close()
    both = Image.new("RGB", (feed.width + drawer.width + 2, feed.height), "#5a5f69")
    both.paste(feed, (0, 0))
    both.paste(drawer, (feed.width + 2, 0))
    both.save(folder / "page_phone.png", optimize=True)


def open_still(browser: Browser, address: str, width: int, height: int, scheme: Literal["light", "dark"]) -> Page:
    """Open the page without motion, and wait for its first bar and the panel, which is loaded after it."""
    page = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", locale="en-US"
    ).new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.goto(address)
    page.wait_for_selector(".query")
    page.wait_for_selector(".hypotheses tbody", state="attached")
    return page


def measure_api(services: dict[str, LiveService], requests: int) -> dict[str, Any]:
    """Send `requests` requests to each service, in turns, one at a time."""
    traffic = open_traffic(ROOT / "demo" / "evidence")
    connections = {name: http.client.HTTPConnection("127.0.0.1", one.port, 60) for name, one in services.items()}
    samples: dict[str, list[float]] = {name: [] for name in services}
    for _ in range(-(-requests // _TURN)):
        turn = [json.dumps(traffic.call(WARM).body) for _ in range(_TURN)]
        for name, connection in connections.items():
            for body in turn:
                started = time.perf_counter()
                connection.request("POST", "/recommend", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                samples[name].append((time.perf_counter() - started) * 1000)
                if answer.status != 200:
                    raise click.ClickException(f"the service answered {answer.status}")
    for connection in connections.values():
        connection.close()
    return {
        name: {"requests": len(times), "min_ms": min(times), "p50_ms": percentile(times, 50)}
        for name, times in samples.items()
    }


@click.command()
@click.option("--loads", default=5, show_default=True, help="Times that the page is opened.")
@click.option("--videos", default=12, show_default=True, help="Videos to scroll through after each.")
@click.option("--requests", default=400, show_default=True, help="Requests to each of the two services.")
@click.option("--skip-api", is_flag=True, help="Measure the browser alone.")
@click.option("--screenshots", type=click.Path(path_type=Path), help="Folder for the pictures of docs/page.md.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON file for the figures.")
def main(loads: int, videos: int, requests: int, skip_api: bool, screenshots: Path | None, output: Path | None) -> None:
    """Measure the page in Chromium, and `POST /recommend` with the page on and off."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        raise click.ClickException("Chromium is not installed (Debian: apt-get install chromium)")
    result = begin_result("page_speed", "fastapi", "playwright")
    command, bundle, evidence = Path(sys.executable).with_name("onebar"), ROOT / "demo/bundle", ROOT / "demo/evidence"
    page = {"PAGE__ENABLED": "true", "PAGE__FEED": str(evidence / "feed.json.gz"), "EXPLAIN_WITHOUT_KEY": "true"}
    page |= {"PAGE__REPORTS": str(ROOT / "demo" / "reports"), "REVIEW__PUBLIC": "true", "REVIEW__WITHOUT_KEY": "true"}
    common = {"DEFAULT_DEADLINE_MS": "10000"}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with (
            live_service(command, bundle, evidence, work, environment=common | page) as shown,
            sync_playwright() as driver,
        ):
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=_PATIENCE_MS)
            result["page"] = measure_page(browser, f"http://127.0.0.1:{shown.port}/", loads, videos)
            if screenshots:
                take_screenshots(browser, f"http://127.0.0.1:{shown.port}/", screenshots)
            browser.close()
        if not skip_api:
            without_cache = common | {"RESULT_CACHE__MAX_BYTES": "0"}
            (work / "off").mkdir()
            with (
                live_service(command, bundle, evidence, work, environment=without_cache | page) as on,
                live_service(command, bundle, evidence, work / "off", environment=without_cache) as off,
            ):
                result["api"] = measure_api({"page_on": on, "page_off": off}, requests)
    click.echo(finish_result(result, output))


if __name__ == "__main__":
    main()
