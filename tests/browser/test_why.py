""" "Why this bar?" in a real browser: what the panel shows, and what happens when evidence is edited."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import Error, Page, Route, expect

from tests.browser.demo_feed import QUERIES, answers, feed, open_feed, record_bodies, watch, with_feature

NewPage = Callable[..., Page]

MAX_RECENT = 64  # of the API


def test_the_panel_shows_stages_fields_segments_and_hypotheses_of_the_answer(demo: str, new_page: NewPage) -> None:
    page = new_page()
    with page.expect_response("**/recommend") as received:
        open_feed(page, demo)
    answer = received.value.json()
    explain = answer["explain"]
    expect(page.locator("tbody tr")).to_have_count(len(explain["hypotheses"]))
    expect(page.locator("tbody .hypothesis")).to_have_text([item["query"] for item in explain["hypotheses"]])
    expect(page.locator(".waterfall .lane")).not_to_have_count(0)
    expect(page.locator(".segment")).to_have_text([part["text"] for part in explain["segments"] if part["text"]])
    counts = [f"{part['tokens']} of {part['budget']}" for part in explain["segments"]]
    expect(page.locator(".counts .number")).to_have_text(counts)
    expect(page.locator(".reject")).to_contain_text(f"{explain['rejection']['probability']:.4f}")
    text = page.locator("[data-field=text]")
    expect(text.locator("dd").nth(1)).to_have_text(explain["evidence"]["text"])
    removed = [word for word in explain["fields"]["caption"].split() if word.startswith("#")]
    expect(text.locator("del")).to_have_text(removed)


def test_the_bar_changes_as_the_caption_is_edited_and_reset_brings_it_back(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    before = page.locator(QUERIES).all_inner_texts()
    bodies = record_bodies(page, "/recommend")
    for name in ("summary", "anchors", "histories", "personal"):
        page.get_by_role("switch", name=f"Use {name.capitalize()}").click()
    page.locator("#caption").fill("")
    page.locator("#caption").press_sequentially("camping tent for rain")
    expect(page.locator(".segment")).to_have_text(["camping tent for rain"])
    expect(page.locator(QUERIES).first).to_contain_text("tent")
    assert bodies[-1]["evidence"] == {
        "caption": "camping tent for rain", "summary": "", "anchors": [], "histories": [],
    }  # fmt: skip
    assert "user_id" not in bodies[-1]
    assert len(bodies) < 20  # not one for each of the letters and switches
    expect(page.locator("#caption")).to_be_focused()
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(QUERIES)).to_have_text(before)
    expect(page.locator("#caption")).to_have_value(feed()["videos"][0]["caption"])


def test_a_field_that_is_switched_off_leaves_the_source(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    expect(page.locator(".segment.part-histories")).to_have_count(1)
    page.get_by_role("switch", name="Use Histories").click()
    expect(page.locator(".segment.part-histories")).to_have_count(0)
    expect(page.locator("[data-field=histories]")).to_contain_text("switched off")
    page.keyboard.press("Space")
    expect(page.locator(".segment.part-histories")).to_have_count(1)


def test_a_recent_query_becomes_personal_evidence(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    query = answers(demo, 1)[0]["queries"][-1]["query"]
    page.locator("#recent-query").fill(query)
    page.keyboard.press("Enter")
    expect(page.locator(".segment.part-personal")).to_contain_text(query)
    page.get_by_role("button", name=f"Remove {query}").click()
    expect(page.get_by_text("· edited")).to_have_count(0)


def test_of_many_recent_queries_the_latest_that_the_service_takes_are_kept(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    bodies = record_bodies(page, "/recommend")
    for number in range(MAX_RECENT + 1):
        page.locator("#recent-query").fill(f"kettle {number}")
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove kettle")).to_have_count(MAX_RECENT)
    with page.expect_response("**/recommend") as received:
        page.get_by_role("switch", name="Use Summary").click()
    assert received.value.status == 200
    assert bodies[-1]["recent_queries"] == [f"kettle {number}" for number in range(MAX_RECENT, 0, -1)]
    expect(page.locator(".segment.part-personal")).to_contain_text("kettle")


def test_an_answer_to_an_earlier_edit_is_dropped(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/recommend", hold_first)
    with page.expect_request("**/recommend"):
        page.locator("#caption").fill("first words")
    page.locator("#caption").fill("last words")
    expect(page.locator(".segment.part-text")).to_have_text("last words")
    with suppress(Error):  # the page has cancelled the earlier request
        held[0].continue_()
    page.wait_for_load_state("networkidle")
    expect(page.locator(".segment.part-text")).to_have_text("last words")


def test_edits_belong_to_their_video(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    page.get_by_role("switch", name="Use Summary").click()
    expect(page.get_by_text("· edited")).to_be_visible()
    watch(page, 1)
    expect(page.get_by_text("· edited")).to_have_count(0)
    expect(page.get_by_role("switch", name="Use Summary")).to_be_checked()


def test_percentiles_and_the_list_are_those_of_the_requests(demo: str, new_page: NewPage) -> None:
    page = new_page()
    with page.expect_response("**/recommend/batch"):
        open_feed(page, demo)
    expect(page.locator(".percentiles")).to_contain_text("2 requests of this page")
    page.get_by_role("tab", name="Requests").click()
    expect(page.locator("#page-requests tbody tr")).to_have_count(5)
    expect(page.locator("#page-requests tbody tr").first).to_contain_text("batch of 3")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Why this bar?")).to_be_focused()
    expect(page.locator("#page-why")).to_be_visible()


def test_a_caller_who_may_neither_explain_nor_review_sees_queries_and_times(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.route("**/page/deployment.json", with_feature(explain=False, review=None, reports=False))
    bodies = record_bodies(page, "/recommend")
    open_feed(page, demo)
    expect(page.get_by_text("Your key may not ask for explanations")).to_be_visible()
    expect(page.locator(".waterfall")).to_be_visible()
    expect(page.locator(".card.evidence")).to_be_hidden()
    expect(page.get_by_role("tab")).to_have_text(["Why this bar?", "Requests"])
    assert [body["explain"] for body in bodies] == [False] * len(bodies)


def test_without_a_feed_a_video_is_entered(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.route("**/page/deployment.json", with_feature(feed=False))
    page.goto(demo)
    page.get_by_label("photo_id").fill(feed()["videos"][0]["photo_id"])
    page.get_by_role("button", name="Open").click()
    expect(page.locator(QUERIES).first).to_be_visible()
    expect(page.locator(".slide")).to_have_count(1)
