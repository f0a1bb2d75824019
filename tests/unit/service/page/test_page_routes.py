"""The page's routes: off by default, its headers, its files, and what needs a key."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.http.app import create_app
from service.page.files import StaticFile, read_feed, read_static
from service.page.headers import CONTENT_SECURITY_POLICY, SECURITY
from service.settings import PageSettings, ReviewSettings, Settings
from tests.fixtures.serving import running, scripted_app, settings_for, with_key

STATIC = Path(__file__).parents[4] / "service" / "page" / "static"


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "feed.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"videos": [], "viewers": []}).encode()))
    return path


@pytest.fixture
def settings(bundle_path: Path, feed: Path) -> Settings:
    return settings_for(bundle_path, page={"enabled": True, "feed": feed})


async def test_the_page_is_off_by_default_and_the_root_names_the_api(bundle_path: Path) -> None:
    app, _ = scripted_app(settings_for(bundle_path))
    async with running(app) as client:
        answer = await client.get("/")
        assert answer.status_code == 404
        assert answer.json()["error"] == "not_found"
        for name in ("POST /recommend", "docs/http_api.md", "ONEBAR_PAGE__ENABLED"):
            assert name in answer.json()["message"]
        assert (await client.get("/page/js/main.js")).status_code == 404
        assert (await client.get("/page/deployment.json")).status_code == 404
    assert not PageSettings().enabled


async def test_every_response_of_the_page_has_the_strict_headers(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        for path in ("/", "/page/js/main.js", "/page/css/base.css", "/page/deployment.json", "/page/feed.json"):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


async def test_a_file_that_the_browser_has_is_not_sent_again(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        first = await client.get("/page/js/main.js")
        again = await client.get("/page/js/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/page/", "/page/index.htm", "/page/../files.py", "/page/%2e%2e/files.py", "/page//etc"]
)
async def test_only_the_files_of_the_page_are_sent(settings: Settings, path: str) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        assert (await client.get(path)).status_code == 404


async def test_the_deployment_says_what_the_caller_may_and_what_there_is(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        told = (await client.get("/page/deployment.json")).json()
    assert (told["feed"], told["explain"], told["feedback"], told["docs"]) == (True, True, False, False)
    assert told["segments"] == ["text", "summary", "anchors", "histories", "personal"]


@pytest.mark.parametrize(
    ("sink", "without_key", "told"), [("jsonl", True, True), ("jsonl", False, False), ("none", True, False)]
)
async def test_clicks_are_sent_only_where_feedback_is_taken(
    bundle_path: Path, tmp_path: Path, sink: str, without_key: bool, told: bool
) -> None:
    app, _ = scripted_app(settings_for(
        bundle_path, page={"enabled": True}, events={"sink": sink, "path": str(tmp_path / "events.jsonl")},
        feedback={"without_key": without_key},
    ))  # fmt: skip
    async with running(app) as client:
        assert (await client.get("/page/deployment.json")).json()["feedback"] is told


async def test_without_a_feed_there_is_none(bundle_path: Path) -> None:
    app, _ = scripted_app(settings_for(bundle_path, page={"enabled": True}))
    async with running(app) as client:
        assert (await client.get("/page/deployment.json")).json()["feed"] is False
        assert (await client.get("/page/feed.json")).status_code == 404


async def test_where_the_service_has_keys_only_the_files_are_public(settings: Settings, tmp_path: Path) -> None:
    keyed, headers = with_key(settings, tmp_path)
    app, _ = scripted_app(keyed)
    async with running(app) as client:
        assert (await client.get("/")).status_code == 200
        for path in ("/page/deployment.json", "/page/feed.json"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers=headers)).status_code == 200
        assert (await client.get("/page/deployment.json", headers=headers)).json()["explain"] is False


@pytest.mark.parametrize(
    ("review", "with_keys", "expected"),
    [
        ({"public": False, "without_key": True}, False, None),
        ({"public": True, "without_key": True}, False, "open"),
        ({"public": True}, False, None),  # no key could be accepted
        ({"public": True}, True, "key"),
    ],
)
async def test_the_reviewers_view_is_offered_where_the_page_can_reach_the_api(
    settings: Settings, tmp_path: Path, review: dict[str, bool], with_keys: bool, expected: str | None
) -> None:
    chosen = settings.model_copy(update={"review": ReviewSettings(**review)})
    chosen, headers = with_key(chosen, tmp_path) if with_keys else (chosen, {})
    app, _ = scripted_app(chosen)
    async with running(app) as client:
        assert (await client.get("/page/deployment.json", headers=headers)).json()["review"] == expected


@pytest.mark.parametrize("content", [b"", b"[1]", b"no json", gzip.compress(b"{}")[:-3], None])
def test_a_feed_that_cannot_be_used_ends_the_start_with_one_sentence(
    bundle_path: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "feed.json.gz"
    if content is not None:
        path.write_bytes(content if content[:2] == b"\x1f\x8b" else gzip.compress(content))
    with pytest.raises(ConfigurationError, match=r"ONEBAR_PAGE__FEED: .*feed\.json\.gz cannot be used"):
        scripted_app(settings_for(bundle_path, page={"enabled": True, "feed": path}))


def test_a_feed_may_be_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    path.write_text('{"videos": []}')
    assert read_feed(path).content == b'{"videos": []}'


def test_the_page_asks_only_for_files_that_are_there_and_names_no_other_host() -> None:
    sent = read_static()
    assert {str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file()} == set(sent)
    for name, file in sent.items():
        text = file.content.decode()
        hosts = set(re.findall(r"https?://[^\s\"'`]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not hosts, name
        folder = Path(name).parent
        for target in re.findall(r'(?:from |import |import\()"(\.[^"]+)"', text):
            assert (STATIC / folder / target).resolve().is_file(), f"{name} imports {target}"
        loaded = [
            f"css/{style}.css"
            for call in re.findall(r"loadStyles\(([^)]*)\)", text)
            for style in re.findall(r'"(\w+)"', call)
        ]
        for target in re.findall(r'(?:href|src)="page/([^"]+)"', text) + loaded:
            assert target in sent or target.endswith(".json"), f"{name} loads {target}"
        assert len(text.splitlines()) <= 300, name


def needed_by(sent: dict[str, StaticFile], *names: str) -> set[str]:
    """Return modules and all that they import, without what is loaded later by `import()`."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            targets = re.findall(r'^import .*from "(\.[^"]+)"', sent[name].content.decode(), re.MULTILINE)
            waiting += [str((STATIC / Path(name).parent / target).resolve().relative_to(STATIC)) for target in targets]
    return found


def test_all_that_the_first_bar_needs_is_asked_for_at_once_and_nothing_else() -> None:
    sent = read_static()
    preloaded = re.findall(r'rel="modulepreload" href="page/([^"]+)"', sent["index.html"].content.decode())
    assert sorted([*preloaded, "js/main.js"]) == sorted(needed_by(sent, "js/main.js", "js/view.js"))


def test_the_data_are_asked_for_before_any_module_of_the_view_is_here() -> None:
    sent = read_static()
    assert needed_by(sent, "js/main.js") == {"js/main.js", "js/answers.js", "js/api.js", "js/store.js"}


@pytest.mark.parametrize(
    ("has_keys", "has_feed", "expected"),
    [
        (False, True, {"page/deployment.json", "page/feed.json"}),
        (False, False, {"page/deployment.json"}),
        (True, True, set()),
    ],
)
async def test_only_data_that_the_browser_gets_without_a_key_are_preloaded(
    bundle_path: Path, feed: Path, tmp_path: Path, has_keys: bool, has_feed: bool, expected: set[str]
) -> None:
    settings = settings_for(bundle_path, page={"enabled": True, "feed": feed if has_feed else None})
    app, _ = scripted_app(with_key(settings, tmp_path)[0] if has_keys else settings)
    async with running(app) as client:
        index = (await client.get("/")).text
    assert set(re.findall(r'rel="preload" as="fetch" href="([^"]+)" crossorigin', index)) == expected


def test_no_script_of_the_page_parses_markup() -> None:
    for name, file in read_static().items():
        text = file.content.decode()
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text
        )
        assert found == [], name
        assert not re.search(r"\sstyle=|\son\w+=\"", text) or name.endswith(".js"), name


async def test_the_page_changes_nothing_in_the_api(bundle_path: Path, settings: Settings) -> None:
    documents = [scripted_app(chosen)[0].openapi() for chosen in (settings_for(bundle_path), settings)]
    assert documents[0] == documents[1]
    assert [layer.cls for layer in create_app(settings).user_middleware] == [
        layer.cls for layer in create_app(settings_for(bundle_path)).user_middleware
    ]
