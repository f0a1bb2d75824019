"""The client of the load generator does not send calls over connections that the server has closed."""

from __future__ import annotations

import asyncio

from loadtest.open_loop import Client


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
