"""The impressions of a day as calls of the live service, and what their viewers do with the answers.

The intent of a viewer is that of the simulation. A viewer who finds the wanted query in the bar clicks on it, which is
reported to `POST /feedback`; any other one types it later, which is a search in the log tables of the platform.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.metrics import CUTOFF, normal_form
from loadtest.open_loop import Sender
from loadtest.traffic import COLD, WARM, Call, Traffic, inline_evidence

INVENTED = "invented-"
"""How the request ids begin that no answer has; the id of an impression follows."""

_RECOMMEND, _FEEDBACK = "/recommend", "/feedback"
_ENGAGED, _ORDERED = 0.5, 0.12
_FALSE_EVERY = 50
_EARLY_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Visit:
    """One impression of a day.

    Attributes:
        impression_id: also the request id.
        photo_id: the video.
        user_id: the viewer.
        time_ms: when it happens in the simulation.
        wanted: the query that the viewer has in mind; None without an intent.
        age: days since the video was new.
    """

    impression_id: str
    photo_id: str
    user_id: str
    time_ms: int
    wanted: str | None
    age: int


def visits_of(
    impressions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]], created: Mapping[str, int]
) -> list[Visit]:
    """Return the impressions of a day.

    Args:
        impressions: rows of that table.
        targets: rows of the truth, with the intent behind some impressions.
        created: the day on which each video was new.
    """
    wanted = {row["impression_id"]: row["target"] for row in targets}
    return [
        Visit(
            row["impression_id"],
            row["photo_id"],
            row["user_id"],
            row["ts"],
            wanted.get(row["impression_id"]),
            row["day"] - created[row["photo_id"]],
        )
        for row in impressions
    ]


class Day:
    """A day as traffic: its impressions first, and then other calls, which belong to no day.

    Attributes:
        visits: by request id.
    """

    def __init__(self, visits: Sequence[Visit], videos: Mapping[str, Mapping[str, Any]], others: Traffic) -> None:
        """Keep the impressions of the day.

        Args:
            visits: in their order.
            videos: rows of that table. The texts of a video that is new today are sent inline: the store gets them with
                the refresh of the day.
            others: the calls after the last impression.
        """
        self.visits = {visit.impression_id: visit for visit in visits}
        self._waiting = list(reversed(visits))
        self._videos = videos
        self._others = others

    @property
    def left(self) -> int:
        """Number of impressions that were not drawn yet."""
        return len(self._waiting)

    def next_call(self) -> Call:
        """Return the call of the next impression."""
        if not self._waiting:
            return self._others.next_call()
        visit = self._waiting.pop()
        body = {
            "request_id": visit.impression_id, "photo_id": visit.photo_id, "user_id": visit.user_id,
            "num_queries": CUTOFF,
        }  # fmt: skip
        if visit.age > 0:
            return Call(WARM, _RECOMMEND, body)
        return Call(COLD, _RECOMMEND, body | {"evidence": inline_evidence(self._videos[visit.photo_id])})


class Viewers:
    """A client whose calls are those of viewers, who react to the answers.

    Attributes:
        visits: of the present day, by request id.
        shown: the queries of each answered impression, by request id, best first.
        clicked: impressions whose viewer found the wanted query.
        feedback: answers to the feedback, by status.
        versions: answers by model version.
    """

    def __init__(self, client: Sender) -> None:
        """Take the client that sends the calls."""
        self._client = client
        self._reactions: set[asyncio.Task[None]] = set()
        self.visits: Mapping[str, Visit] = {}
        self.shown: dict[str, list[str]] = {}
        self.clicked: set[str] = set()
        self.feedback: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()

    def begin(self, visits: Mapping[str, Visit]) -> None:
        """Begin a day."""
        self.visits, self.shown, self.clicked = visits, {}, set()

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """POST JSON and return status and body; the viewer reacts afterwards, beside the next calls.

        Raises:
            OSError: as ``loadtest.open_loop.Client.post``.
        """
        status, content = await self._client.post(path, body)
        if status == 200:
            self._read(json.loads(content))
        return status, content

    async def settled(self) -> None:
        """Wait until all feedback is sent."""
        while self._reactions:
            await asyncio.gather(*self._reactions)

    def _read(self, answer: Mapping[str, Any]) -> None:
        self.versions[answer["model_version"]] += 1
        visit = self.visits.get(answer["request_id"])
        if visit is None:
            return
        self.shown[visit.impression_id] = shown = [item["query"] for item in answer["queries"]]
        rank = rank_of(visit.wanted, shown)
        if rank:
            self.clicked.add(visit.impression_id)
        events = reactions(visit, rank)
        if len(self.shown) % _FALSE_EVERY == 0:
            events += false_reports(visit.impression_id)
        if events:
            task = asyncio.get_running_loop().create_task(self._report(events))
            self._reactions.add(task)
            task.add_done_callback(self._reactions.discard)

    async def _report(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            try:
                status, _ = await self._client.post(_FEEDBACK, json.dumps(event).encode())
            except OSError:
                status = 0
            self.feedback[status] += 1


def rank_of(wanted: str | None, shown: Sequence[str]) -> int:
    """Return the rank of the wanted query in a bar, from 1; 0 if it is not there."""
    forms = [normal_form(query) for query in shown]
    form = None if wanted is None else normal_form(wanted)
    return forms.index(form) + 1 if form in forms else 0


def reactions(visit: Visit, rank: int) -> list[dict[str, Any]]:
    """Return the feedback on an answer: a click, sometimes twice, and what follows from some clicks."""
    if not rank:
        return []
    click = {"request_id": visit.impression_id, "event": "click", "rank": rank}
    draw = random.Random(visit.impression_id)
    events: list[dict[str, Any]] = [click]
    if draw.random() < _ENGAGED:
        events.append(click | {"event": "engagement"})
    if draw.random() < _ORDERED:
        order = {"event": "order", "order_value": round(draw.uniform(5, 200), 2)}
        events.append(click | order | {"event_id": f"order-{visit.impression_id}"})
    return [*events, click] if draw.random() < 0.1 else events


def false_reports(request_id: str) -> list[dict[str, Any]]:
    """Return feedback that must not count: of an invented answer, on a query that was not shown, from before."""
    return [
        {"request_id": INVENTED + request_id, "event": "click", "rank": 1},
        {"request_id": request_id, "event": "click", "query": "never shown"},
        {"request_id": request_id, "event": "click", "rank": 1, "time_ms": round(time.time() * 1000) - _EARLY_MS},
    ]
