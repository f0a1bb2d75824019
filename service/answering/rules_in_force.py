"""The business rules that are applied now. They follow their file, so that a query is stopped without a restart.

A file that becomes invalid changes nothing: the previous rules stay in force. ``recently_shown`` is the exception to
following: its window is read at start, because the store is opened with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from evidence.safety import ProhibitedTerms
from service.answering.policy import Policy
from service.answering.rules import Rules, load_rules
from service.errors import RulesError
from service.file_stamp import Stamp, stamp_of

logger = logging.getLogger(__name__)


class RulesInForce:
    """The rules and the policy compiled from them. Everything but the reading of the file runs on one event loop.

    Attributes:
        path: of the file; None without one.
        rules: in force.
        policy: compiled from them. A request takes it once, so that one version decides about it.
        fault: why the present content of the file is not in force; None if it is.
        on_change: is told the version of rules that have come into force.
    """

    def __init__(
        self, path: Path | None, rules: Rules, policy: Policy, terms: ProhibitedTerms, reject_threshold: float
    ) -> None:
        """Begin with the rules that were loaded at start."""
        self.path = path
        self.rules = rules
        self.policy = policy
        self.fault: str | None = None
        self.on_change: Callable[[str], None] = lambda version: None
        self._terms = terms
        self._reject_threshold = reject_threshold
        self._stamp: Stamp | None = None  # read once more: the file may have changed since the rules were loaded
        self._lock = asyncio.Lock()

    async def follow(self) -> None:
        """Read the file again if it has changed. A file that is invalid, or gone, leaves the rules as they are."""
        if self.path is None or stamp_of(self.path) == self._stamp:
            return
        async with self._lock:
            stamp = stamp_of(self.path)
            if stamp == self._stamp:
                return
            try:
                rules, policy = await asyncio.to_thread(self._load, self.path)
            except RulesError as error:
                # Without the path, which a reviewer need not know.
                self.fault = "the rules file is not valid: " + "; ".join(fault[1:] for fault in error.problems)[:1000]
                logger.error("the changed rules file is not used: %s", error)
            else:
                self.fault = None
                if rules.version != self.rules.version:
                    self.rules, self.policy = rules, policy
                    self.on_change(rules.version or "")
                    logger.info("the rules were read again", extra={"rules_version": rules.version})
            self._stamp = stamp

    def _load(self, path: Path) -> tuple[Rules, Policy]:
        rules = load_rules(path)
        return rules, Policy(rules, self._terms, self._reject_threshold)
