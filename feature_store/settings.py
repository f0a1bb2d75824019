"""How a store is reached and for how long it keeps what it is given."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.embedding import EMBEDDING_VERSION

_DAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings of an open store; only the last four mean anything to the embedded one.

    Attributes:
        timeout_seconds: all that one `fetch` may take, connecting included; far below a request's 25 ms.
        connect_timeout_seconds: for making a connection. A request never waits longer than `timeout_seconds` for
            it: the connection goes on being made, and serves a later request.
        socket_timeout_seconds: after which a connection whose reply is outstanding is given up. Over
            `timeout_seconds`, so that a reply that is a little late costs one answer and not a reconnection.
        max_connections: to one server (to each node, in a cluster).
        warm_connections: made when the store is opened.
        failure_threshold: so many failures in a row stop requests from asking at all (see `circuit`).
        probe_interval_seconds: from then on, how often the server is asked whether it is back; doubles up to
            `probe_interval_max_seconds`.
        ttl_seconds: life of a photo and of a user from their last write; 0 keeps them for ever.
        shown_window_seconds: for how long a query counts as lately shown.
        shown_limit: how many of them are kept and read at most.
        embedding_version: version that stored embeddings must have to be handed out.
    """

    timeout_seconds: float = 0.008
    connect_timeout_seconds: float = 0.25
    socket_timeout_seconds: float = 0.05
    max_connections: int = 16
    warm_connections: int = 2
    failure_threshold: int = 5
    probe_interval_seconds: float = 0.1
    probe_interval_max_seconds: float = 2.0
    ttl_seconds: int = 30 * _DAY_SECONDS
    shown_window_seconds: int = _DAY_SECONDS // 4
    shown_limit: int = 64
    embedding_version: str = EMBEDDING_VERSION

    def __post_init__(self) -> None:
        """Refuse values that could not work. Raises ValueError."""
        for name in (
            "timeout_seconds",
            "connect_timeout_seconds",
            "socket_timeout_seconds",
            "max_connections",
            "failure_threshold",
            "probe_interval_seconds",
            "shown_window_seconds",
            "shown_limit",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be over 0, not {getattr(self, name)}")
        if self.ttl_seconds < 0:
            raise ValueError(f"ttl_seconds must be 0 (for ever) or more, not {self.ttl_seconds}")
        if not 0 <= self.warm_connections <= self.max_connections:
            raise ValueError("warm_connections must lie between 0 and max_connections")
        if self.socket_timeout_seconds < self.timeout_seconds:
            raise ValueError("socket_timeout_seconds must not be under timeout_seconds")
        if self.probe_interval_max_seconds < self.probe_interval_seconds:
            raise ValueError("probe_interval_max_seconds must not be under probe_interval_seconds")
