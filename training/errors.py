"""Errors of this package.

TrainingError
├── ConfigError       a configuration file or override that cannot be used
├── DataError         examples, tables or a tokenizer that cannot be read
├── CheckpointError   a checkpoint folder that is incomplete or does not fit
└── DivergenceError   the loss, or what a model computes, is no longer a number
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of every error that this package raises."""


class ConfigError(TrainingError):
    """A configuration cannot be used; the message names the key and the allowed values."""


class DataError(TrainingError):
    """Examples, tables or a tokenizer cannot be read; the message names the file and how to correct it."""


class CheckpointError(TrainingError):
    """A checkpoint folder is incomplete, or does not fit the configuration."""


class DivergenceError(TrainingError):
    """The loss, or what a model computes, is no longer a number."""
