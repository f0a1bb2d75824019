"""Errors of this package.

TrainingError
├── ConfigError       a configuration file or override that cannot be used
├── DataError         examples, tables or a tokenizer that cannot be read
├── CheckpointError   a checkpoint folder that is missing something or does not fit
└── DivergenceError   the loss is no longer a number
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of every error that this package raises."""


class ConfigError(TrainingError):
    """A configuration cannot be used; the message names the key and what it may be."""


class DataError(TrainingError):
    """Examples, tables or a tokenizer cannot be read; the message names the file and the mend."""


class CheckpointError(TrainingError):
    """A checkpoint folder is missing something, or does not fit what is asked of it."""


class DivergenceError(TrainingError):
    """The loss is no longer a number."""
