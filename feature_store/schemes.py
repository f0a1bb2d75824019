"""The schemes of store URLs: the one list that the checks, the messages and the commands use.

redis://[[user]:password@]host[:port][/db]   one server
rediss://…                                   the same over TLS; ?ssl_ca_certs=FILE for an authority of your own
unix:///path.sock                            one server, by a socket
redis+cluster://host:port                    any node of a Redis Cluster
rediss+cluster://…                           the same over TLS
sqlite:///relative.db, sqlite:////abs.db     a file that `onebar evidence load` has made
memory://                                    nothing but what the process itself puts there
"""

from __future__ import annotations

from typing import Final

REDIS_SCHEMES: Final = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
EMBEDDED_SCHEMES: Final = ("sqlite", "memory")
LASTING_SCHEMES: Final = (*REDIS_SCHEMES, "sqlite")
"""Of stores that outlive the process."""

NETWORK_SCHEMES: Final = frozenset(REDIS_SCHEMES) - {"unix"}
"""Of URLs with a host and a port."""


def listed(schemes: tuple[str, ...]) -> str:
    """Return schemes as a message names them: "redis://, rediss:// or unix://"."""
    *others, last = [f"{scheme}://" for scheme in schemes]
    return f"{', '.join(others)} or {last}" if others else last


STORE_URLS: Final = f"{listed(LASTING_SCHEMES)}FILE."
"""The help of an option that takes the URL of a lasting store."""
