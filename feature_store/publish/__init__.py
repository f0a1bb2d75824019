"""Writing into a store: single records (`open_writer`), and whole publications (`publication.publish`).

A writer sets what it is given and knows nothing of the other records. A publication makes the store equal to a set of
files: it writes what differs, deletes what is gone, and can be undone by `restoration.restore`.
"""

from __future__ import annotations

from feature_store.publish.writers import open_writer

__all__ = ["open_writer"]
