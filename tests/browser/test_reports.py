"""The reports of the demo: tables and plots, and texts that stay texts."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from cli.serve_demo import REPORTS
from tests.browser.accessibility import violations
from tests.browser.demo_feed import is_within_the_width

NewPage = Callable[..., Page]

MARKUP = "<img src=x onerror='window.hacked=1'>\u202e"


def test_the_reports_are_shown_with_what_made_them(demo: str, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{demo}/#reports")
    expect(page.locator(".report")).to_have_count(1 + len(list(REPORTS.glob("*.json"))))
    expect(page.locator(".report h2").first).to_have_text("Evaluation of the served bundle")
    expect(page.locator(".report-bar.paper").first).to_be_visible()
    load_test = page.locator(".report").filter(has_text="Load on the whole service")
    load_test.locator("summary").click()
    expect(load_test.locator("code")).to_have_text("make loadtest")
    expect(load_test.get_by_role("row", name="1 10.1")).to_be_visible()
    assert violations(page, within="#page-reports") == []


def test_hostile_reports_stay_text_on_a_narrow_screen(demo: str, new_page: NewPage) -> None:
    bar = {"label": MARKUP, "value": 1.5, "low": 1.0, "high": 2.0, "paper": True}
    table = {"title": MARKUP, "columns": ["", MARKUP], "rows": [[MARKUP, MARKUP], ["w" * 300, None]]}
    plot = {"title": MARKUP, "unit": MARKUP, "bars": [bar]}
    report = {"title": MARKUP, "command": MARKUP, "made": MARKUP, "note": MARKUP, "tables": [table], "plots": [plot]}
    page = new_page(320, 700, color_scheme="dark")
    page.route(
        "**/page/reports.json",
        lambda route: route.fulfill(json={"reports": [report], "skipped": [{"name": MARKUP, "because": MARKUP}]}),
    )
    page.goto(f"{demo}/#reports")
    expect(page.locator(".report h2")).to_have_text(MARKUP)
    expect(page.locator(".report-table td").first).to_have_text(MARKUP)
    expect(page.locator(".report-bar title")).to_have_text(MARKUP)
    expect(page.get_by_text("Files that are not shown")).to_be_visible()
    assert page.locator("#page-reports img").count() == 0
    assert page.evaluate("window.hacked") is None
    assert is_within_the_width(page)
    assert violations(page, "color-contrast", "scrollable-region-focusable", within="#page-reports") == []
