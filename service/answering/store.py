"""Opens the feature store with the settings of the service."""

from __future__ import annotations

import logging
from dataclasses import replace

import feature_store
from feature_store import Store, StoreUrlError
from feature_store.errors import LoadError
from feature_store.loader import load_path
from service.errors import ConfigurationError
from service.settings import Settings

logger = logging.getLogger(__name__)

_LEAST_SOCKET_TIMEOUT_SECONDS = 0.05
_WARM_CONNECTIONS = 16


async def open_store(settings: Settings, shown_window_seconds: int | None) -> Store:
    """Open the store of the settings and load the evidence files of the settings. The caller closes it.

    Raises:
        ConfigurationError: the URL or a file cannot be used. An outage does not raise.
    """
    store = settings.store
    timeout = store.timeout_ms / 1000
    options = feature_store.StoreSettings(
        timeout_seconds=timeout,
        socket_timeout_seconds=max(_LEAST_SOCKET_TIMEOUT_SECONDS, timeout),
        # A batch of 16 requests fetches 16 times at once; to open a connection takes longer than a request waits.
        max_connections=max(_WARM_CONNECTIONS, settings.max_queue),
        warm_connections=_WARM_CONNECTIONS,
        # A pause of this process fails all fetches in flight at once; only more failures than that mean an outage.
        failure_threshold=settings.max_queue + 1,
    )
    if shown_window_seconds is not None:
        options = replace(options, shown_window_seconds=shown_window_seconds)
    try:
        opened = await feature_store.open_store(store.url, options)
        for path in store.evidence:
            writer = getattr(opened, "writer", None)
            if writer is None:
                raise ConfigurationError(
                    "Evidence files are loaded only into memory://; use `onebar evidence load` for other stores."
                )
            report = load_path(path, writer())
            logger.info("evidence loaded", extra={"file": path.name, "rows": report.written, "bad": report.bad})
    except (StoreUrlError, LoadError) as error:
        raise ConfigurationError(str(error)) from error
    return opened
