"""What can go wrong in an evaluation.

    EvaluationError
    └── InputError       examples or labels are missing or not of the documented form

Every message is one sentence that says what is wrong and what to do about it.
"""

from __future__ import annotations


class EvaluationError(Exception):
    """The evaluation cannot go on; the message is meant for the person who started it."""


class InputError(EvaluationError):
    """A file of examples or labels is missing, empty or not of the documented form (docs/evaluation.md)."""
