"""The feed of the page in a real browser, on the demo's service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.accessibility import violations
from tests.browser.demo_feed import (
    QUERIES,
    REASON,
    answers,
    difference,
    feed,
    index_of_rejection,
    is_within_the_width,
    open_feed,
    queries_of,
    record_bodies,
    watch,
    with_feature,
)
from tests.integration.redis_servers import wait_until

NewPage = Callable[..., Page]

# When the third video becomes the watched one, before its scrolling has ended, the feed is put back to the second.
SNAP_BACK_ONCE = """() => {
  const feed = document.getElementById('feed');
  const third = feed.children[2];
  const observer = new MutationObserver(() => {
    if (!third.classList.contains('current')) return;
    observer.disconnect();
    document.documentElement.dataset.snapped = '';
    feed.scrollTo({ top: feed.clientHeight, behavior: 'instant' });
  });
  observer.observe(third, { attributes: true, attributeFilter: ['class'] });
}"""
# The next scrolling does nothing, and no event says so.
END_SILENTLY_ONCE = """() => {
  const feed = document.getElementById('feed');
  feed.scrollTo = () => {
    delete feed.scrollTo;
    document.documentElement.dataset.ended = '';
  };
}"""


def test_the_first_bar_has_the_queries_of_the_first_video(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 1)[0]))
    expect(page.locator(".slide.current .caption")).to_have_text(feed()["videos"][0]["caption"])
    expect(page.locator(".slide.current svg.scene")).to_be_visible()
    while page.evaluate("performance.getEntriesByName('onebar:first-bar').length") != 1:
        page.wait_for_timeout(20)
    expect(page.locator("#live")).to_contain_text(queries_of(answers(demo, 1)[0])[0])


def test_no_request_leaves_the_service_and_the_page_sends_a_strict_policy(demo: str, new_page: NewPage) -> None:
    page = new_page()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    response = page.goto(demo)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= set(
        policy.split("; ")
    )
    expect(page.locator(QUERIES).first).to_be_visible()
    assert [url for url in urls if not url.startswith((demo, "data:"))] == []
    page.expected_errors = "Content Security Policy"  # type: ignore[attr-defined]
    page.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        " document.body.append(script); }"
    )
    assert page.evaluate("window.ran") is None


def test_arrow_keys_and_buttons_move_through_the_feed(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    second = queries_of(answers(demo, 2)[1])
    page.keyboard.press("ArrowDown")
    expect(page.locator(".slide").nth(1)).to_have_class("slide current")
    expect(page.locator(QUERIES)).to_have_text(second)
    page.get_by_role("button", name="Next video").click()
    expect(page.locator(".slide").nth(2)).to_have_class("slide current")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".slide").nth(1)).to_have_class("slide current")
    page.keyboard.press("k")
    expect(page.locator(".slide").nth(0)).to_have_class("slide current")


def test_a_browser_that_ends_a_scrolling_early_does_not_leave_the_feed_a_video_short(
    demo: str, new_page: NewPage
) -> None:
    """On a busy machine, a change of the layout makes the browser snap back, or end a smooth scrolling silently."""
    page = open_feed(new_page(reduced_motion="no-preference"), demo)
    page.evaluate(SNAP_BACK_ONCE)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("html[data-snapped]")).to_be_attached()
    expect(page.locator(".slide").nth(2)).to_have_class("slide current")
    page.evaluate(END_SILENTLY_ONCE)
    page.keyboard.press("ArrowDown")
    expect(page.locator("html[data-ended]")).to_be_attached()
    expect(page.locator(".slide").nth(3)).to_have_class("slide current")


def test_a_swipe_moves_to_the_next_video(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(390, 844, has_touch=True, is_mobile=True), demo)
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *heights: int) -> None:
        points = [{"x": 195, "y": height} for height in heights]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 560)
    for height in range(530, 130, -40):
        touch("touchMove", height)
    touch("touchEnd")
    expect(page.locator(".slide").nth(1)).to_have_class("slide current")
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 2)[1]))


def test_the_next_videos_are_asked_for_before_they_are_watched(demo: str, new_page: NewPage) -> None:
    page = new_page()
    alone, batches = record_bodies(page, "/recommend"), record_bodies(page, "/recommend/batch")
    with page.expect_response("**/recommend/batch"):
        open_feed(page, demo)
    ids = [video["photo_id"] for video in feed()["videos"][:6]]
    assert [body["photo_id"] for body in alone] == ids[:2]
    assert [[body["photo_id"] for body in batch["requests"]] for batch in batches] == [ids[2:5]]
    watch(page, 2)
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 3)[2]))
    assert len(alone) == 2  # the bar was there
    with page.expect_request("**/recommend"):
        watch(page, 4)
    assert alone[-1]["photo_id"] == ids[5]


def test_another_viewer_gets_another_bar(demo: str, new_page: NewPage) -> None:
    index, viewer = difference(demo)
    first, second = (queries_of(answers(demo, index + 1, viewer=number)[index]) for number in (0, viewer))
    page = open_feed(new_page(), demo)
    watch(page, index)
    expect(page.locator(QUERIES)).to_have_text(first)
    page.locator("#viewer").click()
    viewers = page.get_by_role("dialog", name="Who is watching?")
    expect(viewers.locator("[aria-pressed=true]")).to_contain_text(feed()["viewers"][0]["user_id"])
    assert violations(page, within=".sheet") == []
    viewers.get_by_role("button", name=feed()["viewers"][viewer]["user_id"]).click()
    expect(page.locator(QUERIES)).to_have_text(second)
    expect(page.locator("#viewer")).to_contain_text(feed()["viewers"][viewer]["user_id"])


def test_a_video_that_the_model_rejects_has_an_empty_bar_with_the_reason(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    watch(page, index_of_rejection(demo))
    expect(page.locator(REASON)).to_have_text("No suggestion: the model chose to show nothing")
    expect(page.locator(QUERIES)).to_have_count(0)
    expect(page.locator(".meter-fill.over")).to_be_visible()
    expect(page.locator("tbody .pill").first).to_have_text("[REJECT]")


def test_a_click_opens_matching_items_and_escape_gives_the_focus_back(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    query = page.locator(QUERIES).last
    text = query.inner_text()
    query.click()
    sheet = page.get_by_role("dialog", name=f"Results for “{text}”")
    expect(sheet).to_be_visible()
    names = [name.lower() for name in sheet.locator(".item").all_inner_texts()]
    assert names
    assert all(any(word in name for word in text.split()) for name in names)
    assert page.evaluate("document.activeElement.id") == "sheet-title"
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(query).to_be_focused()


def test_a_click_becomes_an_event_of_the_service(demo: str, events: Path, new_page: NewPage) -> None:
    page = new_page()
    with page.expect_response("**/recommend") as received:
        open_feed(page, demo)
    answer = received.value.json()
    with page.expect_response("**/feedback") as accepted:
        page.locator(QUERIES).nth(1).click()
    assert accepted.value.status == 202
    second = answer["queries"][1]
    expected = {"request_id": answer["request_id"], "event": "click", "query": second["query"], "rank": second["rank"]}

    def written() -> bool:
        lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
        return any(expected.items() <= line.items() for line in lines if line["kind"] == "feedback")

    wait_until(written, "the event of the click")


def test_a_click_is_not_sent_where_the_deployment_takes_no_feedback(demo: str, new_page: NewPage) -> None:
    page = new_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.route("**/page/deployment.json", with_feature(feedback=False))
    open_feed(page, demo)
    page.locator(QUERIES).nth(1).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert not [url for url in sent if url.endswith("/feedback")]


def test_a_service_that_is_down_is_said_and_can_be_asked_again(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.expected_errors = "net::ERR_"  # type: ignore[attr-defined]
    page.route("**/recommend*", lambda route: route.abort("connectionrefused"))
    page.goto(demo)
    expect(page.locator(REASON)).to_contain_text("The service does not answer")
    page.unroute("**/recommend*")
    page.get_by_role("button", name="Try again").press("Enter")
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 1)[0]))
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Search for").get_by_role("button").first).to_be_focused()


def test_a_slow_service_is_said_and_the_bar_fills_when_it_answers(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.clock.install()
    held: list[Route] = []
    page.route("**/recommend", lambda route: held.append(route))
    page.goto(demo)
    expect(page.locator(".skeleton")).to_be_visible()
    page.clock.fast_forward(2000)
    expect(page.locator(REASON)).to_have_text("The service takes longer than usual")
    held[0].continue_()
    expect(page.locator(QUERIES)).to_have_text(queries_of(answers(demo, 1)[0]))


@pytest.mark.parametrize("width", [320, 1440])
def test_nothing_scrolls_horizontally(demo: str, new_page: NewPage, width: int) -> None:
    page = open_feed(new_page(width, 700), demo)
    assert is_within_the_width(page)
    if width < 1000:
        page.get_by_role("button", name="Why this bar?").click()
        expect(page.locator("#panel.open")).to_be_visible()
        assert is_within_the_width(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Why this bar?")).to_be_focused()
    page.locator("#viewer").click()
    assert is_within_the_width(page)
