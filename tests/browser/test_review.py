"""The reviewer's view: a key, recent answers, and a change of the rules that the bar shows at once."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, Route, expect

from tests.browser.accessibility import violations
from tests.browser.demo_feed import QUERIES, feed, is_within_the_width, open_feed, watch, with_feature

NewPage = Callable[..., Page]

VIDEO = 100  # in the feed; no other test looks at its bar


def only_with(key: str) -> Callable[[Route], None]:
    """Return a handler that lets requests with a key through, and refuses others as the service does."""

    def handle(route: Route) -> None:
        if route.request.headers.get("authorization") == f"Bearer {key}":
            route.continue_()
        else:
            route.fulfill(status=403, json={"error": "forbidden", "message": "It needs a key.", "errors": []})

    return handle


def test_a_reviewer_blocks_a_query_and_takes_it_back(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.expected_errors = "403"  # type: ignore[attr-defined]
    page.route("**/page/deployment.json", with_feature(review="key"))
    page.route(re.compile(rf"^{demo}/review\b"), only_with("ob_reviewer"))
    open_feed(page, demo)
    watch(page, VIDEO)
    expect(page.locator(QUERIES).first).to_be_visible()
    photo_id = feed()["videos"][VIDEO]["photo_id"]
    first, *rest = page.locator(QUERIES).all_inner_texts()

    page.get_by_role("tab", name="Review").click()
    page.get_by_label("Reviewer's key").fill("ob_other")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_have_text("This key may not do that")
    page.get_by_label("Reviewer's key").fill("ob_reviewer")
    page.get_by_role("button", name="Open").click()
    answers = page.locator(".review-answer")
    expect(answers.first).to_be_visible()
    assert page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage })").count("ob_reviewer") == 0

    search = page.get_by_role("search")
    search.get_by_label("Video").fill(photo_id)
    search.get_by_role("button", name="Find").click()
    expect(answers).to_have_count(1)
    expect(answers.locator(".ids")).to_contain_text("Viewer")
    search.get_by_label("Part of a query").fill("no such query")
    search.get_by_role("button", name="Find").click()
    expect(page.get_by_text("No answer matches")).to_be_visible()
    search.get_by_label("Part of a query").fill(first.upper())
    search.get_by_role("button", name="Find").click()
    assert violations(page, within="#page-review") == []

    answers.get_by_role("button", name=f"Block “{first}”").click()
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("complaint 4711")
    page.keyboard.press("Enter")
    outcome = page.locator(".outcome")
    expect(outcome).to_contain_text(f"“{first}” is blocked. In force on this instance now")
    expect(page.locator(".review-changes li").first).to_contain_text("complaint 4711")
    expect(page.locator(QUERIES).first).to_be_visible()
    expect(page.locator(QUERIES).filter(has_text=re.compile(f"^{re.escape(first)}$"))).to_have_count(0)
    assert rest[0] in page.locator(QUERIES).all_inner_texts()

    page.get_by_role("button", name=f"Unblock “{first}”").click()
    page.keyboard.type("settled")
    page.keyboard.press("Enter")
    expect(outcome).to_contain_text(f"“{first}” is not blocked any more")
    expect(page.locator(QUERIES).first).to_have_text(first)
    page.get_by_role("button", name="Forget the key").click()
    expect(answers).to_have_count(0)
    expect(page.get_by_label("Reviewer's key")).to_have_value("")


def test_a_pin_on_a_narrow_screen_and_a_conflict_with_another_reviewer(demo: str, new_page: NewPage) -> None:
    page = new_page(320, 700, color_scheme="dark")
    page.expected_errors = "409"  # type: ignore[attr-defined]
    page.goto(f"{demo}/#review")
    form = page.locator(".review-change")
    expect(page.get_by_text("This demo needs no key to review")).to_be_visible()
    expect(page.locator(".review-rules h3").first).to_be_visible()
    with httpx.Client(base_url=demo, timeout=60) as other:
        change = {"kind": "block_query", "query": "another reviewer was here", "reason": "a conflict"}
        version = other.get("/review/rules").json()["version"]
        other.post("/review/rules", json=change | {"version": version}).raise_for_status()
    form.locator("select").select_option("pin_query")
    for name, text in (("query", "<b>pinned</b> query"), ("photo_id", "p000001"), ("reason", "a test")):
        form.locator(f"[name={name}]").fill(text)
    form.get_by_role("button", name="Change the rules").click()
    expect(page.locator(".outcome.fault")).to_contain_text("Look at the rules below")
    expect(page.locator(".review-rules")).to_contain_text("another reviewer was here")
    form.get_by_role("button", name="Change the rules").click()
    expect(page.locator(".outcome")).to_contain_text("“<b>pinned</b> query” is pinned on p000001")
    expect(page.get_by_role("button", name="Unpin “<b>pinned</b> query” from p000001")).to_be_visible()
    assert page.locator("#page-review b").count() == 0
    assert is_within_the_width(page)
    assert violations(page, "color-contrast", "label", "button-name", within="#page-review") == []


def test_what_a_reviewer_has_typed_outlives_a_change_of_the_language(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{demo}/#review")
    change, search = page.locator(".review-change"), page.locator(".review-search")
    change.locator("select").select_option("pin_query")
    typed = {
        change: {"query": "a query", "photo_id": "p000001", "reason": "a long reason"},
        search: {"video": "p000002", "query": "part", "request_id": "r1"},
    }
    for form, values in typed.items():
        for name, text in values.items():
            form.locator(f"[name={name}]").fill(text)
    page.get_by_role("button", name="Switch to Chinese").click()
    expect(page.get_by_text("此演示无需密钥即可审核")).to_be_visible()
    for form, values in typed.items():
        for name, text in values.items():
            expect(form.locator(f"[name={name}]")).to_have_value(text)
    expect(change.locator("select")).to_have_value("pin_query")
    expect(change.locator("[name=photo_id]")).to_be_visible()
