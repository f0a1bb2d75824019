"""Access: API keys and their permissions, and services without keys."""

from __future__ import annotations

import grp
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from cli.main import main
from service.errors import ConfigurationError
from service.http.access import Access, is_loopback
from service.operating.keys import ApiKeys, KeyFileError, create_key, read_keys, revoke_key
from tests.fixtures.serving import running, scripted_app, settings_for, spoken, with_key

USER = {"user_id": "u1", "queries": ["travel camera lens", "secret illness"]}
ASK = {"photo_id": "p1", "user_id": "u1", "evidence": {"caption": "travel camera"}}


@pytest.fixture
def settings(bundle_path, tmp_path):
    users = tmp_path / "users.jsonl"
    users.write_text(json.dumps(USER) + "\n")
    store = {"url": "memory://", "evidence": (users,), "timeout_ms": 2000, "share": 1}
    return settings_for(bundle_path, explain_without_key=False, store=store)


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["keys", *arguments])
    return result.exit_code, result.output


async def test_a_request_without_a_valid_key_is_refused_before_its_body_is_read(settings, tmp_path):
    keyed, headers = with_key(settings, tmp_path)
    app, engine = scripted_app(keyed)
    token = headers["authorization"]
    wrong = ["", "Basic dTpw", "Bearer", "Bearer nonsense", token[:-1], token + "x", token.replace("ob_", "OB_")]
    async with running(app) as client:
        seen = len(engine.seen)
        for value in wrong:
            given = {"authorization": value} if value else {}
            for path in ("/recommend", "/recommend/batch"):
                refused = await client.post(path, content=b"not even JSON", headers=given)
                assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized"), value
                assert refused.headers["www-authenticate"] == "Bearer"
                assert "authorization: Bearer KEY" in refused.json()["message"]
        assert len(engine.seen) == seen
        assert (await client.post("/recommend", json=ASK, headers=headers)).status_code == 200
        assert (await client.get("/healthz")).status_code == 200


async def test_only_a_key_with_the_explain_permission_reads_the_queries_of_a_viewer(settings, tmp_path):
    keyed, feed = with_key(settings, tmp_path)
    _, reviewer = with_key(settings, tmp_path, "explain")
    app, engine = scripted_app(keyed)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    body = ASK | {"explain": True}
    async with running(app) as client:
        refused = await client.post("/recommend", json=body, headers=feed)
        assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
        assert "secret illness" not in refused.text
        page = await client.post("/recommend/batch", json={"requests": [body, ASK]}, headers=feed)
        assert [item["status"] for item in page.json()["results"]] == [403, 200]
        explained = (await client.post("/recommend", json=body, headers=reviewer)).json()
        assert "travel camera lens" in explained["explain"]["evidence"]["personal"]


async def test_explain_is_forbidden_without_keys_outside_the_demo(settings):
    app, _ = scripted_app(settings)
    async with running(app) as client:
        assert (await client.post("/recommend", json=ASK | {"explain": True})).status_code == 403
        assert (await client.post("/recommend", json=ASK)).status_code == 200


async def test_explain_needs_a_key_where_other_machines_call(settings):
    public = settings.model_copy(update={"host": "0.0.0.0", "insecure": True, "explain_without_key": True})
    app, _ = scripted_app(public)
    async with running(app) as client:
        assert (await client.post("/recommend", json=ASK | {"explain": True})).status_code == 403
        assert (await client.post("/recommend", json=ASK)).status_code == 200


async def test_without_keys_explain_is_for_requests_to_this_machine_by_its_name(settings):
    """A site whose name was made to point to 127.0.0.1 must not read what a viewer has searched for."""
    app, _ = scripted_app(settings.model_copy(update={"explain_without_key": True}))
    async with running(app) as client:
        for host, status in (("evil.example:8000", 403), ("localhost:8000", 200), ("[::1]:8000", 200)):
            answer = await client.post("/recommend", json=ASK | {"explain": True}, headers={"host": host})
            assert answer.status_code == status, host


async def test_keys_are_rotated_without_a_restart(settings, tmp_path):
    keyed, old = with_key(settings, tmp_path)
    app, _ = scripted_app(keyed)
    async with running(app) as client:
        _, new = with_key(settings, tmp_path)
        revoke_key(keyed.keys, read_keys(keyed.keys)[0].id)
        app.state.access.reload()
        assert (await client.post("/recommend", json=ASK, headers=old)).status_code == 401
        assert (await client.post("/recommend", json=ASK, headers=new)).status_code == 200


def test_a_key_file_that_becomes_readable_again_is_read(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    key, token = create_key(path, "old")
    keys = ApiKeys(path)
    revoke_key(path, key.id)
    with monkeypatch.context() as patched:  # as `chmod` refuses it to a user that is not root
        patched.setattr("service.operating.keys.read_keys", refused)
        with pytest.raises(KeyFileError):
            keys.reload_if_changed()
    path.chmod(0o640)
    assert keys.reload_if_changed()
    assert keys.find(token) is None


def refused(path):
    raise KeyFileError(f"The key file {path} cannot be read (Permission denied).")


@pytest.mark.parametrize("content", ["{", "[" * 100_000], ids=["cut off", "nested deeply"])
async def test_the_previous_keys_stay_valid_if_the_key_file_becomes_invalid(settings, tmp_path, caplog, content):
    keyed, headers = with_key(settings, tmp_path)
    app, _ = scripted_app(keyed)
    async with running(app) as client:
        keyed.keys.write_text(content)
        app.state.access.reload()
        assert (await client.post("/recommend", json=ASK, headers=headers)).status_code == 200
    assert "the changed key file is not used" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "onebar.internal", ""])
def test_a_public_address_needs_keys_or_the_insecure_option(settings, tmp_path, host):
    public = settings.model_copy(update={"host": host})
    with pytest.raises(ConfigurationError, match=r"onebar keys create keys\.json NAME.*--insecure"):
        Access(public)
    Access(public.model_copy(update={"insecure": True}))
    Access(with_key(public, tmp_path)[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_loopback_address_needs_no_keys(host):
    assert is_loopback(host)


def test_a_secret_is_stored_as_a_hash_in_a_file_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "keys.json"
    key, token = create_key(path, "feed", ("explain",))
    assert token.split("_", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert ApiKeys(path).find(token) == key


def test_a_changed_file_keeps_its_mode_and_group(tmp_path):
    path = tmp_path / "keys.json"
    create_key(path, "feed")
    path.chmod(0o640)
    group = next((entry.gr_gid for entry in grp.getgrall() if entry.gr_gid != path.stat().st_gid), None)
    if os.geteuid() == 0 and group is not None:
        os.chown(path, -1, group)
    expected = (path.stat().st_gid, path.stat().st_mode)
    key, _ = create_key(path, "reviewer")
    revoke_key(path, key.id)
    assert (path.stat().st_gid, path.stat().st_mode) == expected


def test_changes_at_the_same_time_lose_no_key(tmp_path):
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = [key.id for key, _ in pool.map(lambda number: create_key(path, f"n{number}"), range(24))]
        withdrawn = {key.id for key in pool.map(lambda key_id: revoke_key(path, key_id), made[:12])}
    assert withdrawn == set(made[:12])
    assert {key.id for key in read_keys(path)} == set(made[12:])


def test_a_key_without_a_name_is_refused(tmp_path):
    status, printed = command("create", str(tmp_path / "keys.json"), " ")
    assert (status, "name the caller" in printed) == (2, True)


def test_an_expired_key_is_not_valid(tmp_path):
    path = tmp_path / "keys.json"
    _, over = create_key(path, "old", valid_seconds=-1)
    key, good = create_key(path, "new", valid_seconds=3600)
    ring = ApiKeys(path)
    assert (ring.find(over), ring.find(good)) == (None, key)
    assert key.expires_at > time.time()


def test_the_command_creates_lists_and_revokes_keys(tmp_path):
    path = str(tmp_path / "keys.json")
    status, printed = command("create", path, "feed", "--may", "explain", "--days", "30")
    assert status == 0
    token = printed.strip().splitlines()[-1]
    key = ApiKeys(tmp_path / "keys.json").find(token)
    assert key is not None
    assert command("create", path, "feed", "--if-empty") == (0, f"{path} already has a key; nothing was changed.\n")
    status, listed = command("list", path)
    assert listed.startswith(f"{key.id}  feed")
    assert listed.endswith("may recommend, explain\n")
    assert token not in listed
    assert command("revoke", path, key.id)[0] == 0
    assert command("list", path) == (0, "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "onebar keys create"),
        ("{", "does not have the form"),
        ("[]", "does not have the form"),
        ("[" * 100_000, "does not have the form"),
        ('{"keys": [{"id": "x"}]}', "does not have the form"),
        ('{"keys": [{"id": "0123456789ab", "name": "n", "secret_sha256": 5, "permissions": [], "created_at": 1}]}',
         "does not have the form"),
    ],
)  # fmt: skip
def test_an_unusable_key_file_is_reported_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    status, printed = command("list", str(path))
    assert status == 1
    assert printed.startswith("Error: The key file")
    assert said in printed
    assert "Traceback" not in printed


def test_revoking_an_unknown_key_is_an_error(tmp_path):
    path = tmp_path / "keys.json"
    create_key(path, "feed")
    status, printed = command("revoke", str(path), "000000000000")
    assert (status, "has no key 000000000000" in printed) == (1, True)
