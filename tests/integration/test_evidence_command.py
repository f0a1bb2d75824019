"""`onebar evidence` on a real Redis and on a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from feature_store.keys import photo_key
from tests.integration.redis_servers import RedisServer

GOOD = [{"photo_id": f"p{n}", "caption": f"红色跑鞋 {n}", "histories": ["running shoes"]} for n in range(5)]
BAD = [{"photo_id": ""}, {"photo_id": "x", "caption": 5}]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evidence", *(str(argument) for argument in arguments)])


@pytest.fixture(params=["redis", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return f"sqlite:///{tmp_path}/evidence.db"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in GOOD + BAD))
    return path


def test_show_prints_loaded_evidence(url: str, mixed: Path) -> None:
    users = mixed.with_name("users.jsonl")
    users.write_text(json.dumps({"user_id": "u", "queries": ["new", "old"]}))
    loaded = run("load", mixed, "--store", url)
    assert loaded.exit_code == 0
    assert "5 of 7 photos written" in loaded.stdout
    assert "2 bad rows are in" in loaded.stderr
    assert "caption is not a string" in loaded.stderr
    assert len(mixed.with_name("mixed.jsonl.errors.jsonl").read_text().splitlines()) == 2
    assert "1 of 1 users written" in run("load", users, "--store", url, "--raw-user-ids").stdout
    shown = run("show", "p3", "--user", "u", "--store", url, "--raw-user-ids")
    assert shown.exit_code == 0
    answer = json.loads(shown.stdout)
    assert answer["photo"]["caption"] == "红色跑鞋 3"
    assert answer["photo"]["histories"] == ["running shoes"]
    assert answer["user"]["queries"] == ["new", "old"]
    assert answer["shown"] == answer["degraded"] == []


def test_show_prints_null_and_fails_for_a_missing_record(url: str, mixed: Path) -> None:
    run("load", mixed, "--store", url)
    shown = run("show", "other", "--store", url)
    assert shown.exit_code == 1
    assert json.loads(shown.stdout) == {"photo": None, "degraded": []}


def test_the_ttl_of_loaded_records_can_be_chosen(redis_server: RedisServer, mixed: Path) -> None:
    run("load", mixed, "--store", redis_server.url, "--ttl-days", 2)
    with redis_server.client() as client:
        assert 0 < client.ttl(photo_key("p1")) <= 2 * 86_400
        run("load", mixed, "--store", redis_server.url, "--ttl-days", 0)
        assert client.ttl(photo_key("p1")) == -1


def test_load_fails_if_all_rows_are_bad_and_with_strict_if_one_is(url: str, mixed: Path) -> None:
    assert run("load", mixed, "--store", url, "--strict").exit_code == 1
    mixed.write_text("".join(json.dumps(row) + "\n" for row in BAD))
    assert run("load", mixed, "--store", url).exit_code == 1


def test_check_does_not_write_to_the_store(mixed: Path, redis_server: RedisServer) -> None:
    checked = run("check", mixed)
    assert checked.exit_code == 0
    assert "5 of 7 photos good" in checked.stdout
    assert run("check", mixed, "--strict").exit_code == 1
    with redis_server.client() as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [("x.csv", "photo_id,caption\np,c\n", "neither Parquet nor JSON Lines"), ("x.jsonl", "", "is empty")],
)
def test_an_invalid_file_is_reported_in_one_sentence(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    store = f"sqlite:///{tmp_path}/evidence.db"
    for arguments in (["load", path, "--store", store], ["check", path]):
        answer = run(*arguments)
        assert answer.exit_code == 1
        assert sentence in answer.stderr
        assert "Traceback" not in answer.output
    assert not (tmp_path / "evidence.db").exists()


def test_an_invalid_or_unreachable_store_is_reported_in_one_sentence(
    mixed: Path, stopped_redis_server: RedisServer
) -> None:
    for url, sentence in {
        stopped_redis_server.url: "start it, or correct the URL",
        "http://x": "http:// is not known",
        "memory://": "is gone with this command",
    }.items():
        answer = run("load", mixed, "--store", url)
        assert answer.exit_code == 1
        assert sentence in answer.stderr
    answer = run("show", "p", "--store", stopped_redis_server.url)
    assert (answer.exit_code, "start it" in answer.stderr) == (1, True)


def test_publish_counts_writes_and_restores(url: str, mixed: Path) -> None:
    dry = run("publish", mixed, "--store", url, "--dry-run")
    assert "photos: 5 new, 0 changed, 0 unchanged, 0 removed (dry run: nothing was written)" in dry.stdout
    assert run("show", "p1", "--store", url).exit_code == 1
    first = run("publish", mixed, "--store", url)
    assert (first.exit_code, "2 bad rows are in" in first.stderr) == (0, True)
    assert "5 records read back: all are as published" in first.stdout
    mixed.write_text("".join(json.dumps(row | {"caption": "new"}) + "\n" for row in GOOD[1:]))
    assert "0 new, 4 changed, 0 unchanged, 1 removed" in run("publish", mixed, "--store", url).stdout
    assert run("show", "p0", "--store", url).exit_code == 1
    restored = run("restore", "--store", url)
    assert "4 changed and 1 removed videos are as they were, 0 new ones are gone" in restored.stdout
    assert json.loads(run("show", "p0", "--store", url).stdout)["photo"]["caption"] == "红色跑鞋 0"
    again = run("restore", "--store", url)
    assert (again.exit_code, "no publication that could be undone" in again.stderr) == (1, True)


def test_a_build_folder_is_published_without_its_other_files(url: str, tmp_path: Path) -> None:
    (tmp_path / "evidence.jsonl").write_text(json.dumps(GOOD[0]))
    (tmp_path / "users.jsonl").write_text(json.dumps({"user_id": "u", "queries": ["q"]}))
    (tmp_path / "examples.jsonl").write_text(json.dumps({"photo_id": "p", "user_id": "u", "target": "q"}))
    assert "photos: 1 new" in run("publish", tmp_path, "--store", url, "--kind", "photos").stdout
    both = run("publish", tmp_path, "--store", url, "--raw-user-ids").stdout
    assert "photos: 0 new, 0 changed, 1 unchanged, 0 removed" in both
    assert "users: 1 new" in both


def test_a_dry_run_and_a_restoration_do_not_make_a_store(mixed: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/none.db"
    assert run("publish", mixed, "--store", store, "--dry-run").exit_code == 0
    assert run("restore", "--store", store).exit_code == 1
    assert not (tmp_path / "none.db").exists()


def test_a_change_of_the_embedder_is_announced(url: str, mixed: Path) -> None:
    for version in ("m1", "m2"):
        row = GOOD[0] | {"embedding": "ADwAPA==", "embedding_version": version}
        mixed.write_text(json.dumps(row))
        published = run("publish", mixed, "--store", url)
        assert f"embeddings by version of the embedder: {version} (1)" in published.stdout
    assert "the embedder has changed from m1 to m2" in published.stderr


@pytest.mark.parametrize("command", ["publish", "restore", "load", "check", "show"])
def test_help_has_an_example(command: str) -> None:
    assert f"onebar evidence {command}" in run(command, "--help").stdout


def test_the_store_variable_of_the_service_applies_to_this_command(
    redis_server: RedisServer, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEBAR_STORE__URL", redis_server.url)
    assert run("load", mixed).exit_code == 0
    assert json.loads(run("show", "p1").stdout)["photo"]["caption"] == "红色跑鞋 1"
