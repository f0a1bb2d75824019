"""Who may call: API keys, and the rule that a service without keys listens on the loopback alone."""

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
"""Key of the scope: the Caller of a request that comes from this process, as the rehearsal's do."""

_SCHEME = "bearer "


class Access:
    """Tells the caller of a request from its `Authorization` header."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys.

        Raises:
            ConfigurationError: the key file cannot be used, or there is none and other machines reach the port.
        """
        self._ring = _read(settings)
        self._without_key = Caller(None, settings.explain_without_key and is_loopback(settings.host))
        if self._ring is None and not (settings.insecure or is_loopback(settings.host)):
            raise ConfigurationError(
                f"Other machines reach {settings.host}, and there are no API keys. Make one with"
                " `onebar keys create keys.json NAME` and add --keys keys.json, or let any machine call: --insecure."
            )

    def caller_of(self, request: Request) -> Caller:
        """Return the caller of a request. Raises Unauthorized where a key is needed and a valid one is missing."""
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
        """Follow changes of the key file. A file that cannot be used is logged; the keys of before stay."""
        if self._ring is None:
            return
        try:
            if self._ring.reload_if_changed():
                logger.info("the API keys were read again", extra={"keys": len(self._ring)})
        except KeyFileError as error:
            logger.error("the changed key file is not used: %s", error)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address that a server listens on."""
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
