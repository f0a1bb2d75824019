"""A TCP proxy that counts round trips and delays replies."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class CountingProxy:
    """A proxy between a client and a server on 127.0.0.1.

    Attributes:
        port: the port of the proxy.
        round_trips: how often the client sent data first or after data of the server, over all connections.
        connections: number of connections so far.
        reply_delay_seconds: delay of each reply; may be changed at any time.
    """

    def __init__(self, server_port: int, reply_delay_seconds: float = 0.0) -> None:
        """Build a proxy of the server on a port; each reply is delayed."""
        self._server_port = server_port
        self.reply_delay_seconds = reply_delay_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self.round_trips = 0
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        client_speaks = False

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_client: bool) -> None:
            nonlocal client_speaks
            try:
                while data := await source.read(65536):
                    if is_client and not client_speaks:
                        self.round_trips += 1
                    client_speaks = is_client
                    if not is_client and self.reply_delay_seconds:
                        await asyncio.sleep(self.reply_delay_seconds)
                    sink.write(data)
                    await sink.drain()
            finally:
                sink.close()

        for coroutine in (pump(reader, upstream_writer, True), pump(upstream_reader, writer, False)):
            task = asyncio.create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
