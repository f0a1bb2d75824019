"""Errors of this package.

    RefreshError
    ├── ConfigError      the settings cannot be used
    ├── BusyError        another refresh is under way
    └── StepError        a command has failed; `step` is its name

Every message is one sentence that says what is wrong and how to correct it.
"""

from __future__ import annotations


class RefreshError(Exception):
    """Base of every error that this package raises."""


class ConfigError(RefreshError):
    """The settings cannot be read, or do not fit what is there."""


class BusyError(RefreshError):
    """Another process refreshes the same state."""


class StepError(RefreshError):
    """A step has failed.

    Attributes:
        step: its name.
    """

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step
