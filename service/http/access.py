"""Authentication by API keys. A service without keys listens only on a loopback address."""

from __future__ import annotations

import ipaddress
import logging

from fastapi import Request

from service.answering.caller import Caller
from service.errors import ConfigurationError
from service.http.errors import Unauthorized
from service.operating.keys import ApiKeys, KeyFileError
from service.settings import Settings

logger = logging.getLogger(__name__)

CALLER = "onebar.caller"
"""Key in the ASGI scope: the Caller of a request that this process itself makes, such as those of the rehearsal."""

_SCHEME = "bearer "


class Access:
    """Determines the caller of a request from its `Authorization` header."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys.

        Raises:
            ConfigurationError: the key file cannot be used, or there is none and other machines can reach the port.
        """
        self._ring = _read(settings)
        self._without_key = Caller(None, settings.explain_without_key and is_loopback(settings.host))
        if self._ring is None and not (settings.insecure or is_loopback(settings.host)):
            raise ConfigurationError(
                f"Other machines can reach {settings.host}, and there are no API keys. Make one with"
                " `onebar keys create keys.json NAME` and add --keys keys.json, or allow requests without a key with"
                " --insecure."
            )

    def caller_of(self, request: Request) -> Caller:
        """Return the caller of a request.

        Raises:
            Unauthorized: the service has keys, and the request has no valid one.
        """
        if self._ring is None:
            return self._without_key
        if CALLER in request.scope:
            within: Caller = request.scope[CALLER]
            return within
        header = request.headers.get("authorization", "")
        key = self._ring.find(header[len(_SCHEME) :]) if header[: len(_SCHEME)].lower() == _SCHEME else None
        if key is None:
            raise Unauthorized(bool(header))
        return Caller(key.id, "explain" in key.permissions)

    def reload(self) -> None:
        """Read the key file again if it has changed. If it cannot be used, the previous keys stay in force."""
        if self._ring is None:
            return
        try:
            if self._ring.reload_if_changed():
                logger.info("the API keys were read again", extra={"keys": len(self._ring)})
        except KeyFileError as error:
            logger.error("the changed key file is not used: %s", error)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(settings: Settings) -> ApiKeys | None:
    try:
        return ApiKeys(settings.keys) if settings.keys else None
    except KeyFileError as error:
        raise ConfigurationError(str(error)) from error
