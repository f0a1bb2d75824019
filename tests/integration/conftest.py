"""Real Redis servers for the tests: single, with TLS and a password, and a cluster of three masters."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.redis_servers import RedisClusterOfThree, RedisServer, tls_options


def _require(program: str) -> None:
    if shutil.which(program) is None:
        pytest.fail(f"{program} is not installed; `make test` installs it")


@pytest.fixture
def stopped_redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that is not running yet."""
    _require("redis-server")
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def redis_server(stopped_redis_server: RedisServer) -> RedisServer:
    """A running Redis, for one test."""
    stopped_redis_server.start()
    return stopped_redis_server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    _require("openssl")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def secure_redis_server(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[RedisServer]:
    """A running Redis that supports only TLS and needs a password."""
    _require("redis-server")
    path, key = certificate
    server = RedisServer(
        tmp_path,
        *tls_options(path, key),
        "--requirepass",
        "s3cret/%",
        scheme="rediss",
        password="s3cret%2F%25",
        query=f"?ssl_ca_certs={path}",
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterOfThree]:
    """A running Redis Cluster, shared by all tests, which must leave it healthy."""
    _require("redis-server")
    _require("redis-cli")
    cluster = RedisClusterOfThree(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def cluster_with_replicas(
    tmp_path: Path, certificate: tuple[Path, Path], request: pytest.FixtureRequest
) -> Iterator[RedisClusterOfThree]:
    """A running Redis Cluster whose masters have a replica each; for one test, which may kill some."""
    _require("redis-server")
    _require("redis-cli")
    cluster = RedisClusterOfThree(tmp_path, with_replicas=True, certificate=certificate if request.param else None)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def secure_redis_cluster(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[RedisClusterOfThree]:
    """A running Redis Cluster that supports only TLS, also between its nodes."""
    _require("redis-server")
    _require("redis-cli")
    cluster = RedisClusterOfThree(tmp_path_factory.mktemp("secure-cluster"), certificate=certificate)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
