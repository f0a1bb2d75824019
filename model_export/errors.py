"""Errors of this package.

ExportError
├── CheckpointError    a checkpoint folder that cannot be read, or a model that the graphs do not implement
└── ParityError        the exported graphs do not give the answers of the checkpoint
"""

from __future__ import annotations


class ExportError(Exception):
    """Base of every error that this package raises."""


class CheckpointError(ExportError):
    """A checkpoint is incomplete, or uses something that the exported graphs do not implement."""


class ParityError(ExportError):
    """The exported graphs do not give the answers of the checkpoint; the message says where."""
