"""Calls to Redis servers under their circuit breakers: started, waited for, judged, and refused while a server is bad.

How a call is judged:

- An answer is good, an error of the connection is failed, a full connection pool is neither: it is our own limit.
- A call that has not ended after `StoreSettings.timeout_seconds` is slow, also when its reply comes later.
- A caller that waits less than that does not decide: the call continues, and is judged by its whole duration.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import redis.exceptions

from feature_store.circuit import CIRCUIT_STATES, Circuit, CircuitState
from feature_store.fair_timeout import let_the_loop_read
from feature_store.redis_transport import Command, Transport
from feature_store.redis_urls import explain
from feature_store.settings import StoreSettings

logger = logging.getLogger(__name__)

Answer = list[Any] | Exception
"""The replies of an exchange, each of which may be an exception; or why there are none."""

Task = asyncio.Task[Answer]


@dataclass(slots=True)
class _Call:
    node: str
    started: float
    was_abandoned: bool = False
    is_judged: bool = False


class Calls:
    """All calls of one store. It belongs to one event loop; `close` ends it and the transport."""

    def __init__(
        self,
        transport: Transport,
        shown_url: str,
        settings: StoreSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a transport.

        Args:
            transport: It is closed by `close`.
            shown_url: The URL without its secrets, for the log.
            settings: Of the store.
            clock: Seconds.
        """
        self._transport = transport
        self._url = shown_url
        self._settings = settings
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}
        self._calls: dict[Task, _Call] = {}
        self._last_reads: dict[str, Sequence[Command]] = {}
        self._complaints: set[str] = set()

    @property
    def state(self) -> CircuitState:
        """The worst state of a node's circuit."""
        return max((circuit.state for circuit in self._circuits.values()), key=CIRCUIT_STATES.index, default="closed")

    def node_of(self, key: str) -> str:
        """Return the name of the node that has a key."""
        return self._transport.node_of(key)

    def start(self, node: str, commands: Sequence[Command], *, is_read: bool) -> Task | None:
        """Start an exchange with a node.

        Args:
            node: Of `node_of`.
            commands: For one write to the socket.
            is_read: Reads are kept as the next probe of the node's circuit.

        Returns:
            The exchange, which never raises; None while the node's circuit is not closed.
        """
        if is_read:
            self._last_reads[node] = commands
        if self._circuit(node).state != "closed":
            return None
        task = asyncio.create_task(self._exchange(node, commands))
        self._calls[task] = _Call(node, self._clock())
        task.add_done_callback(self._ended)
        return task

    async def wait(self, tasks: Collection[Task], seconds: float) -> tuple[set[Task], set[Task]]:
        """Wait for exchanges, without cancelling those that are late: their connections stay usable.

        Returns:
            Those that ended in time, and those that are late.
        """
        done, late = await asyncio.wait(tasks, timeout=seconds)
        if late:
            await let_the_loop_read()
            arrived = {task for task in late if task.done()}
            done, late = done | arrived, late - arrived
        for task in late:
            call = self._calls.get(task)
            if call is not None:
                call.was_abandoned = True
                if seconds >= self._settings.timeout_seconds:
                    self._judge_slow(call)
        return done, late

    def _judge_slow(self, call: _Call) -> None:
        if not call.is_judged:
            call.is_judged = True
            limit_ms = 1000 * self._settings.timeout_seconds
            self._circuit(call.node).record("slow", f"{self._url} took over {limit_ms:g} ms")

    def _ended(self, task: Task) -> None:
        call = self._calls.pop(task)
        if task.cancelled():  # the loop itself is ending
            return
        answer = task.result()
        failure = self._failure_of(answer)
        if call.is_judged:
            return
        if failure is not None:
            # A pool that is in full use says nothing about the server.
            if not isinstance(failure, redis.exceptions.MaxConnectionsError):
                self._circuit(call.node).record("failed", explain(failure, self._url))
        elif call.was_abandoned and self._clock() - call.started >= self._settings.timeout_seconds:
            self._judge_slow(call)
        else:
            self._circuit(call.node).record("good")

    def _failure_of(self, answer: Answer) -> Exception | None:
        """Return why an exchange failed; a refusal of a command is an answer, and is only logged."""
        errors = [answer] if isinstance(answer, Exception) else [e for e in answer if isinstance(e, Exception)]
        for error in errors:
            if not isinstance(error, redis.exceptions.ResponseError):
                return error
            self._complain(error)
        return None

    def _complain(self, error: Exception) -> None:
        """Log a refusal once for each kind: the server answers, and only a person can change what it answers."""
        kind = str(error).partition(" ")[0]
        if kind not in self._complaints:
            self._complaints.add(kind)
            logger.warning("%s", explain(error, self._url))

    async def _exchange(self, node: str, commands: Sequence[Command]) -> Answer:
        try:
            return await self._transport.exchange(node, commands)
        except Exception as error:  # redis-py's clients raise more kinds than they name; none may reach a request
            return error

    def _circuit(self, node: str) -> Circuit:
        circuit = self._circuits.get(node)
        if circuit is None:

            async def reconnect() -> bool:
                return await self._reconnect(node)

            async def probe() -> bool:
                return await self._probe(node)

            name = f"{self._url} {node}".rstrip()
            circuit = Circuit(name, self._settings.circuit, reconnect=reconnect, probe=probe, clock=self._clock)
            self._circuits[node] = circuit
        return circuit

    async def _reconnect(self, node: str) -> bool:
        try:
            await self._transport.revive(node)
        except Exception as error:
            logger.debug("reconnection: %s", explain(error, self._url))
            return False
        return True

    async def _probe(self, node: str) -> bool:
        """Repeat the newest read that a request made or wanted to make, under a request's timeout."""
        commands = self._last_reads.get(node)
        if commands is None:  # nothing was read yet; `revive` has had a reply to its PING
            return True
        task = asyncio.create_task(self._exchange(node, commands))
        self._calls[task] = _Call(node, self._clock(), is_judged=True)
        task.add_done_callback(self._ended)
        done, _ = await self.wait([task], self._settings.timeout_seconds)
        return bool(done) and self._failure_of(task.result()) is None

    async def open(self) -> None:
        """Make the warm connections; where that fails, start to probe."""
        try:
            await self._transport.connect()
        except Exception as error:
            self._circuit("").open(explain(error, self._url))

    async def ping(self) -> None:
        """Make one round trip. Raises what the client raises."""
        await self._transport.ping()

    async def close(self) -> None:
        """Wait for exchanges that are under way (their sockets' timeouts bound it), and close the connections."""
        for circuit in self._circuits.values():
            await circuit.close()
        await asyncio.gather(*self._calls)
        await self._transport.close()
