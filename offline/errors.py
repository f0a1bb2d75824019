"""Errors of this package.

    OfflineError
    ├── TableError       a log table is missing, unreadable, or not of the documented form (docs/data_formats.md)
    └── SettingsError    the settings ask for something that the logs cannot give, such as a day that is not logged

Every message is one sentence that says what is wrong and how to correct it.
"""

from __future__ import annotations


class OfflineError(Exception):
    """Base of every error that this package raises."""


class TableError(OfflineError):
    """A log table is missing, unreadable, or its rows do not follow the documented schema."""


class SettingsError(OfflineError):
    """The settings of the job do not fit the logs."""
