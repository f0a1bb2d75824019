"""The page of a service that has API keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cli.serve_demo import RULES
from service.http.app import create_app
from tests.browser.conftest import demo_settings, serving
from tests.browser.demo_feed import QUERIES, REASON, refuse, watch
from tests.fixtures.serving import with_key

NewPage = Callable[..., Page]

NOT_VALID = "The API key is not valid"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a demo that needs a key, and a key that may explain."""
    folder = tmp_path_factory.mktemp("keyed")
    settings = demo_settings(Path(shutil.copy(RULES, folder)), folder / "events.jsonl")
    chosen, headers = with_key(settings, folder, "explain")
    with serving(create_app(chosen)) as address:
        yield address, headers["authorization"].removeprefix("Bearer ")


# The last two are what a text processor or an input method makes of a key; no header can have such characters.
@pytest.mark.parametrize("wrong", ["ob_other", "ob_other”", "ob_密钥"])
def test_a_wrong_key_is_called_wrong_and_another_is_asked_for(
    keyed: tuple[str, str], new_page: NewPage, wrong: str
) -> None:
    address, key = keyed
    page = new_page()
    page.expected_errors = "401"  # type: ignore[attr-defined]
    page.goto(address)
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    expect(page.get_by_role("alert")).to_have_count(0)
    field.fill(wrong)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(NOT_VALID)
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    field.fill(key)
    page.keyboard.press("Enter")
    expect(page.locator(QUERIES).first).to_be_visible()


def test_where_a_key_is_not_valid_any_more_another_one_can_be_entered(
    keyed: tuple[str, str], new_page: NewPage
) -> None:
    address, key = keyed
    page = new_page()
    page.expected_errors = "401"  # type: ignore[attr-defined]
    page.goto(address)
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.locator(QUERIES).first).to_be_visible()
    page.route("**/recommend", refuse(401))
    watch(page, 20)
    expect(page.locator(REASON)).to_contain_text(NOT_VALID)
    page.unroute("**/recommend")
    page.get_by_role("button", name="Enter another key").click()
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.locator(QUERIES).first).to_be_visible()


def test_a_reviewers_key_that_no_header_can_have_is_called_wrong(keyed: tuple[str, str], new_page: NewPage) -> None:
    address, key = keyed
    page = new_page()
    page.expected_errors = "401"  # type: ignore[attr-defined]
    page.goto(f"{address}/#review")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.get_by_label("Reviewer's key").fill("ob_密钥")
    page.locator("#page-review").get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_have_text(NOT_VALID)
