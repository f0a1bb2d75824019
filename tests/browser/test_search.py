"""The beam search, drawn in "Why this bar?"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.browser.accessibility import violations
from tests.browser.demo_feed import is_within_the_width, open_feed, record_bodies, watch

NewPage = Callable[..., Page]

SUMMARY = ".search-details > summary"
MAX_CUT_DRAWN = 5
MARKUP = "<img src=x onerror='window.hacked=1'>\u202e" + "w" * 200


def test_the_search_is_asked_for_when_it_is_opened_and_drawn_as_a_tree(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    bodies = record_bodies(page, "/recommend")
    assert [body for body in bodies if "explain_search" in body] == []
    with page.expect_response("**/recommend") as received:
        page.locator(SUMMARY).click()
    search = received.value.json()["search"]
    nodes = sum(
        len(step["beams"]) + len(step["ended"]) + min(MAX_CUT_DRAWN, len(step["cut"])) for step in search["steps"]
    )
    expect(page.locator(".tree-node")).to_have_count(nodes)
    expect(page.locator(".tree-steps text")).to_have_count(len(search["steps"]))
    paths = page.locator(".paths button")
    expect(paths.locator("bdi")).to_have_text([item["query"] for item in search["hypotheses"]])

    # By keyboard: the focus marks a path, a key press keeps it.
    second, third = search["hypotheses"][1:3]
    paths.nth(0).focus()
    page.keyboard.press("Tab")
    expect(page.locator(".tree-node.marked")).to_have_count(second["step"])
    page.keyboard.press("Enter")
    expect(paths.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".path-state")).to_contain_text(f"{second['query']}: score {second['score']:.2f}")
    # By pointer: in the tree as well.
    end = page.locator(".tree-node.ended[data-rank='3']").first
    end.hover()
    expect(paths.nth(2)).to_have_class("path marked")
    expect(page.locator(".tree-node.marked")).to_have_count(third["step"])
    page.locator("#page-why h2").first.hover()
    expect(paths.nth(1)).to_have_class("path marked")

    page.get_by_text("The search as a list").click()
    lines = sum(len(step[kind]) for step in search["steps"] for kind in ("beams", "ended", "cut"))
    expect(page.locator(".steps-list li li")).to_have_count(lines)
    assert violations(page, within=".card.search") == []

    with page.expect_request(lambda request: "explain_search" in (request.post_data or "")):
        watch(page, 1)
    page.locator(SUMMARY).click()
    watch(page, 0)
    assert len([body for body in bodies if body.get("explain_search")]) == 2  # none after it was closed


def with_cuts(route: Route) -> None:
    """Answer as the service does, with what constraints forbid, and hostile texts of tokens."""
    response = route.fetch()
    body: Any = response.json()
    if body.get("search"):
        cut = {"token_id": 7, "token": MARKUP, "parent": 0, "sum_logprob": -3.5, "constraints": ["prohibited_phrases"]}
        body["search"]["steps"][0]["cut"] = [cut] * (MAX_CUT_DRAWN + 2)
        body["search"]["steps"][0]["beams"][0]["token"] = MARKUP
        body["search"]["cut_by_deadline"] = True
    route.fulfill(response=response, json=body)


def test_a_drawer_that_is_closed_asks_for_no_search_and_a_narrow_one_scrolls_in_its_own_box(
    demo: str, new_page: NewPage
) -> None:
    page = new_page(320, 700, color_scheme="dark")
    page.route("**/recommend", with_cuts)
    bodies = record_bodies(page, "/recommend")
    open_feed(page, demo)
    page.get_by_role("button", name="Why this bar?").click()
    page.locator(SUMMARY).click()
    expect(page.locator(".tree-node.cut")).to_have_count(MAX_CUT_DRAWN)
    expect(page.locator(".tree-node.cut title").first).to_contain_text("forbidden by prohibited phrases")
    expect(page.get_by_text("The deadline cut this search")).to_be_visible()
    assert is_within_the_width(page)
    assert page.locator(".tree-box").evaluate("box => box.scrollWidth > box.clientWidth")
    assert page.locator("#page-why img").count() == 0
    assert page.evaluate("window.hacked") is None
    assert (
        violations(page, "color-contrast", "scrollable-region-focusable", "nested-interactive", within=".card.search")
        == []
    )
    page.keyboard.press("Escape")
    watch(page, 1)
    expect(page.locator(".query").first).to_be_visible()
    assert len([body for body in bodies if body.get("explain_search")]) == 1
