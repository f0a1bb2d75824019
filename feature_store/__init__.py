"""Evidence of videos and histories of users by key: in Redis, or embedded on a laptop.

`FORMAT.md` beside this file is the contract of what is stored. Readers open a `Store` with `open_store`; writers open
a `Writer` with `feature_store.publish.open_writer`. The package imports `evidence` and nothing else internal, and
pyarrow only where a Parquet file is read.
"""

from __future__ import annotations

import logging

from feature_store.circuit import CIRCUIT_STATES, CircuitState
from feature_store.errors import (
    CodecError,
    FeatureStoreError,
    InvalidIdError,
    LoadError,
    PrivacyError,
    RowError,
    StoreUnavailable,
    StoreUrlError,
)
from feature_store.pseudonym import KeyRing, open_key_ring
from feature_store.records import DEGRADATIONS, Fetched, PhotoRecord, ShownQuery, UserRecord
from feature_store.settings import CircuitSettings, StoreSettings
from feature_store.store import Store, open_store

__all__ = [
    "CIRCUIT_STATES",
    "DEGRADATIONS",
    "CircuitSettings",
    "CircuitState",
    "CodecError",
    "FeatureStoreError",
    "Fetched",
    "InvalidIdError",
    "KeyRing",
    "LoadError",
    "PhotoRecord",
    "PrivacyError",
    "RowError",
    "ShownQuery",
    "Store",
    "StoreSettings",
    "StoreUnavailable",
    "StoreUrlError",
    "UserRecord",
    "open_key_ring",
    "open_store",
]

# The entry point decides what is logged; a library by itself is silent.
logging.getLogger(__name__).addHandler(logging.NullHandler())
