"""What a publication did, or would do: its counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from feature_store.loader import LoadReport
from feature_store.publish.target import Found
from feature_store.rows import Kind
from feature_store.vectors import version_of

Outcome = Literal["new", "changed", "unchanged", "removed"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("new", "changed", "unchanged", "removed")


@dataclass(slots=True)
class PublishReport:
    """What a publication did, over all of its runs.

    Attributes:
        loaded: What became of the rows.
        counts: Records by kind and outcome.
        changed_fields: How often each field changed, in records that were not new.
        embedding_versions: Embeddings by the version of the embedder.
        bytes_written: Of keys, names and values.
        continued_from: Rows that an earlier run had done.
        read_back: Records of the sample.
        seconds: Duration of this run.
    """

    loaded: LoadReport = field(default_factory=LoadReport)
    counts: dict[Kind, Counter[Outcome]] = field(default_factory=dict)
    changed_fields: Counter[str] = field(default_factory=Counter)
    embedding_versions: Counter[str] = field(default_factory=Counter)
    bytes_written: int = 0
    continued_from: int = 0
    read_back: int = 0
    seconds: float = 0.0

    def count(self, kind: Kind, outcome: Outcome, number: int = 1) -> None:
        """Count records."""
        self.counts.setdefault(kind, Counter())[outcome] += number

    def to_state(self) -> str:
        """Return the counts as JSON, for the state in the store."""
        kept = {"counts": self.counts, "changed_fields": self.changed_fields, "bytes_written": self.bytes_written}
        return json.dumps(kept, sort_keys=True)

    def continue_from(self, state: Mapping[str, str]) -> None:
        """Take over the counts of an earlier run."""
        self.continued_from = int(state["position"])
        kept = json.loads(state["counts"])
        self.counts = {kind: Counter(counts) for kind, counts in kept["counts"].items()}
        self.changed_fields = Counter(kept["changed_fields"])
        self.bytes_written = kept["bytes_written"]

    def count_found(self, kind: Kind, found: Found) -> None:
        """Count a record by what was found of it in the store."""
        if not found.exists:
            self.count(kind, "new")
        elif found.differing:
            self.count(kind, "changed")
            self.changed_fields.update(name for name in found.differing if not name.endswith("_at"))
        else:
            self.count(kind, "unchanged")

    def count_version(self, fields: Mapping[str, bytes]) -> None:
        """Count the version of a record's embeddings, if it has any."""
        if vectors := fields.get("embedding") or fields.get("embeddings"):
            self.embedding_versions[version_of(vectors)] += 1
