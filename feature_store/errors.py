"""Errors of this package.

FeatureStoreError
├── StoreUrlError      a store URL that names no store that exists, or cannot be opened
├── StoreUnavailable   the store did not answer; raised by `ping` and by writers, never by `fetch`
├── InvalidIdError     a photo or user id that cannot be a key (also a ValueError)
├── CodecError         stored bytes that are not what FORMAT.md says
├── PrivacyError       a key of pseudonyms that is missing, or a key file that cannot be used
├── RowError           one bad row of a file of evidence
├── PublishError       a publication that must not begin or go on, or that cannot be undone
└── LoadError          a file of evidence that cannot be read at all

An outage is not an error for a reader: `fetch` returns what there is and names the cause in `degraded`.
"""

from __future__ import annotations


class FeatureStoreError(Exception):
    """Base of every error that this package raises."""


class StoreUrlError(FeatureStoreError):
    """A store URL cannot be used; the message says which forms can."""


class StoreUnavailable(FeatureStoreError):
    """The store did not answer; the message names it, without its secrets, and says what to do."""


class InvalidIdError(FeatureStoreError, ValueError):
    """An id is empty, too long, or no valid Unicode."""


class CodecError(FeatureStoreError):
    """Stored bytes cannot be decoded; the message names what is wrong with them."""


class PrivacyError(FeatureStoreError):
    """User ids cannot be made pseudonyms; the message says what to set. It never holds a key."""


class RowError(FeatureStoreError):
    """One row of a file cannot be written; the message is the reason, in words."""


class PublishError(FeatureStoreError):
    """A publication was refused or stopped; the message says why, and what to do."""


class LoadError(FeatureStoreError):
    """A file cannot be loaded; the message is one sentence that says what to do."""
