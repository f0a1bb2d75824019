"""What can go wrong between the logs and the evidence.

    OfflineError
    ├── TableError       a log table is missing, unreadable, or not of the documented form (docs/data_formats.md)
    └── SettingsError    the job was asked for something that the logs cannot give (a day outside of them, ...)

Every message is one sentence that says what is wrong and what to do about it.
"""

from __future__ import annotations


class OfflineError(Exception):
    """The offline job cannot go on; the message is meant for the person who started it."""


class TableError(OfflineError):
    """A log table is missing, unreadable, or its rows do not follow the documented schema."""


class SettingsError(OfflineError):
    """The settings of the job and the logs do not go together."""
