"""What the tests know of the demo's feed, from its file and from the service."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
from playwright.sync_api import Page, Request, Route, expect

from cli.serve_demo import FEED

DRAWER = "#panel.open"
QUERIES = ".bar .query"
REASON = ".bar .quiet"


@cache
def feed() -> dict[str, Any]:
    """Return the feed."""
    content: dict[str, Any] = json.loads(gzip.decompress(FEED.read_bytes()))
    return content


def answers(address: str, count: int, viewer: int = 0) -> list[dict[str, Any]]:
    """Return the service's answers for the first videos of the feed, for one of its viewers."""
    user_id = feed()["viewers"][viewer]["user_id"]
    found: list[dict[str, Any]] = []
    with httpx.Client(base_url=address, timeout=60) as client:
        for video in feed()["videos"][:count]:
            body = {"photo_id": video["photo_id"], "user_id": user_id}
            found.append(client.post("/recommend", json=body).json())
    return found


def difference(address: str) -> tuple[int, int]:
    """Return a video and a viewer of the feed for whom its bar is another one than for the first viewer."""
    with httpx.Client(base_url=address, timeout=60) as client:
        for at, video in enumerate(feed()["videos"][:40]):
            bodies = [
                {"photo_id": video["photo_id"], "user_id": viewer["user_id"], "deadline_ms": 10_000}
                for viewer in feed()["viewers"]
            ]
            results = client.post("/recommend/batch", json={"requests": bodies}).json()["results"]
            bars = [queries_of(result["response"]) for result in results]
            for viewer, bar in enumerate(bars):
                if bar != bars[0]:
                    return at, viewer
    raise AssertionError("no viewer of the demo's feed changes the bar of one of its first 40 videos")


def queries_of(answer: dict[str, Any]) -> list[str]:
    """Return the queries of an answer."""
    return [item["query"] for item in answer["queries"]]


def index_of_rejection(address: str) -> int:
    """Return the place of the first video of the feed for which the model abstains."""
    return next(at for at, answer in enumerate(answers(address, 12)) if answer["reason"] == "model_reject")


def open_feed(page: Page, address: str) -> Page:
    """Open the page, and wait for the first bar and for the panel, which is loaded after it."""
    page.goto(address)
    expect(page.locator(QUERIES).first).to_be_visible()
    expect(page.locator("#panel [role=tab]").first).to_be_attached()
    return page


def watch(page: Page, index: int) -> None:
    """Scroll to a video and wait until it is the watched one."""
    page.evaluate(
        "index => { const feed = document.getElementById('feed');"
        " feed.scrollTo({ top: index * feed.clientHeight, behavior: 'instant' }); }",
        index,
    )
    expect(page.locator(".slide").nth(index)).to_have_class("slide current")


def record_bodies(page: Page, path: str) -> list[Any]:
    """Return a list to which the body of every request to a path is added."""
    bodies: list[Any] = []

    def add(request: Request) -> None:
        if request.url.endswith(path):
            bodies.append(request.post_data_json)

    page.on("request", add)
    return bodies


def is_within_the_width(page: Page) -> bool:
    """Return whether no part of the page scrolls horizontally, or reaches over its edge."""
    inside: bool = page.evaluate(
        "() => document.documentElement.scrollWidth <= innerWidth"
        " && [...document.querySelectorAll('.page, .sheet, .sheet-body, .bar, .top, .phone')]"
        ".every(node => node.scrollWidth <= node.clientWidth + 1)"
    )
    return inside


def with_feature(**features: Any) -> Callable[[Route], None]:
    """Return a handler that answers as the service does, but with other features of the deployment."""

    def handle(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | features)

    return handle


def refuse(status: int) -> Callable[[Route], None]:
    """Return a handler that answers as a service that refuses a request with a status."""
    return lambda route: route.fulfill(status=status, json={"error": "refused", "message": "Refused.", "errors": []})


def hold(page: Page, address: str) -> list[Route]:
    """Return a list to which every request to an address is added; it waits until the test answers it."""
    held: list[Route] = []
    page.route(address, lambda route: held.append(route))
    return held
