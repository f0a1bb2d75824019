"""Redis URLs: no part of a secret is ever shown, and what cannot be meant is refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import redis.exceptions
from hypothesis import given
from hypothesis import strategies as st

from feature_store.errors import StoreUrlError
from feature_store.redaction import redact
from feature_store.redis_urls import explain, parse_redis_url

SECRET = "hunter2correct"
SCHEMES = ["redis", "rediss", "redis+cluster", "rediss+cluster", "unix", "http", "foo"]

secrets = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(lambda text: f"{text}{SECRET}{text}")
punctuation = st.text("/@:%#?&=[]!$ *é密", max_size=6).map(lambda text: f"{text}{SECRET}{text}")


@pytest.mark.parametrize("scheme", SCHEMES)
@given(secret=secrets | punctuation, is_quoted=st.booleans())
def test_a_password_is_never_shown(scheme: str, secret: str, is_quoted: bool) -> None:
    password = quote(secret, safe="") if is_quoted else secret
    for url in (
        f"{scheme}://:{password}@host:6379/0",
        f"{scheme}://user:{password}@host:6379/0?ssl_ca_certs=/a.pem",
        f"{scheme}://{password}@host",
        f"{scheme}://host:6379/0?password={password}",
        f"{scheme}://host:6379/0?db=1&token={password}&ssl_cert_reqs=none",
        f"{scheme}://host/0?ssl_password={password}",
        f"{scheme}://host/0?{password}",
        f"{scheme}://host/0#{password}",
        f"{scheme}://:{password}",
    ):
        assert SECRET not in redact(url), url


@given(secret=secrets | punctuation | st.just(f"1/{SECRET}"))
def test_a_password_without_a_host_is_not_shown(secret: str) -> None:
    assert SECRET not in redact(f"redis://user:{secret}:6379/0")


@given(secret=secrets | punctuation)
def test_a_url_that_is_refused_does_not_show_its_password_either(secret: str) -> None:
    for url in (f"redis://:{secret}@host:6379/0", f"redis://u:{secret}@host", f"redis://h/0?password={secret}"):
        assert SECRET not in said_of(url)


def said_of(url: str) -> str:
    """Return how a URL is shown, or everything that a traceback of its refusal would print."""
    try:
        return parse_redis_url(url).shown
    except StoreUrlError as error:
        context = None if error.__suppress_context__ else error.__context__
        return f"{error} {context}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:pw@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://alice:pw@host:6379/0", "redis://alice:***@host:6379/0"),
        ("redis://token@host", "redis://***@host"),
        ("redis://alice:p%2Fw@[::1]:6379", "redis://alice:***@[::1]:6379"),
        ("redis://:pa/ss@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:p@ss@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://:pa?ss@host:6379/0", "redis://***"),
        ("redis://:pa#ss@host:6379/0", "redis://***"),
        ("rediss://h/0?ssl_ca_certs=/c.pem&ssl_cert_reqs=none", "rediss://h/0?ssl_ca_certs=/c.pem&ssl_cert_reqs=none"),
        ("rediss://h/0?db=2&ssl_password=x&y=z", "rediss://h/0?db=2&ssl_password=***"),
        ("redis://h/0?word&db=2", "redis://h/0?***"),
        ("redis://host/0?x", "redis://host/0?***"),
        ("redis://host/0#x", "redis://host/0#***"),
        ("redis://:word", "redis://***"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("unix://:pw@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("sqlite:///data/evidence.db", "sqlite:///data/evidence.db"),
        ("memory://", "memory://"),
        ("https://u:p@example.org/a?q=1", "https://u:***@example.org/a?q=***"),
        ("no url at all", "***"),
    ],
)
def test_what_is_shown_says_where_and_not_with_what(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url", ["redis://:pa/ss@h:6379/0", "redis://:pa?s@h", "redis://u:12/3@h", "redis://u:1?db=2@h"]
)
def test_a_password_that_is_not_escaped_is_named_as_the_reason(url: str) -> None:
    with pytest.raises(StoreUrlError, match=r"percent-encode .*%2F"):
        parse_redis_url(url)


@pytest.mark.parametrize(
    "password", ["a/b", "a@b", "a:b", "a%b", "a#b", "a?b", "密码", "é", " ", "%2F", "a&b=c", "[", "]"], ids=repr
)
def test_an_escaped_password_reaches_the_client_whole(password: str) -> None:
    from redis.asyncio.connection import parse_url

    url = parse_redis_url(f"redis://alice:{quote(password, safe='')}@host:6379/2")
    assert parse_url(url.url)["password"] == password
    assert url.shown == "redis://alice:***@host:6379/2"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://host:notaport/0", "port"),
        ("redis://host:99999/0", "port"),
        ("redis://host/zero", "database"),
        ("redis://host/0?socket_timeout=5", "unknown option socket_timeout"),
        ("rediss://host?ssl_cert_reqs=never", "ssl_cert_reqs"),
        ("rediss://host?ssl_check_hostname=perhaps", "ssl_check_hostname"),
        ("redis://host?ssl_cert_reqs=none", "rediss://"),
        ("redis+cluster://host/3", "only database 0"),
        ("unix://", "names no socket"),
        ("redis://", "names no host"),
        ("http://host", "is no Redis URL"),
        ("redis://ho\x00st/0", "is no Redis URL"),
        ("redis://[::1", "is no Redis URL"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, reason: str) -> None:
    with pytest.raises(StoreUrlError, match=reason):
        parse_redis_url(url)


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUrlError, match="which is not there"):
        parse_redis_url(f"rediss://host?ssl_ca_certs={tmp_path}/none.pem")


@pytest.mark.parametrize(
    ("query", "warned"),
    [
        ("", ()),
        ("?ssl_cert_reqs=required", ()),
        ("?ssl_cert_reqs=none", ("ssl_cert_reqs=none",)),
        ("?ssl_cert_reqs=optional", ("ssl_cert_reqs=optional",)),
        ("?ssl_cert_reqs=CERT_NONE", ("ssl_cert_reqs=CERT_NONE",)),
        ("?ssl_check_hostname=false", ("ssl_check_hostname=false",)),
    ],
)
@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
def test_tls_without_verification_is_warned_of(scheme: str, query: str, warned: tuple[str, ...]) -> None:
    warnings = parse_redis_url(f"{scheme}://:{SECRET}@host{query}").warnings
    assert len(warnings) == len(warned)
    for warning, option in zip(warnings, warned, strict=True):
        assert option in warning
        assert SECRET not in warning


def test_an_error_of_the_server_does_not_repeat_what_it_was_sent() -> None:
    error = redis.exceptions.ResponseError(f"unknown command 'AUTH', with args beginning with: '{SECRET}' ")
    assert SECRET not in explain(error, "redis://host")
