"""Errors of this package.

EvidenceError
├── RenderError      a tokenizer or a budget that cannot make the schema
└── TermListError    a list of prohibited terms that cannot be read
"""

from __future__ import annotations


class EvidenceError(Exception):
    """Base of every error that this package raises."""


class RenderError(EvidenceError):
    """The tokenizer or the budgets cannot make the [SEP] schema."""


class TermListError(EvidenceError):
    """A list of prohibited terms cannot be read; the message names the file, the line and the mend."""
