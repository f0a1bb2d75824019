"""The store that the service talks to, and how one is opened from a URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from feature_store.circuit import CircuitState
from feature_store.errors import StoreUrlError
from feature_store.records import Fetched
from feature_store.redaction import redact
from feature_store.schemes import EMBEDDED_SCHEMES, REDIS_SCHEMES, listed
from feature_store.settings import StoreSettings


class Store(Protocol):
    """Evidence and user histories by key.

    A process has one store, in one event loop. The code that opened it closes it.
    """

    @property
    def url(self) -> str:
        """The URL that it was opened with, without its secrets."""

    @property
    def circuit_state(self) -> CircuitState:
        """The circuit breaker's state, the worst one in a cluster; always "closed" for an embedded store."""

    async def fetch(
        self,
        photo_id: str | None,
        user_id: str | None = None,
        *,
        want_shown: bool = False,
        timeout_seconds: float | None = None,
        embedding_version: str | None = None,
    ) -> Fetched:
        """Return what is stored of a photo and of a user, in one round trip (one for each node, in a cluster).

        Never raises for an outage and never retries: what could not be had in time is missing, and
        `Fetched.degraded` says why.

        Args:
            photo_id: None asks for the user alone.
            user_id: None asks for the photo alone.
            want_shown: also the queries lately shown to the user.
            timeout_seconds: for the whole call; `StoreSettings.timeout_seconds` when None.
            embedding_version: of the vectors to return; `StoreSettings.embedding_version` when None.

        Raises:
            InvalidIdError: an id that no key can have.
        """

    async def record_shown(self, user_id: str, queries: Sequence[str], *, shown_at_ms: int | None = None) -> bool:
        """Remember that these queries were shown to a user; to be called off the request's path.

        Args:
            user_id: to whom.
            queries: what was shown. Showing a query again only renews its time.
            shown_at_ms: unix milliseconds; now when None.

        Returns:
            Whether it was written. An outage loses it, and is no error.

        Raises:
            InvalidIdError: an id that no key can have.
        """

    async def ping(self) -> float:
        """Return the seconds that a round trip took. Raises StoreUnavailable, which says what to do."""

    async def close(self) -> None:
        """Close connections and end background work. To be called once; the store is of no use after it."""


async def open_store(url: str, settings: StoreSettings | None = None) -> Store:
    """Open a store. The caller owns it and closes it.

    A Redis that is down or refuses the password does not raise: the store opens, answers with `feature_store_down`, and
    tries to reconnect in the background. A URL that can never work raises.

    Args:
        url: in one of the forms of `feature_store.schemes`. `memory://` is empty, and gone with the process.
        settings: defaults when None.

    Raises:
        StoreUrlError: a URL of no known form, or a file that is missing or is no store.
    """
    settings = settings or StoreSettings()
    scheme = url.partition("://")[0]
    if scheme in EMBEDDED_SCHEMES:
        from feature_store.embedded import open_embedded

        return open_embedded(url, settings)
    if scheme in REDIS_SCHEMES:
        from feature_store.redis_store import open_redis

        return await open_redis(url, settings)
    raise unknown_scheme(url)


def unknown_scheme(url: str) -> StoreUrlError:
    """Return the error for a URL whose scheme names no store."""
    scheme, separator, _ = redact(url).partition("://")
    named = f"{scheme}://" if separator else "no scheme"
    return StoreUrlError(f"a store URL with {named} is not known; use {listed(REDIS_SCHEMES + EMBEDDED_SCHEMES)}")
