"""Errors of the build.

    OfflineError
    └── BuildError
        ├── BusyError   another process builds into the folder
        └── SpaceError  the disk is too small

Every message says what is wrong and how to correct it.
"""

from __future__ import annotations

from offline.errors import OfflineError


class BuildError(OfflineError):
    """A build cannot start or go on as it was asked for."""


class BusyError(BuildError):
    """Another process builds into the folder."""


class SpaceError(BuildError):
    """The disk of the folder is too small for what the build will write."""
