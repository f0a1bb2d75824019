"""Opens the feature store with the settings of the service."""

from __future__ import annotations

import logging
from dataclasses import replace

import feature_store
from feature_store import KeyRing, Store, StoreUrlError
from feature_store.errors import LoadError
from feature_store.loader import load_path
from service.errors import ConfigurationError
from service.settings import Settings

logger = logging.getLogger(__name__)


async def open_store(
    settings: Settings, embedding_version: str, shown_window_seconds: int | None, key_ring: KeyRing | None
) -> Store:
    """Open the store of the settings and load the evidence files of the settings. The caller closes it.

    Args:
        settings: the whole tree.
        embedding_version: of the stored vectors that are used.
        shown_window_seconds: how long shown queries are kept; None uses the default of the store.
        key_ring: makes pseudonyms of the user ids in evidence files; None uses them as they are.

    Raises:
        ConfigurationError: the URL or a file cannot be used. An outage does not raise.
    """
    store = settings.store
    options = feature_store.StoreSettings()
    timeout = store.timeout_ms / 1000
    options = replace(
        options,
        timeout_seconds=timeout,
        socket_timeout_seconds=max(options.socket_timeout_seconds, timeout),
        max_connections=max(options.max_connections, settings.max_queue),
        embedding_version=embedding_version,
    )
    if shown_window_seconds is not None:
        options = replace(options, shown_window_seconds=shown_window_seconds)
    try:
        opened = await feature_store.open_store(store.url, options)
        for path in store.evidence:
            writer = getattr(opened, "writer", None)
            if writer is None:
                raise ConfigurationError(
                    "Evidence files are loaded at start only into memory:// and sqlite://; use `onebar evidence load`"
                    " for other stores."
                )
            report = load_path(path, writer(), key_ring=key_ring)
            logger.info("evidence loaded", extra={"file": path.name, "rows": report.written, "bad": report.bad})
    except (StoreUrlError, LoadError) as error:
        raise ConfigurationError(str(error)) from error
    return opened
