"""Real Redis servers on free ports, in folders of their own, which tests can freeze, kill and restart."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from feature_store import CircuitSettings, StoreSettings

# For a busy machine: nothing of it is a timeout.
PATIENT = StoreSettings(timeout_seconds=5, socket_timeout_seconds=5, connect_timeout_seconds=5)

# For tests of outages: short timeouts, and a quick retry.
IMPATIENT = StoreSettings(
    timeout_seconds=0.4,
    socket_timeout_seconds=0.4,
    connect_timeout_seconds=2,
    circuit=CircuitSettings(
        window_calls=6,
        minimum_calls=3,
        failure_rate=0.5,
        slow_rate=0.5,
        probe_interval_seconds=0.01,
        probe_interval_max_seconds=0.02,
    ),
)
_START_SECONDS = 30.0
# Below the ports that the kernel gives to clients (from 32,768 on Linux): between the choice of a port and the start of
# its server no connection of another test can take it. A cluster's bus listens 10,000 higher.
_PORTS = range(10_000, 20_000)


def free_port() -> int:
    """Return a port on which nothing listens now."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = _START_SECONDS) -> None:
    """Poll until a condition is true; fail the test if it does not become true in time."""
    give_up_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > give_up_at:
            pytest.fail(f"{what} did not happen within {seconds} s")
        time.sleep(0.01)


class RedisServer:
    """A redis-server process on its own port, which stays the same over restarts. Data is in memory only.

    Attributes:
        url: for `open_store` and for redis-py.
        wrong_urls: name to invalid URL; a server of this kind must refuse each.
    """

    def __init__(self, folder: Path, *options: str, scheme: str = "redis", password: str = "", query: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        credentials = f":{password}@" if password else ""
        self.url = f"{scheme}://{credentials}127.0.0.1:{self.port}/0{query}"
        self.wrong_urls = {
            "no password": f"{scheme}://127.0.0.1:{self.port}/0{query}",
            "wrong password": f"{scheme}://:not-it@127.0.0.1:{self.port}/0{query}",
            "unknown authority": f"{scheme}://{credentials}127.0.0.1:{self.port}/0",
            "no TLS": f"redis://{credentials}127.0.0.1:{self.port}/0",
        }

    def start(self) -> None:
        """Start the process and wait until it answers."""
        listen = ["--tls-port" if "--tls-cert-file" in self._options else "--port", str(self.port)]
        options = ["--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "", "--appendonly", "no"]
        if listen[0] == "--tls-port":
            options += ["--port", "0"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", *listen, *options, *self._options], stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self._answers_or_ended, f"an answer of the redis-server on port {self.port}")
        if self._process.poll() is not None:
            pytest.fail(f"redis-server ended at its start: {(self.folder / 'redis.log').read_text()[-2000:]}")

    def _answers_or_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or self.answers()

    def answers(self) -> bool:
        """Return whether the server answers a PING."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        """Return an ordinary client; the caller closes it."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def pause(self) -> None:
        """Freeze the process: it accepts connections but does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the freeze."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process; its data is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill the process if it runs, and start it on the same port."""
        self.kill()
        self.start()


def tls_options(certificate: Path, key: Path) -> tuple[str, ...]:
    """Return options of a server that supports only TLS, with a self-signed certificate."""
    return ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate),
            "--tls-auth-clients", "no")  # fmt: skip


class RedisClusterOfThree:
    """Three masters that share the slots, without replicas or with one each.

    Attributes:
        url: of one of them, for `open_store`.
        servers: the three masters at the start.
        replicas: their replicas; the cluster assigns them.
    """

    def __init__(
        self, folder: Path, *, with_replicas: bool = False, certificate: tuple[Path, Path] | None = None
    ) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000" if with_replicas else "2000"]
        options += ["--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"]
        options += ["--cluster-require-full-coverage", "no"]  # as FORMAT.md advises
        scheme, query = "redis", ""
        self._cli = ["redis-cli"]
        if certificate is not None:
            options += [*tls_options(*certificate), "--tls-cluster", "yes", "--tls-replication", "yes"]
            scheme, query = "rediss", f"?ssl_ca_certs={certificate[0]}"
            self._cli += ["--tls", "--cacert", str(certificate[0])]
        self._all: list[RedisServer] = []
        for index in range(6 if with_replicas else 3):
            place = folder / str(index)
            place.mkdir()
            self._all.append(RedisServer(place, *options, scheme=scheme, query=query))
        self.servers, self.replicas = self._all[:3], self._all[3:]
        self.url = f"{scheme}+cluster://127.0.0.1:{self.servers[0].port}{query}"

    def start(self) -> None:
        """Start all nodes, and wait until each reports a healthy cluster and each replica has its master's data."""
        for server in self._all:
            server.start()
        addresses = [f"127.0.0.1:{server.port}" for server in self._all]
        command = [*self._cli, "--cluster", "create", *addresses, "--cluster-yes"]
        if self.replicas:
            command += ["--cluster-replicas", "1"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        wait_until(lambda: all(self._is_whole(server) for server in self._all), "a whole cluster", 30.0)
        wait_until(lambda: all(self._is_in_step(server) for server in self.replicas), "replication", 30.0)

    @staticmethod
    def _is_in_step(replica: RedisServer) -> bool:
        with replica.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    def replica_of(self, master: RedisServer) -> RedisServer:
        """Return the replica of a master."""
        for replica in self.replicas:
            with replica.client() as client:
                if client.info("replication")["master_port"] == master.port:
                    return replica
        raise AssertionError("it has none")

    @staticmethod
    def _is_whole(server: RedisServer) -> bool:
        with server.client() as client:
            return b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")

    def server_of(self, key: str) -> RedisServer:
        """Return the master that has a key."""
        with next(server for server in self.servers if server.answers()).client() as client:
            slot = client.execute_command("CLUSTER", "KEYSLOT", key)
            for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(server for server in self._all if server.port == port)
        raise AssertionError(f"no master has slot {slot}")

    def stop(self) -> None:
        """Stop all nodes."""
        for server in self._all:
            server.kill()
