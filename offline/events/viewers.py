"""User ids behind the pseudonyms of events, so that exported rows name the users of the platform's own tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from feature_store.errors import InvalidIdError
from feature_store.pseudonym import read_key_ring
from offline.logs.engine import Engine


def viewers_of(dataset: Path | str, key_file: Path, engine: Engine) -> pa.Table:
    """Return the columns `pseudonym` and `viewer` for every user of a dataset, under every key of a file.

    Args:
        dataset: log tables with a table `users`.
        key_file: keys of pseudonyms, of `onebar privacy`.
        engine: reads the table.

    Raises:
        TableError: the table is missing or unreadable.
        PrivacyError: the key file cannot be used.
    """
    ring = read_key_ring(key_file)
    with engine.reading(f"{dataset}/users"):
        users = engine.fetch(engine.read(dataset, "users").select("user_id").distinct())
    pseudonyms: list[str] = []
    viewers: list[str] = []
    for batch in users.to_batches():
        for user in batch.column(0).to_pylist():
            try:
                known = ring.from_here(user)
            except InvalidIdError:  # the service refuses such an id, so no event has it
                continue
            pseudonyms += known
            viewers += [user] * len(known)
    return pa.table({"pseudonym": pa.array(pseudonyms, pa.string()), "viewer": pa.array(viewers, pa.string())})
