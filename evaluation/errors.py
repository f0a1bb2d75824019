"""Errors of this package.

    EvaluationError
    ├── InputError   a file of examples, labels, logs or evidence is missing, empty or not of the documented form
    └── ModelError   a language model cannot be asked as it is configured

Every message is one sentence that says what is wrong and how to correct it.
"""

from __future__ import annotations


class EvaluationError(Exception):
    """Base of every error that this package raises."""


class InputError(EvaluationError):
    """A file that is read is missing, empty or not of the documented form (docs/evaluation.md)."""


class ModelError(EvaluationError):
    """A language model cannot be asked."""
