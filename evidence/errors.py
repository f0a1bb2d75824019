"""Errors of this package.

EvidenceError
├── EmbedderError    a folder of an embedder that cannot be used
├── RenderError      a tokenizer or token budgets that do not fit the source format
└── TermListError    a list of prohibited terms that cannot be read
"""

from __future__ import annotations


class EvidenceError(Exception):
    """Base class of the errors of this package."""


class EmbedderError(EvidenceError):
    """A folder of an embedder is incomplete, damaged or of another form."""


class RenderError(EvidenceError):
    """The tokenizer or the token budgets do not fit the source format."""


class TermListError(EvidenceError):
    """A list of prohibited terms cannot be read; the message names the file, the line and what to correct."""
