"""Real Redis servers for the tests: single, with TLS and a password, and a cluster of three masters."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.redis_servers import RedisClusterOfThree, RedisServer


def _require(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


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
    """A running Redis that speaks TLS only and wants a password."""
    _require("redis-server")
    path, key = certificate
    tls = ("--tls-cert-file", str(path), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    server = RedisServer(
        tmp_path,
        *tls,
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
    """A running Redis Cluster; it is shared by all tests, which leave it running and whole."""
    _require("redis-server")
    _require("redis-cli")
    cluster = RedisClusterOfThree(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
