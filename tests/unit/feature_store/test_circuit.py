"""The circuit: opens after failures in a row, probes one at a time, closes when the server is back."""

from __future__ import annotations

import asyncio

from feature_store.circuit import Circuit


class Server:
    """Answers probes as it is told to, and counts them."""

    def __init__(self) -> None:
        self.is_back = asyncio.Event()
        self.probes = 0
        self.at_once = 0
        self.most_at_once = 0
        self.probed = asyncio.Condition()

    async def probe(self) -> bool:
        self.probes += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        async with self.probed:
            self.probed.notify_all()
        return self.is_back.is_set()

    async def probed_times(self, count: int) -> None:
        async with asyncio.timeout(10), self.probed:
            await self.probed.wait_for(lambda: self.probes >= count)


def circuit_of(server: Server) -> Circuit:
    return Circuit(
        "redis", server.probe, failure_threshold=3, probe_interval_seconds=0.001, probe_interval_max_seconds=0.002
    )


async def closed(circuit: Circuit) -> None:
    async with asyncio.timeout(10):
        while circuit.is_open:
            await asyncio.sleep(0)


async def test_failures_in_a_row_open_it() -> None:
    circuit = circuit_of(Server())
    for _ in range(2):
        circuit.failed("no answer")
    assert not circuit.is_open
    circuit.failed("no answer")
    assert circuit.is_open
    await circuit.close()


async def test_an_answer_between_failures_keeps_it_closed() -> None:
    circuit = circuit_of(Server())
    for _ in range(10):
        circuit.failed("no answer")
        circuit.failed("no answer")
        circuit.succeeded()
    assert not circuit.is_open


async def test_it_probes_one_at_a_time_until_the_server_is_back() -> None:
    server = Server()
    circuit = circuit_of(server)
    for _ in range(9):
        circuit.failed("no answer")
    await server.probed_times(3)
    assert circuit.is_open
    assert server.most_at_once == 1
    server.is_back.set()
    await closed(circuit)
    count = server.probes
    circuit.failed("again")
    assert not circuit.is_open, "the count starts anew"
    assert server.probes == count


async def test_closing_ends_the_probing() -> None:
    server = Server()
    circuit = circuit_of(server)
    circuit.open("down at start")
    await server.probed_times(1)
    await circuit.close()
    assert len(asyncio.all_tasks()) == 1
