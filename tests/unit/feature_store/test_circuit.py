"""The circuit breaker: opens at a rate of bad calls, probes one at a time, closes when probes are answered in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from feature_store.circuit import CIRCUIT_STATES, Circuit, CircuitState, Outcome
from feature_store.settings import CircuitSettings

SETTINGS = CircuitSettings(
    window_calls=10,
    window_seconds=60,
    minimum_calls=4,
    failure_rate=0.5,
    slow_rate=0.75,
    probes=3,
    probe_interval_seconds=0.001,
    probe_interval_max_seconds=0.002,
)


class Server:
    """Answers as it is told to, and counts what it is asked."""

    def __init__(self) -> None:
        self.connects = False
        self.is_fast = False
        self.reconnections = 0
        self.probes = 0
        self.at_once = 0
        self.most_at_once = 0
        self.states: list[CircuitState] = []
        self.asked = asyncio.Condition()
        self.circuit: Circuit | None = None

    async def _ask(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.circuit is not None
        self.states.append(self.circuit.state)
        await asyncio.sleep(0)
        self.at_once -= 1
        async with self.asked:
            self.asked.notify_all()

    async def reconnect(self) -> bool:
        self.reconnections += 1
        await self._ask()
        return self.connects

    async def probe(self) -> bool:
        self.probes += 1
        await self._ask()
        return self.is_fast

    async def reconnected_times(self, count: int) -> None:
        async with asyncio.timeout(10), self.asked:
            await self.asked.wait_for(lambda: self.reconnections >= count)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def circuit_of(server: Server, settings: CircuitSettings = SETTINGS, clock: Clock | None = None) -> Circuit:
    clock = clock or Clock()
    server.circuit = Circuit("redis", settings, reconnect=server.reconnect, probe=server.probe, clock=clock)
    return server.circuit


def record(circuit: Circuit, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        circuit.record(outcome, "no answer")


async def closed(circuit: Circuit) -> None:
    async with asyncio.timeout(10):
        while circuit.state != "closed":
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        (["failed"] * 3, "closed"),
        (["failed"] * 4, "open"),
        (["good", "good", "failed", "failed"], "open"),
        (["good", "good", "good", "failed"], "closed"),
        (["good", "good", "slow", "slow"], "closed"),
        (["good", "slow", "slow", "slow"], "open"),
        (["good", "failed", "slow", "slow"], "open"),
        (["good", "failed", "good"] * 30, "closed"),
    ],
    ids=[
        "too few calls",
        "all fail",
        "half fail",
        "a quarter fails",
        "half are slow",
        "most are slow",
        "mixed",
        "third",
    ],
)
async def test_it_opens_at_a_share_of_bad_calls(outcomes: list[Outcome], state: CircuitState) -> None:
    circuit = circuit_of(Server())
    record(circuit, *outcomes)
    assert circuit.state == state
    await circuit.close()


async def test_calls_leave_the_window_by_number() -> None:
    circuit = circuit_of(Server())
    record(circuit, *["good"] * 100, *["failed"] * 4)
    assert circuit.state == "closed"
    record(circuit, "failed")
    assert circuit.state == "open", "five of the last ten"
    await circuit.close()


async def test_calls_leave_the_window_by_age() -> None:
    clock = Clock()
    circuit = circuit_of(Server(), clock=clock)
    record(circuit, *["failed"] * 3)
    clock.now = SETTINGS.window_seconds + 1
    record(circuit, *["failed"] * 3)
    assert circuit.state == "closed"
    record(circuit, "failed")
    assert circuit.state == "open"
    await circuit.close()


async def test_one_reconnection_at_a_time_until_the_server_is_back() -> None:
    server = Server()
    circuit = circuit_of(server)
    record(circuit, *["failed"] * 9)
    await server.reconnected_times(3)
    assert circuit.state == "open"
    assert server.probes == 0, "a server that cannot be reached is not probed"
    server.connects = server.is_fast = True
    await closed(circuit)
    assert server.most_at_once == 1
    assert server.probes == SETTINGS.probes
    assert server.states[-SETTINGS.probes :] == ["half_open"] * SETTINGS.probes


async def test_a_server_that_answers_late_stays_left_alone() -> None:
    server = Server()
    server.connects = True
    circuit = circuit_of(server)
    record(circuit, *["slow"] * 4)
    await server.reconnected_times(5)
    assert circuit.state in ("open", "half_open")
    assert 4 <= server.probes <= 5, "the first late probe ends an attempt"
    server.is_fast = True
    await closed(circuit)


async def test_the_window_starts_empty_after_recovery() -> None:
    server = Server()
    server.connects = server.is_fast = True
    circuit = circuit_of(server)
    record(circuit, *["failed"] * 4)
    await closed(circuit)
    record(circuit, *["failed"] * 3)
    assert circuit.state == "closed"


async def test_what_ends_while_it_is_open_is_not_counted() -> None:
    server = Server()
    circuit = circuit_of(server)
    record(circuit, *["failed"] * 4, *["good"] * 100)
    assert circuit.state == "open"
    server.connects = server.is_fast = True
    await closed(circuit)
    record(circuit, *["failed"] * 4)
    assert circuit.state == "open", "the good calls are not in the window"
    await circuit.close()


async def test_a_server_that_passes_probes_and_fails_requests_is_tried_more_and_more_rarely() -> None:
    server = Server()
    server.connects = server.is_fast = True
    circuit = circuit_of(server, replace(SETTINGS, probe_interval_max_seconds=1.0))
    waits = []
    for _ in range(4):
        waits.append(circuit.next_wait_seconds)
        record(circuit, *["failed"] * 4)
        await closed(circuit)
    assert waits == [0.001, 0.002, 0.004, 0.008]
    record(circuit, *["good"] * 4)
    assert circuit.next_wait_seconds == 0.001


async def test_closing_ends_the_probing() -> None:
    server = Server()
    circuit = circuit_of(server)
    circuit.open("down at start")
    await server.reconnected_times(1)
    await circuit.close()
    assert len(asyncio.all_tasks()) == 1


def test_the_states_are_ordered_for_a_gauge() -> None:
    assert CIRCUIT_STATES == ("closed", "half_open", "open")


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum_calls": 0},
        {"window_calls": 5, "minimum_calls": 6},
        {"failure_rate": 0.9, "slow_rate": 0.8},
        {"slow_rate": 1.1},
        {"failure_rate": 0.0},
        {"probes": 0},
        {"probe_interval_seconds": 3.0},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CircuitSettings(**wrong)  # type: ignore[arg-type]
