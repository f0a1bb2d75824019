"""Running the application under uvicorn, and leaving without cutting anybody off."""

from __future__ import annotations

import gc
import logging
import socket
import sys
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from service.instance import Instance
from service.settings import Settings

logger = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS = 75  # longer than the idle time of common load balancers, so that they close first
_SWITCH_INTERVAL_SECONDS = 0.0001
"""How long a thread that computes may keep the interpreter from the event loop, which asks for it anew at each event.

Python's own 5 ms is a fifth of a budget. Against 0.5 ms, a page of 16 is through in nine tenths of the time.
"""


class DrainingServer(uvicorn.Server):
    """On SIGTERM it goes on listening for ``drain_seconds``, while /readyz and /recommend answer 503."""

    def __init__(self, config: uvicorn.Config, instance: Instance) -> None:
        super().__init__(config)
        self._instance = instance
        self._stop_at = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and take what lives as long as the process out of the garbage collector's sight."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: stop now."""
        if self._instance.draining:
            super().handle_exit(sig, frame)
            return
        self._instance.draining = True
        self._stop_at = time.monotonic() + self._instance.parts.settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to stop."""
        return await super().on_tick(counter) or time.monotonic() >= self._stop_at


def run(app: FastAPI, settings: Settings) -> bool:
    """Serve until a signal comes.

    Returns:
        Whether the port was opened; where it was not, the log says why.

    Raises:
        ServiceError: the application could not start.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series of every counter and say nothing here
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    instance: Instance = app.state.instance
    server = DrainingServer(config, instance)
    # What keeps the application from starting is raised below, for one sentence; uvicorn would log its traceback, too.
    logging.getLogger("uvicorn.error").addFilter(lambda record: instance.start_error is None)
    try:
        server.run()
    except SystemExit:  # uvicorn's way to say that the application or the port could not be opened
        if instance.start_error is not None:
            raise instance.start_error from None
    return server.started
