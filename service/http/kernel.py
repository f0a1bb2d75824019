"""What the kernel knows of a connection: bytes that are not read yet, and when the newest of them came."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import termios

_TCP_INFO_BYTES = 104
_LAST_DATA_RECEIVED = struct.Struct("@I")
_LAST_DATA_RECEIVED_OFFSET = 52  # tcpi_last_data_recv, milliseconds, of struct tcp_info in linux/tcp.h
_CLOCK_TICKS_MS = 8
"""The kernel counts in ticks of up to 4 ms; a wait below two of them is not told apart from none."""


def waited_seconds(connection: socket.socket | None) -> float:
    """Return how long the newest bytes lay in the kernel before the event loop took them; 0 if that is not known."""
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return 0.0
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return 0.0
    (waited_ms,) = _LAST_DATA_RECEIVED.unpack_from(info, _LAST_DATA_RECEIVED_OFFSET)
    return waited_ms / 1000 if waited_ms >= _CLOCK_TICKS_MS else 0.0


def unread_bytes(connection: socket.socket | None) -> int | None:
    """Return how many received bytes the event loop has not taken yet; None if that is not known."""
    if connection is None:
        return None
    size = array.array("i", [0])
    try:
        fcntl.ioctl(connection.fileno(), termios.FIONREAD, size)
    except OSError:
        return None
    return size[0]
