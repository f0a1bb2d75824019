"""The page for everyone: hostile texts, accessibility, both languages, both themes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.accessibility import violations
from tests.browser.demo_feed import QUERIES, feed, is_within_the_width, open_feed, watch

NewPage = Callable[..., Page]

MARKUP = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script></textarea>"
BIDI = "\u202egnirts desrever\u202c \u2067מחיר\u2069 \u202d\u202e"
LONG = "w" * 4000
HOSTILE = (MARKUP, BIDI, LONG)


def hostile_feed(route: Route) -> None:
    """Answer with the feed, its first captions and author hostile."""
    content = feed()
    videos = [
        video | {"caption": caption, "author": caption[:200]}
        for video, caption in zip(content["videos"], HOSTILE, strict=False)
    ]
    route.fulfill(json=content | {"videos": videos})


def hostile_answer(route: Route) -> None:
    """Answer as the service does, with hostile texts in the place of queries and fields."""
    response = route.fetch()
    body: Any = response.json()
    texts = [MARKUP, BIDI, "w" * 256]
    body["queries"] = [{"rank": at, "query": text, "score": -1.0} for at, text in enumerate(texts, start=1)]
    for item, text in zip(body["explain"]["hypotheses"], texts, strict=False):
        item["query"] = text
    body["explain"]["fields"] |= {"caption": MARKUP + LONG, "anchors": texts}
    body["explain"]["evidence"] |= {"text": MARKUP + LONG, "anchors": texts}
    body["explain"]["segments"][0]["text"] = MARKUP + LONG
    route.fulfill(response=response, json=body)


@pytest.mark.parametrize("width", [320, 1440])
def test_hostile_texts_stay_text(demo: str, new_page: NewPage, width: int) -> None:
    page = new_page(width, 700)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.route("**/page/feed.json", hostile_feed)
    page.route("**/recommend", hostile_answer)
    open_feed(page, demo)
    expect(page.locator(QUERIES)).to_have_count(3)
    expect(page.locator(QUERIES).first).to_have_text(MARKUP)
    for at, caption in enumerate(HOSTILE):
        watch(page, at)
        shown = page.locator(".slide.current .caption bdi")
        assert shown.text_content() == caption
        assert shown.evaluate("node => getComputedStyle(node).unicodeBidi") == "isolate"
        assert is_within_the_width(page)
    assert page.locator("main img, main script").count() == 0
    if width < 1000:
        page.get_by_role("button", name="Why this bar?").click()
    assert is_within_the_width(page)
    page.locator("#page-why").evaluate("node => node.scrollTo(0, 4000)")
    assert page.evaluate("window.hacked") is None


# Colours are all that differs between the themes.
@pytest.mark.parametrize(("scheme", "rules"), [("light", ()), ("dark", ("color-contrast",))])
def test_axe_finds_nothing_serious_on_a_wide_screen(
    demo: str, new_page: NewPage, scheme: str, rules: tuple[str, ...]
) -> None:
    page = open_feed(new_page(color_scheme=scheme), demo)
    page.get_by_role("switch", name="Use Summary").click()
    expect(page.locator("[data-field=summary]")).to_contain_text("switched off")
    assert violations(page, *rules) == []
    page.get_by_role("tab", name="Requests").click()
    assert violations(page, *rules) == []


@pytest.mark.parametrize(("scheme", "rules"), [("light", ()), ("dark", ("color-contrast",))])
def test_axe_finds_nothing_serious_on_a_phone(
    demo: str, new_page: NewPage, scheme: str, rules: tuple[str, ...]
) -> None:
    page = open_feed(new_page(390, 844, color_scheme=scheme), demo)
    page.locator(QUERIES).first.click()
    expect(page.locator(".item").first).to_be_visible()
    assert violations(page, *rules) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Why this bar?").click()
    expect(page.locator("#panel.open")).to_be_visible()
    assert violations(page, *rules) == []


def test_the_whole_page_is_reached_by_keyboard(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the feed")).to_be_focused()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.dataset.focus || document.activeElement.id || document.activeElement.className"
            )
        )
    assert {"theme", "language", "viewer", "next", "query-1", "caption", "recent-query", "switch"} <= reached


def test_nothing_moves_where_motion_is_reduced(demo: str, new_page: NewPage) -> None:
    still = open_feed(new_page(), demo)
    assert still.evaluate("document.getAnimations().length") == 0
    moving = open_feed(new_page(reduced_motion="no-preference"), demo)
    playing = "document.getAnimations().filter(one => one.playState === 'running').map(one => one.effect.target)"
    assert moving.evaluate(f"{playing}.every(node => node.closest('.slide.current, .bar'))")
    assert moving.evaluate(f"{playing}.length") > 0


def test_both_languages_have_every_label(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(), demo)
    keys = page.evaluate(
        "async () => { const { WORDS } = await import('/page/js/words.js');"
        " return Object.values(WORDS).map(words => Object.keys(words).sort()); }"
    )
    assert keys[0] == keys[1]
    page.get_by_role("button", name="Switch to Chinese").click()
    expect(page.get_by_role("tab").first).to_have_text("为什么是这些词？")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    page.reload()
    expect(page.get_by_role("tab").first).to_have_text("为什么是这些词？")


def test_a_chosen_theme_is_remembered(demo: str, new_page: NewPage) -> None:
    page = open_feed(new_page(color_scheme="light"), demo)
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(background) != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(background) != light
