"""Redis with TLS and a password: it works, and what is wrong is said in words without the password."""

from __future__ import annotations

import asyncio

import pytest
from click.testing import CliRunner

from cli.main import main
from feature_store import StoreSettings, StoreUnavailable, StoreUrlError, open_store
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write
from tests.integration.redis_servers import RedisServer

PATIENT = StoreSettings(timeout_seconds=5, socket_timeout_seconds=5, connect_timeout_seconds=5)
MENDS = {
    "no password": "wants one",
    "wrong password": "refuses the password",
    "unknown authority": "name its authority in the URL",
    "no TLS": "correct the URL",
}


async def test_it_loads_and_answers(secure_redis_server: RedisServer) -> None:
    writer = open_writer(secure_redis_server.url)
    writer.write([photo_write({"photo_id": "p", "summary": "s"}, RowOptions(0))])
    writer.close()
    store = await open_store(secure_redis_server.url, PATIENT)
    found = await store.fetch("p", "u", want_shown=True)
    assert found.photo is not None
    assert found.degraded == ()
    assert await store.ping() > 0
    assert "s3cret" not in store.url
    assert ":***@127.0.0.1" in store.url
    await store.close()


@pytest.mark.parametrize("mistake", MENDS)
async def test_a_wrong_url_degrades_the_service_and_is_explained(
    secure_redis_server: RedisServer, mistake: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = secure_redis_server.wrong_urls[mistake]
    store = await open_store(url, PATIENT)
    found = await store.fetch("p", "u", want_shown=True)
    assert found.degraded == ("feature_store_down",)
    with pytest.raises(StoreUnavailable, match=MENDS[mistake]) as caught:
        await store.ping()
    await store.close()
    with pytest.raises(StoreUnavailable, match=MENDS[mistake]):
        open_writer(url)
    for words in (str(caught.value), caplog.text, store.url):
        assert "not-it" not in words
        assert "s3cret" not in words


async def test_tls_without_verification_works_and_is_warned_of(
    secure_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{secure_redis_server.wrong_urls['unknown authority']}?ssl_cert_reqs=none"
    store = await open_store(url, PATIENT)
    assert (await store.fetch("p")).degraded == ()
    await store.close()
    assert "does not verify the server's certificate (ssl_cert_reqs=none)" in caplog.text
    assert "s3cret" not in caplog.text
    doctor = await asyncio.to_thread(CliRunner().invoke, main, ["doctor", "--store", url])
    assert "WARNING: rediss://:***@127.0.0.1" in doctor.output
    assert "s3cret" not in doctor.output


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("rediss://h?ssl_ca_certs=none.pem", "ssl_ca_certs=none.pem, which is not there"),
        ("redis://h?socket_timeout=9", "unknown option socket_timeout"),
        ("redis://h:notaport", "has a port that is not a number"),
        ("redis+cluster://h/3", "only database 0"),
        ("unix://", "names no socket"),
    ],
)
async def test_urls_that_cannot_work_are_refused_at_once(url: str, reason: str) -> None:
    with pytest.raises(StoreUrlError, match=reason):
        await open_store(url)


async def test_passwords_never_show(tmp_path_factory: pytest.TempPathFactory) -> None:
    for url in ("redis://user:hunter2@h:1?bad=1", "rediss://:hunter2@h/0?ssl_password=hunter2&ssl_keyfile=none"):
        with pytest.raises(StoreUrlError) as caught:
            await open_store(url)
        assert "hunter2" not in str(caught.value)
