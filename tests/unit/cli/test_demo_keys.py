"""The keys of `onebar demo --with-keys`."""

from __future__ import annotations

from cli.demo_keys import make_demo_keys
from service.operating.keys import ApiKeys


def test_the_page_gets_a_key_that_may_explain_and_the_reviewer_one_that_may_only_review() -> None:
    keys = make_demo_keys()
    ring = ApiKeys(keys.path)
    page, reviewer = ring.find(keys.page), ring.find(keys.reviewer)
    assert page is not None
    assert reviewer is not None
    assert "explain" in page.permissions
    assert "review" not in page.permissions
    assert reviewer.permissions == ("review",)
    assert reviewer.name == "reviewer"  # the record of changes names it
