"""Runs the two applications under uvicorn, with limits and draining, and ends the process if its engine is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI
from prometheus_client import disable_created_metrics
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import ServerState

from service.http.access import Access
from service.http.protocol import BoundedHttpProtocol
from service.instance import Instance
from service.operating.bundle_swap import BundleSwap
from service.settings import ConnectionSettings, Settings

logger = logging.getLogger(__name__)

_SWITCH_INTERVAL_SECONDS = 0.0001
"""Interpreter switch interval: the longest time for which a computing thread delays the event loop.

Python's default of 5 ms is a fifth of the deadline. With 0.1 ms, a batch of 16 takes 10 % less time than with 0.5 ms.
"""

_ADMIN_CONNECTIONS = 64
_RESERVED_DESCRIPTORS = _ADMIN_CONNECTIONS + 128
"""Descriptors for the admin port, the feature store, the event sink and files."""

_LEAST_CONNECTIONS = 16
_LOST_ENGINE_TICKS = 5
"""Ticks in a row: after a pause of the whole process (a frozen container), the engine looks stalled for one tick."""

_LOST_ENGINE_EXIT_SECONDS = 10.0
"""Longest time for the orderly end of a process with a lost engine, because a hung engine can block it for ever."""


class OneBarServer(uvicorn.Server):
    """uvicorn's server, with a second listener for operators.

    On SIGTERM /readyz fails at once, requests are answered as before for ``drain_seconds``, then the port closes and
    the requests in flight are finished. SIGINT and a second signal skip the drain. If the engine is lost, the server
    stops and ``lost_engine`` has the reason.
    """

    def __init__(
        self, config: uvicorn.Config, admin: uvicorn.Config, instance: Instance, access: Access, swap: BundleSwap
    ) -> None:
        super().__init__(config)
        self._admin = admin
        self._instance = instance
        self._access = access
        self._swap = swap
        self._stop_at = float("inf")
        self._ticks_without_engine = 0
        self.lost_engine: str | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and freeze the objects that live as long as the process, so that garbage collection skips them."""
        await super().startup(sockets)
        await self._open_admin_port()
        gc.collect()
        gc.freeze()

    async def _open_admin_port(self) -> None:
        config = self._admin
        config.load()
        state = ServerState()

        def connect(_loop: AbstractEventLoop | None = None) -> Any:
            return config.http_protocol_class(config, state, self.lifespan.state, _loop)  # type: ignore[call-arg]

        try:
            server = await asyncio.get_running_loop().create_server(connect, config.host, config.port)
        except OSError as error:
            logger.error(
                "the admin port %s:%d cannot be opened: %s; set ONEBAR_ADMIN_PORT to a free port",
                config.host,
                config.port,
                error,
            )
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        self.servers.append(server)
        address = server.sockets[0].getsockname()
        logger.info("admin port open", extra={"host": address[0], "port": address[1]})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain, or stop now. A third signal does not wait for the requests in flight."""
        # uvicorn's method would raise the signal again at the end, which gives a traceback or a status other than 0.
        if sig == signal.SIGTERM and not self._instance.draining:
            self._stop_at = time.monotonic() + self._instance.parts.settings.drain_seconds
        else:
            self.force_exit = self.should_exit
            self.should_exit = True
        self._instance.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; uvicorn calls this ten times a second."""
        reason = self._instance.engine_lost_because
        self._ticks_without_engine = self._ticks_without_engine + 1 if reason else 0
        if self.lost_engine is None and self._ticks_without_engine >= _LOST_ENGINE_TICKS:
            self.lost_engine = reason
            logger.critical("the process ends because its engine is lost", extra={"reason": reason})
            threading.Thread(target=_exit_later, name="onebar-exit", daemon=True).start()
        if counter % 10 == 0:
            self._access.reload()
            self._instance.follow_rules()
            self._swap.follow()
        stop = await super().on_tick(counter)
        return stop or self.lost_engine is not None or time.monotonic() >= self._stop_at


def _exit_later() -> NoReturn:
    time.sleep(_LOST_ENGINE_EXIT_SECONDS)
    os._exit(1)


def run(app: FastAPI, settings: Settings) -> int:
    """Serve until a signal stops the process, or the engine is lost.

    Returns:
        The exit code: 0 after an orderly end, 1 when the engine was lost, 2 when a port could not be opened.

    Raises:
        ServiceError: the application could not start.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    # The `_created` metrics double the number of series and carry no information here.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    instance: Instance = app.state.instance
    limits = settings.connections
    public_limits = limits.model_copy(update={"max_connections": _connection_limit(limits.max_connections)})
    admin_limits = limits.model_copy(update={"max_connections": _ADMIN_CONNECTIONS})
    public = _config(app, settings.host, settings.port, settings, public_limits, instance, lifespan="on")
    admin = _config(
        app.state.admin, settings.admin_host, settings.admin_port, settings, admin_limits, instance, lifespan="off"
    )
    server = OneBarServer(public, admin, instance, app.state.access, app.state.swap)
    # An error at start is raised below and printed as one sentence. Without this filter, uvicorn logs its traceback.
    logging.getLogger("uvicorn.error").addFilter(lambda record: instance.start_error is None)
    try:
        server.run()
    except SystemExit:  # uvicorn raises it if the application could not start or the port could not be opened
        if instance.start_error is not None:
            raise instance.start_error from None
        return 2
    if server.lost_engine is not None:
        os._exit(1)  # with a hung thread of the engine, the interpreter would not exit
    return 0 if server.started else 2


def _config(
    app: ASGIApp,
    host: str,
    port: int,
    settings: Settings,
    limits: ConnectionSettings,
    instance: Instance,
    lifespan: Any,
) -> uvicorn.Config:
    def on_closed(cause: str) -> None:
        instance.metrics.connection_closed(cause)

    protocol: Callable[..., BoundedHttpProtocol] = partial(BoundedHttpProtocol, limits=limits, on_closed=on_closed)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        lifespan=lifespan,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def _connection_limit(wanted: int) -> int:
    """Raise the descriptor limit as far as the system allows, and return how many connections fit below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    fitting = max(_LEAST_CONNECTIONS, soft - _RESERVED_DESCRIPTORS)
    logger.warning("the descriptor limit of %d leaves room for %d connections, not %d", soft, fitting, wanted)
    return fitting
