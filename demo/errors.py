"""Errors of this package.

DemoError
├── WorldError       a world that cannot be made as asked, or cannot be read
└── SelectionError   evidence that the shipped demo cannot be selected from
"""

from __future__ import annotations


class DemoError(Exception):
    """Base of every error that this package raises."""


class WorldError(DemoError):
    """A world cannot be made or read; the message says what to change."""


class SelectionError(DemoError):
    """The demo's evidence cannot be selected; the message names the file."""
