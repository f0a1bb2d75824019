"""Requests of the page that fail, come late, or are refused, and what the viewer is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.demo_feed import (
    QUERIES,
    REASON,
    answers,
    feed,
    hold,
    is_within_the_width,
    open_feed,
    queries_of,
    refuse,
    watch,
)

NewPage = Callable[..., Page]

LIVE = "#live"
OVERLOADED = "The service is overloaded"
OLD_QUERY = "a query that a reviewer blocks"


def asks_for(photo_id: str) -> Callable[[Request], bool]:
    """Return the condition that a request asks for one video alone."""
    return lambda request: request.url.endswith("/recommend") and request.post_data_json["photo_id"] == photo_id


def without_its_first(route: Route) -> None:
    """Answer a batch as the service does when it refuses the first of its requests."""
    response = route.fetch()
    body = response.json()
    body["results"][0]["response"] = None
    route.fulfill(response=response, json=body)


@pytest.mark.parametrize("end", [refuse(429), without_its_first], ids=["batch", "item"])
def test_a_video_whose_batch_gives_no_answer_is_asked_for_alone_while_it_is_watched(
    demo: str, new_page: NewPage, end: Callable[[Route], None]
) -> None:
    page = new_page()
    page.expected_errors = "429"  # type: ignore[attr-defined]
    held = hold(page, "**/recommend/batch")
    with page.expect_request("**/recommend/batch"):
        open_feed(page, demo)
    watch(page, 2)
    expect(page.locator(".skeleton")).to_be_visible()
    end(held[0])
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 3)[2]))


def test_an_edit_that_failed_is_asked_again(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.expected_errors = "503"  # type: ignore[attr-defined]
    with page.expect_response("**/recommend/batch"):
        open_feed(page, demo)
    page.route("**/recommend", refuse(503))
    page.locator("#caption").fill("camping tent for rain")
    expect(page.locator(REASON)).to_contain_text("The service does not answer")
    page.unroute("**/recommend")
    held = hold(page, "**/recommend")
    with page.expect_request("**/recommend"):
        page.get_by_role("button", name="Try again").click()
    expect(page.locator(".skeleton")).to_be_visible()
    held[0].continue_()
    expect(page.locator(QUERIES).first).to_be_visible()
    expect(page.locator(".segment.part-text")).to_have_text("camping tent for rain")


def test_an_answer_of_before_a_change_of_the_rules_is_dropped(demo: str, new_page: NewPage) -> None:
    page = new_page()
    second = feed()["videos"][1]["photo_id"]
    held: list[Route] = []

    def hold_first_of_second(route: Route) -> None:
        if not held and route.request.post_data_json["photo_id"] == second:
            held.append(route)
        else:
            route.continue_()

    page.route("**/recommend", hold_first_of_second)
    with page.expect_request(asks_for(second)):
        page.goto(f"{demo}/#review")
    form = page.locator(".review-change")
    for name, text in (("query", OLD_QUERY), ("reason", "unsafe")):
        form.locator(f"[name={name}]").fill(text)
    expect(page.locator(QUERIES).first).to_be_visible()
    old = held[0].fetch()
    with page.expect_response(lambda response: asks_for(second)(response.request)):
        form.get_by_role("button", name="Change the rules").click()
    expect(page.locator(".outcome")).to_contain_text("is blocked. In force on this instance now")
    with page.expect_event("requestfinished", lambda request: request == held[0].request):
        held[0].fulfill(response=old, json=old.json() | {"queries": [{"rank": 1, "query": OLD_QUERY, "score": -1.0}]})
    watch(page, 1)
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 2)[1]))


def test_a_failure_of_before_the_video_was_watched_is_not_shown(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.expected_errors = "429"  # type: ignore[attr-defined]
    second = feed()["videos"][1]["photo_id"]
    left = [refuse(429), refuse(429)]

    def refuse_second_twice(route: Route) -> None:
        if left and route.request.post_data_json["photo_id"] == second:
            left.pop()(route)
        else:
            route.continue_()

    page.route("**/recommend", refuse_second_twice)
    with page.expect_response("**/recommend/batch"):  # asked for after the next video
        open_feed(page, demo)
    assert len(left) == 1
    watch(page, 1)
    expect(page.locator(REASON)).to_contain_text(OVERLOADED)  # this one is of now
    watch(page, 0)
    watch(page, 1)
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 2)[1]))


@pytest.mark.parametrize("style", ["panel", "review"])
def test_styles_that_failed_are_loaded_by_the_next_click(demo: str, new_page: NewPage, style: str) -> None:
    page = new_page(390, 844)
    page.expected_errors = "net::ERR_"  # type: ignore[attr-defined]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    address = f"**/page/css/{style}.css"
    page.route(address, lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.goto(f"{demo}/#review")
    expect(page.locator(QUERIES).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.unroute(address)
    if style == "review":
        page.locator("#page-review").get_by_role("button", name="Try again").press("Enter")
        expect(page.locator(".review-change")).to_be_visible()
        expect(page.locator("#page-review")).to_be_focused()
    else:
        page.get_by_role("button", name="Why this bar?").click()
        expect(page.locator("#panel.open")).to_have_css("position", "fixed")
    assert len([url for url in asked if url.endswith(f"/{style}.css")]) == 2


def test_a_screen_reader_is_told_of_a_failure_and_the_bar_is_busy_only_while_it_waits(
    demo: str, new_page: NewPage
) -> None:
    page = new_page()
    page.expected_errors = "429"  # type: ignore[attr-defined]
    bar = page.locator(".bar")
    page.route("**/recommend/batch", refuse(429))
    with page.expect_response("**/recommend/batch"):
        open_feed(page, demo)
    expect(bar).to_have_attribute("aria-busy", "false")
    expect(page.locator(LIVE)).to_contain_text("suggestions")
    held = hold(page, "**/recommend")
    with page.expect_request("**/recommend"):
        watch(page, 2)
    expect(bar).to_have_attribute("aria-busy", "true")
    expect(page.locator(LIVE)).to_have_text("")
    refuse(429)(held.pop())
    expect(page.locator(LIVE)).to_have_text(OVERLOADED)
    expect(bar).to_have_attribute("aria-busy", "false")
    with page.expect_request("**/recommend"):
        page.get_by_role("button", name="Try again").click()
    expect(page.locator(LIVE)).to_have_text("")  # so that the same failure is news again
    refuse(429)(held.pop())
    expect(page.locator(LIVE)).to_have_text(OVERLOADED)


def test_a_refusal_is_shown_with_the_message_of_the_service(demo: str, new_page: NewPage) -> None:
    page = new_page(320, 700)
    page.expected_errors = "422"  # type: ignore[attr-defined]
    page.route("**/recommend", lambda route: route.continue_(post_data={"photo_id": ""}))
    page.goto(demo)
    expect(page.locator(REASON)).to_contain_text("The request was refused: The request has 1 fault")
    expect(page.locator(LIVE)).to_contain_text("The request was refused: The request has 1 fault")
    assert is_within_the_width(page)
    assert page.locator(".bar").evaluate("bar => bar.scrollHeight <= bar.clientHeight")  # the message scrolls in it
