"""How a store is reached, when it is left alone, and for how long it keeps what it is given.

These are the only defaults; a caller overrides what its own settings say and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evidence.embedding import EMBEDDING_VERSION

_DAY_SECONDS = 24 * 60 * 60


def _require_positive(settings: Any, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) > 0:
            raise ValueError(f"{name} must be over 0, not {getattr(settings, name)}")


@dataclass(frozen=True, slots=True)
class CircuitSettings:
    """When a server is left alone, and when it is asked again; see `circuit`.

    Attributes:
        window_calls: The most calls that the sliding window holds.
        window_seconds: The age after which a call leaves the window.
        minimum_calls: Fewer calls in the window never open the circuit. More than the 16 requests of one feed page,
            which one pause of a process can delay all at once.
        failure_rate: The share of failed calls that opens it.
        slow_rate: The share of slow or failed calls that opens it. Higher than `failure_rate`, because while calls are
            slow the others still bring evidence.
        probes: Probes in a row that must be answered in time before it closes.
        probe_interval_seconds: The wait before the first attempt to reconnect; doubles after each that fails.
        probe_interval_max_seconds: The longest wait.
    """

    window_calls: int = 100
    window_seconds: float = 30.0
    minimum_calls: int = 20
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    probes: int = 3
    probe_interval_seconds: float = 0.1
    probe_interval_max_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Refuse values that could not work. Raises ValueError."""
        _require_positive(self, "window_seconds", "minimum_calls", "failure_rate", "probes", "probe_interval_seconds")
        if self.window_calls < self.minimum_calls:
            raise ValueError("window_calls must not be under minimum_calls")
        if not self.failure_rate <= self.slow_rate <= 1:
            raise ValueError("failure_rate and slow_rate must be in that order, and at most 1")
        if self.probe_interval_max_seconds < self.probe_interval_seconds:
            raise ValueError("probe_interval_max_seconds must not be under probe_interval_seconds")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings of an open store; the embedded one uses `timeout_seconds` and the last four.

    Attributes:
        timeout_seconds: All that one `fetch` may take, connecting included; far below a request's 25 ms. A call that is
            not answered in this time counts as slow, however little of it the caller waits.
        connect_timeout_seconds: For making a connection. A request never waits longer than `timeout_seconds` for
            it: the connection continues to be made, and serves a later request.
        socket_timeout_seconds: After which a connection whose reply is outstanding is closed. Over
            `timeout_seconds`, so that a reply that is a little late costs one answer and not a reconnection.
        max_connections: To one server (to each node, in a cluster).
        warm_connections: Made when the store is opened. A feed page of 16 asks 16 times at once, and connections that
            are only made then take longer than a request waits.
        circuit: When a server is left alone.
        ttl_seconds: Life of a photo and of a user from their last write; 0 keeps them without end.
        shown_window_seconds: For how long a query counts as lately shown.
        shown_limit: How many of them are kept and read at most.
        embedding_version: Version that stored embeddings must have to be returned. The service gives that of the
            embedder in its bundle.
    """

    timeout_seconds: float = 0.005
    connect_timeout_seconds: float = 0.25
    socket_timeout_seconds: float = 0.05
    max_connections: int = 64
    warm_connections: int = 16
    circuit: CircuitSettings = field(default_factory=CircuitSettings)
    ttl_seconds: int = 30 * _DAY_SECONDS
    shown_window_seconds: int = _DAY_SECONDS // 4
    shown_limit: int = 64
    embedding_version: str = EMBEDDING_VERSION

    def __post_init__(self) -> None:
        """Refuse values that could not work. Raises ValueError."""
        _require_positive(
            self,
            "timeout_seconds",
            "connect_timeout_seconds",
            "socket_timeout_seconds",
            "max_connections",
            "shown_window_seconds",
            "shown_limit",
        )
        if self.ttl_seconds < 0:
            raise ValueError(f"ttl_seconds must be 0 (for ever) or more, not {self.ttl_seconds}")
        if not 0 <= self.warm_connections <= self.max_connections:
            raise ValueError("warm_connections must lie between 0 and max_connections")
        if self.socket_timeout_seconds < self.timeout_seconds:
            raise ValueError("socket_timeout_seconds must not be under timeout_seconds")
