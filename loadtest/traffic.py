"""Traffic like a feed's: a Zipf head and tail of videos, known and anonymous viewers, new videos, feed pages.

Everything is drawn from one seeded generator, so that two runs send the same requests in the same order.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

WARM = "stored"
ANONYMOUS = "anonymous"
COLD = "cold"
BATCH = "batch"
SCENARIOS = (WARM, ANONYMOUS, COLD, BATCH)

TEXT_LIMITS = {"caption": 4096, "photo_title": 1024, "title": 1024, "item_title": 1024, "summary": 8192}
"""The wire's limits in characters; stored evidence may be longer than what a request may carry."""
LIST_LIMIT = 64
QUERY_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call and what the caller knows about it.

    Attributes:
        scenario: one of ``SCENARIOS``.
        path: ``/recommend`` or ``/recommend/batch``.
        body: the JSON body.
    """

    scenario: str
    path: str
    body: Mapping[str, Any]

    @property
    def requests(self) -> Sequence[Mapping[str, Any]]:
        """The single requests of this call."""
        return self.body["requests"] if self.path.endswith("/batch") else [self.body]


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the scenarios in percent, the rest being viewers that are known, and the shape of the traffic.

    Attributes:
        anonymous: requests without a user.
        cold: videos that the store does not know, with inline evidence and hardly ever histories.
        batch: feed pages of ``batch_sizes`` videos in one call.
        zipf_exponent: the video of rank r is watched in proportion to r to the minus this.
    """

    anonymous: float = 10.0
    cold: float = 8.0
    batch: float = 1.0
    batch_sizes: tuple[int, ...] = (2, 3, 4)
    zipf_exponent: float = 1.0


class Traffic:
    """An endless supply of calls over the photos and users of evidence files."""

    def __init__(
        self, photos: Sequence[Mapping[str, Any]], user_ids: Sequence[str], seed: int = 0, mix: Mix | None = None
    ) -> None:
        if not photos or not user_ids:
            raise ValueError("traffic needs at least one photo and one user; check the evidence files")
        self._random = random.Random(seed)
        self._mix = mix or Mix()
        # Rank has nothing to do with the order of the file.
        self._photos = self._random.sample(list(photos), len(photos))
        self._users = list(user_ids)
        self._cumulative = list(accumulate(rank**-self._mix.zipf_exponent for rank in range(1, len(photos) + 1)))
        self._run = f"{self._random.getrandbits(32):08x}"
        self._sequence = 0

    def __iter__(self) -> Iterator[Call]:
        while True:
            yield self.next_call()

    def next_call(self) -> Call:
        """Draw the next call."""
        drawn = self._random.random() * 100
        for scenario, share in ((BATCH, self._mix.batch), (COLD, self._mix.cold), (ANONYMOUS, self._mix.anonymous)):
            if drawn < share:
                return self.call(scenario)
            drawn -= share
        return self.call(WARM)

    def call(self, scenario: str) -> Call:
        """Draw a call of one scenario."""
        if scenario == BATCH:
            # One viewer's feed page. It is asked for ahead of time and is more work, so it may take longer.
            size = self._random.choice(self._mix.batch_sizes)
            viewer = self._random.choice(self._users)
            page = [self._stored(viewer) | {"deadline_ms": 25.0 * size} for _ in range(size)]
            return Call(BATCH, "/recommend/batch", {"requests": page})
        if scenario == COLD:
            return Call(COLD, "/recommend", self._cold())
        user_id = None if scenario == ANONYMOUS else self._random.choice(self._users)
        return Call(scenario, "/recommend", self._stored(user_id))

    def _stored(self, user_id: str | None) -> dict[str, Any]:
        (photo,) = self._random.choices(self._photos, cum_weights=self._cumulative)
        return self._request(photo["photo_id"], user_id)

    def _cold(self) -> dict[str, Any]:
        photo = self._random.choice(self._photos)
        request = self._request(f"cold-{self._run}-{self._sequence}", self._random.choice(self._users))
        return request | {"evidence": inline_evidence(photo)}

    def _request(self, photo_id: str, user_id: str | None) -> dict[str, Any]:
        self._sequence += 1
        # Most bars ask for the default of three; a feed that shows more asks for up to eight.
        count = self._random.choice((None, None, None, 3, 1, 5, 8))
        request: dict[str, Any] = {"photo_id": photo_id, "request_id": f"load-{self._run}-{self._sequence}"}
        if user_id is not None:
            request["user_id"] = user_id
        if count is not None:
            request["num_queries"] = count
        return request


def inline_evidence(photo: Mapping[str, Any]) -> dict[str, Any]:
    """What a caller can send for a video that came today: its texts, summary and anchors, and no histories."""
    evidence: dict[str, Any] = {
        name: text[:limit] for name, limit in TEXT_LIMITS.items() if (text := photo.get(name)) is not None
    }
    anchors = [query for query in photo.get("anchors") or () if len(query) <= QUERY_LIMIT][:LIST_LIMIT]
    return evidence | ({"anchors": anchors} if anchors else {})


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``.jsonl`` or ``.jsonl.gz`` file."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def evidence_files(folder: Path) -> tuple[Path, Path]:
    """The photos and the users file of a folder of evidence.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    found = []
    for kind in ("photos", "users"):
        path = next((p for suffix in ("jsonl.gz", "jsonl") if (p := folder / f"{kind}.{suffix}").exists()), None)
        if path is None:
            raise FileNotFoundError(f"there is no {kind}.jsonl.gz in {folder}; name a folder of evidence")
        found.append(path)
    return found[0], found[1]


def prohibited_terms_file(folder: Path) -> Path | None:
    """The prohibited terms that come with a folder of evidence, where there are some."""
    path = folder / "prohibited_terms.tsv"
    return path if path.exists() else None


def open_traffic(folder: Path, seed: int = 0, mix: Mix | None = None) -> Traffic:
    """Traffic over the evidence files of a folder."""
    photos_path, users_path = evidence_files(folder)
    users = [row["user_id"] for row in read_rows(users_path)]
    return Traffic(read_rows(photos_path), users, seed, mix)
