"""Errors of this package.

GenerationError
├── BackendError      the requested backend cannot run the bundle on this machine
├── BundleError       a bundle that must not be served: incomplete, altered, or of another schema
├── ConstraintError   a constraint that cannot be built, because of its file or of the tokenizer
├── OptionsError      generation options that contradict themselves or the model (also a ValueError)
├── SourceError       source token ids that the model cannot read (also a ValueError)
├── RequestFailed     an error while one request was worked on; other requests are not affected
└── SchedulerStopped  the scheduler was closed, or its loop has ended
"""

from __future__ import annotations


class GenerationError(Exception):
    """Base of every error that this package raises."""


class BackendError(GenerationError):
    """The requested backend cannot run this bundle on this machine; the message names the reason and the correction."""


class BundleError(GenerationError):
    """A bundle cannot be served; the message is one sentence that names the fault and the correction."""


class ConstraintError(GenerationError):
    """A constraint on decoding cannot be built; the message names the fault and the correction."""


class OptionsError(GenerationError, ValueError):
    """Generation options are out of range or contradict each other or the model."""


class SourceError(GenerationError, ValueError):
    """Source token ids are empty, too long for the model, or outside of its vocabulary."""


class RequestFailed(GenerationError):
    """One request failed; ``__cause__`` is the error."""


class SchedulerStopped(GenerationError):
    """The scheduler takes no requests: it was closed, or its loop has ended."""
