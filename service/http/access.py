"""Authentication by API keys. A service without keys listens only on a loopback address."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import replace
from urllib.parse import urlsplit

from fastapi import Request

from service.answering.caller import Caller
from service.errors import ConfigurationError
from service.http.errors import Forbidden, Unauthorized
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
        alone = is_loopback(settings.host)
        self._without_key = Caller(
            may_explain=settings.explain_without_key and alone,
            may_review=settings.review.without_key and alone and is_loopback(settings.admin_host),
            may_send_feedback=settings.feedback.without_key and alone,
        )
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
            caller = self._without_key
            if caller.may_explain and not _names_this_machine(request):
                return replace(caller, may_explain=False)
            return caller
        if CALLER in request.scope:
            within: Caller = request.scope[CALLER]
            return within
        header = request.headers.get("authorization", "")
        key = self._ring.find(header[len(_SCHEME) :]) if header[: len(_SCHEME)].lower() == _SCHEME else None
        if key is None:
            raise Unauthorized(bool(header))
        may = key.permissions
        return Caller(key.id, "explain" in may, "review" in may, key.name, "feedback" in may)

    def reviewer_of(self, request: Request) -> Caller:
        """Return the caller of a request of the reviewer's API.

        Raises:
            Unauthorized: the service has keys, and the request has no valid one.
            Forbidden: the caller may not review.
        """
        caller = self.caller_of(request)
        if not caller.may_review:
            raise Forbidden(
                "The reviewer's API needs a key that may review (made with"
                " `onebar keys create FILE NAME --may review`)."
            )
        self._refuse_other_names(request, "the reviewer's API answers")
        return caller

    def feedback_caller_of(self, request: Request) -> Caller:
        """Return the caller of a request of ``POST /feedback``.

        Raises:
            Unauthorized: the service has keys, and the request has no valid one.
            Forbidden: the caller may not send feedback.
        """
        caller = self.caller_of(request)
        if not caller.may_send_feedback:
            raise Forbidden(
                "Feedback needs a key that may send it (made with `onebar keys create FILE NAME --may feedback`)."
            )
        self._refuse_other_names(request, "feedback is accepted from")
        if self._ring is None:  # a page of another site cannot send a key
            refuse_other_sites(request)
        return caller

    def _refuse_other_names(self, request: Request, what: str) -> None:
        # Without keys, the browser of this machine is trusted. A site whose name was made to point to 127.0.0.1 must
        # not use it.
        if self._ring is None and not _names_this_machine(request):
            raise Forbidden(f"Without keys, {what} only requests to 127.0.0.1 or localhost.")

    def reload(self) -> None:
        """Read the key file again if it has changed. If it cannot be used, the previous keys stay in force."""
        if self._ring is None:
            return
        try:
            if self._ring.reload_if_changed():
                logger.info("the API keys were read again", extra={"keys": len(self._ring)})
        except KeyFileError as error:
            logger.error("the changed key file is not used: %s", error)


def refuse_other_sites(request: Request) -> None:
    """Refuse a change that a page of another site makes a browser send.

    Raises:
        Forbidden: the request has an `Origin` that is not this service.
    """
    origin = request.headers.get("origin")
    if origin is not None and _authority(origin) != request.headers.get("host", ""):
        raise Forbidden("Changes are accepted from pages of this service only.")


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _names_this_machine(request: Request) -> bool:
    return is_loopback(_hostname(request.headers.get("host", "")))


def _hostname(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


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
