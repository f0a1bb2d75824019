"""Errors of this package.

GenerationError
├── BackendError      what was asked to run the graphs cannot do so here
├── BundleError       a bundle that must not be served: incomplete, altered, or of another schema
├── ConstraintError   a constraint that cannot be made: its file, or a tokenizer that it cannot be held to
├── OptionsError      generation options that contradict themselves or the model (also a ValueError)
├── SourceError       source token ids that the model cannot read (also a ValueError)
├── RequestFailed     something failed while one request was worked on; the others are not touched
└── SchedulerStopped  nobody works on requests any more: closed, or its loop has died
"""

from __future__ import annotations


class GenerationError(Exception):
    """Base of every error that this package raises."""


class BackendError(GenerationError):
    """The backend that was asked for cannot run this bundle on this machine; the message names why, and the mend."""


class BundleError(GenerationError):
    """A bundle cannot be served; the message is one sentence that names the fault and the mend."""


class ConstraintError(GenerationError):
    """A constraint on what may be written cannot be made; the message names the fault and the mend."""


class OptionsError(GenerationError, ValueError):
    """Generation options are out of range or contradict each other or the model."""


class SourceError(GenerationError, ValueError):
    """Source token ids are empty, too long for the model, or outside of its vocabulary."""


class RequestFailed(GenerationError):
    """One request could not be answered; the cause is chained."""


class SchedulerStopped(GenerationError):
    """The scheduler takes no requests: it was closed, or its loop has died."""
