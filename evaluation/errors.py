"""Errors of this package.

    EvaluationError
    └── InputError       examples or labels are missing or not of the documented form

Every message is one sentence that says what is wrong and how to correct it.
"""

from __future__ import annotations


class EvaluationError(Exception):
    """Base of every error that this package raises."""


class InputError(EvaluationError):
    """A file of examples or labels is missing, empty or not of the documented form (docs/evaluation.md)."""
