"""/docs in a real browser that can reach only the service."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect


def test_the_page_renders_without_a_network(demo: str, new_page: Callable[..., Page]) -> None:
    page = new_page()
    page.goto(f"{demo}/docs")
    expect(page.locator('.opblock-summary-path[data-path="/recommend"]')).to_be_visible()
    expect(page.get_by_text("Generate search queries for one video")).to_be_visible()
    expect(page.get_by_text("Failed to load")).to_have_count(0)
