"""The client of the load generator: kept connections, and servers that do not answer as they should."""

from __future__ import annotations

import asyncio
import time

import pytest

from loadtest.open_loop import Client, run_rate
from loadtest.traffic import WARM, Call


def test_a_kept_connection_that_the_server_has_closed_is_replaced():
    opened: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        while await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def play() -> list[int]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            client = Client("127.0.0.1", server.sockets[0].getsockname()[1])
            statuses = [(await client.post("/recommend", b""))[0] for _ in range(2)]
            opened[0].close()
            await opened[0].wait_closed()
            while not client._idle[0][0].at_eof():
                await asyncio.sleep(0)
            statuses.append((await client.post("/recommend", b""))[0])
            await client.aclose()
            await opened[1].wait_closed()
        return statuses

    assert asyncio.run(asyncio.wait_for(play(), 10.0)) == [200, 200, 200]
    assert len(opened) == 2


class Calls:
    """The same call without end."""

    def next_call(self) -> Call:
        return Call(WARM, "/recommend", {"photo_id": "p1"})


def test_a_service_that_hangs_does_not_hang_the_load_generator():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def play():
        async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
            client = Client("127.0.0.1", server.sockets[0].getsockname()[1], timeout_seconds=0.05)
            samples = await run_rate(client, Calls(), rate=100.0, seconds=0.1, seed=1)
            await client.aclose()
        return samples

    samples = asyncio.run(asyncio.wait_for(play(), 10.0))
    assert samples
    for sample in samples:
        assert (sample.status, sample.faults) == (0, ("status 0: there was no answer within 0.05 s",))


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"ready\r\nContent-Length: 0\r\n\r\n", b"x" * 100_000],
)
def test_what_is_no_answer_is_an_error_of_the_connection(answer: bytes):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def play() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            await Client("127.0.0.1", server.sockets[0].getsockname()[1]).post("/recommend", b"")

    with pytest.raises(ConnectionError, match=r"before the answer did|no HTTP answer with a Content-Length"):
        asyncio.run(asyncio.wait_for(play(), 10.0))


def test_latency_is_counted_from_leaving_and_the_lag_apart():
    class Blocking:
        """Holds the event loop, so that the calls after the first leave late."""

        async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
            time.sleep(0.01)
            return 429, b""

    samples = asyncio.run(run_rate(Blocking(), Calls(), rate=1000.0, seconds=0.02, seed=1))
    assert any(sample.lag_ms > sample.latency_ms for sample in samples)
    for sample in samples:
        assert sample.since_due_ms == sample.lag_ms + sample.latency_ms
