"""Recent answers of all instances, read from the event stream in Redis for reviewers.

An event has everything that a reviewer sees. A search reads the newest events only, at most MAX_SEARCHED of them and
MAX_BYTES, so that it costs the server and this process a bounded time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import redis

from feature_store.redis_urls import parse_redis_url
from service.answering.policy import Judged
from service.answering.recent_answers import MAX_KEPT_QUERIES, RecentAnswer, Wanted
from service.errors import ServiceError
from service.observing.sink_server import connect

logger = logging.getLogger(__name__)

MAX_SEARCHED = 2000
MAX_BYTES = 8 * 1024 * 1024
_PAGE = 100
_VERSIONS = ("model_version", "rules_version", "embedding_version", "constraints_version")


class StreamUnreadable(ServiceError):
    """The event stream cannot be read; the message says why."""


class StreamedAnswers:
    """The answers in the event stream. Each search has a connection of its own, which is closed at its end.

    Attributes:
        source: names this kind of memory on the wire.
        capacity: number of the newest answers that a search looks at.
    """

    source = "event_stream"
    capacity = MAX_SEARCHED

    def __init__(self, url: str, stream: str, *, with_viewers: bool) -> None:
        """Take the URL and the key of the stream; viewers are left out where user ids are not made into pseudonyms."""
        self._url = parse_redis_url(url).url
        self._stream = stream
        self._with_viewers = with_viewers

    def find(self, wanted: Wanted) -> list[RecentAnswer]:
        """Return the answers that match, newest first. Blocks.

        Raises:
            StreamUnreadable: the server does not answer, or does not allow it.
        """
        found: list[RecentAnswer] = []
        try:
            with closing(connect(self._url)) as client:
                for event in self._newest(client):
                    answer = self._answer_of(event)
                    if answer is not None and wanted.matches(answer):
                        found.append(answer)
                        if len(found) == wanted.limit:
                            break
        except redis.exceptions.NoPermissionError as error:
            raise StreamUnreadable("its user may not read the stream; give it +xrevrange") from error
        except redis.RedisError as error:
            logger.warning("the event stream cannot be read for a reviewer: %s", error)
            raise StreamUnreadable("its server does not answer") from error
        return found

    def _newest(self, client: redis.Redis) -> Iterator[bytes]:
        before, left = "+", MAX_BYTES
        for _ in range(MAX_SEARCHED // _PAGE):
            page: Any = client.xrevrange(self._stream, max=before, count=_PAGE)
            for entry_id, fields in page:
                event = fields.get(b"event", b"")
                left -= len(event)
                if left < 0:
                    return
                yield event
                before = f"({entry_id.decode()}"
            if len(page) < _PAGE:
                return

    def _answer_of(self, event: bytes) -> RecentAnswer | None:
        """Return the answer of an event; None where the entry is no event of this service."""
        try:
            fields = json.loads(event)
            return RecentAnswer(
                time_ms=int(fields["time_ms"]),
                request_id=str(fields["request_id"]),
                photo_id=str(fields["photo_id"]),
                viewer=fields["user_id"] if self._with_viewers else None,
                reason=fields["reason"],
                blocked_by=fields["blocked_by"],
                degraded=tuple(fields["degraded"]),
                judged=tuple(
                    Judged(str(item["query"]), float(item["score"]), item["verdict"], item["rule"])
                    for item in fields["hypotheses"][:MAX_KEPT_QUERIES]
                ),
                evidence_version=fields["evidence_version"],
                versions={name: fields[name] for name in _VERSIONS},
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
