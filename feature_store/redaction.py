"""URLs without their secrets: the one function for every URL that is logged or shown, of any scheme.

It does not parse: a URL whose password should have been percent-encoded parses as something else, and is exactly what
error messages are about. Where it is not certain what is a password and what is not, more is hidden rather than less.
"""

from __future__ import annotations

import re
from typing import Final

from feature_store.schemes import NETWORK_SCHEMES

HARMLESS_OPTIONS: Final = frozenset(
    {
        "db",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    }
)
"""Options of a Redis URL that hold no secret."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_HOST: Final = re.compile(r"(?:[\w.-]*|\[[0-9A-Fa-f:.]*\])(?::\d{1,5})?", re.ASCII)
_NAME: Final = re.compile(r"[\w.~-]*", re.ASCII)


def redact(url: str) -> str:
    """Return a URL of any scheme without its secrets, for logs and messages.

    The user, the host, the path and the known harmless options remain.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return "***"
    # Every @ but the last is taken as a part of the credentials; behind a ? or # it may be a part of anything.
    credentials, at, place = rest.rpartition("@")
    if "?" in credentials or "#" in credentials:
        return f"{scheme}://***"
    before_fragment, sharp, _ = place.partition("#")
    address, question, query = before_fragment.partition("?")
    host, slash, path = address.partition("/")
    if not _HOST.fullmatch(host) or host.startswith(":"):
        return f"{scheme}://***"
    if scheme in NETWORK_SCHEMES and path.strip("0123456789"):
        path = "***"  # a database is a number
    if at:
        user, colon, _ = credentials.partition(":")
        is_plain = colon and _NAME.fullmatch(user) and "/" not in credentials
        host = f"{user}:***@{host}" if is_plain else f"***@{host}"
    if question:
        query = _redact_query(query)
    return f"{scheme}://{host}{slash}{path}{question}{query}{sharp}{'***' if sharp else ''}"


def _redact_query(query: str) -> str:
    shown = []
    for pair in query.split("&"):
        name, equals, _ = pair.partition("=")
        if equals and name in HARMLESS_OPTIONS:
            shown.append(pair)
            continue
        shown.append(f"{name}=***" if equals and _NAME.fullmatch(name) else "***")
        break  # what follows may be the rest of a secret that has an & in it
    return "&".join(shown)
