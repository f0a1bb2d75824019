"""Golden requests: what a bundle must answer before it is served.

They come from the file of the settings, from ``golden_requests.jsonl`` in the folder of the bundle, or, without both,
from here. Each line is the body of ``POST /recommend``; ``photo_id`` may name a video of the store.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.answering.caller import Caller
from service.answering.errors import RequestRefused
from service.answering.request import RecommendRequest
from service.errors import ServiceError
from service.serving import Serving
from service.settings import MAX_DEADLINE_MS

GOLDEN_FILE = "golden_requests.jsonl"
MAX_GOLDEN_REQUESTS = 64
MAX_GOLDEN_BYTES = 1024 * 1024

_BUILT_IN: tuple[dict[str, Any], ...] = (
    {"caption": "Unboxing the new travel camera 📷 #camera", "item_title": "Travel Camera 24 MP", "anchors": [
        "travel camera", "camera lens 50mm"], "histories": ["travel camera price"]},
    {"caption": "夏季新款连衣裙 显瘦 #穿搭", "summary": "视频展示了一条红色连衣裙", "anchors": ["连衣裙 夏季 显瘦"]},
    {"caption": "fast boil electric kettle, so cheap right now #kitchen", "histories": ["electric kettle 1.7 l"]},
    {"caption": "CFMOTO 675NK first ride", "anchors": ["cfmoto 675nk price", "cfmoto 675nk top speed"]},
    {"item_title": "High Back Folding Chair", "anchors": ["folding chair for beach", "best camping chair"]},
    {"caption": "best budget running shoes 2026 review", "histories": ["running shoes men", "cheap running shoes"]},
)  # fmt: skip


class GoldenError(ServiceError):
    """The golden requests cannot be read, or a bundle does not answer them; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Golden requests.

    Attributes:
        requests: to be answered.
        required: whether each of them is meant to be answered by every good bundle, so that a share of their number is
            required even where no other bundle is served. False for the built-in ones, which may be foreign to a shop:
            a new bundle must answer one of them, if the served one does.
    """

    requests: tuple[RecommendRequest, ...]
    required: bool


def read_golden(chosen: Path | None, bundle: Path) -> Golden:
    """Return the golden requests for a bundle.

    Args:
        chosen: the file of the settings.
        bundle: the folder of the bundle.

    Raises:
        GoldenError: the file cannot be read, is too large, or a line is not the body of a request.
    """
    path = chosen or bundle / GOLDEN_FILE
    if chosen is None and not path.is_file():
        documents: list[Any] = [
            {"photo_id": f"onebar-golden-{number}", "evidence": evidence} for number, evidence in enumerate(_BUILT_IN)
        ]
        return Golden(tuple(_request(document) for document in documents), required=False)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_GOLDEN_BYTES + 1)
    except OSError as error:
        raise GoldenError(f"the golden requests {path} cannot be read ({error.strerror})") from error
    lines = [line for line in content.splitlines() if line.strip()]
    if len(content) > MAX_GOLDEN_BYTES or not 1 <= len(lines) <= MAX_GOLDEN_REQUESTS:
        raise GoldenError(
            f"the golden requests {path} must be 1 to {MAX_GOLDEN_REQUESTS} lines and at most {MAX_GOLDEN_BYTES} bytes"
        )
    requests = []
    for number, line in enumerate(lines, start=1):
        try:
            requests.append(_request(json.loads(line)))
        except (ValueError, RecursionError, ValidationError) as error:
            fault = str(error).splitlines()[0]
            raise GoldenError(f"line {number} of the golden requests {path} is not a request ({fault})") from error
    return Golden(tuple(requests), required=True)


async def count_answered(serving: Serving, requests: Sequence[RecommendRequest]) -> int:
    """Send golden requests one after the other; return the number of those that are answered with queries.

    Between two of them, as much time passes as the first took: viewers' requests find the machine free.

    Args:
        serving: a rehearsal.
        requests: to be answered.

    Raises:
        GoldenError: the engine failed on a request, or an answer is not well-formed.
    """
    answered = 0
    for request in requests:
        began = time.perf_counter()
        try:
            body, _ = await serving.recommend(request, Caller(), began, None)
        except RequestRefused as error:
            raise GoldenError(f"it fails on the golden request for {request.photo_id}: {error}") from error
        fault = fault_of(body, request.num_queries)
        if fault:
            raise GoldenError(f"its answer to the golden request for {request.photo_id} is wrong: {fault}")
        answered += bool(body["queries"])
        await asyncio.sleep(time.perf_counter() - began)
    return answered


def fault_of(body: dict[str, Any], num_queries: int) -> str | None:
    """Return what is wrong with an answer to a golden request; None if it is well-formed."""
    queries = [item["query"] for item in body["queries"]]
    if "deadline" in body["degraded"]:
        return f"it took over {MAX_DEADLINE_MS} ms"
    if len(queries) > num_queries:
        return f"it has {len(queries)} queries, and {num_queries} were asked for"
    if any(not query.strip() or not query.isprintable() for query in queries):
        return "a query is empty or not readable"
    if len(set(queries)) < len(queries):
        return "a query comes twice"
    if not all(math.isfinite(item["score"]) for item in body["queries"]):
        return "a score is not a number"
    return None


def enough(answered: int, reference: int, share: float) -> bool:
    """Return whether a bundle answers enough golden requests.

    Args:
        answered: number that it answers.
        reference: number that should be answered: by the served bundle, or all.
        share: of ``reference`` that is required.
    """
    return answered >= math.ceil(share * reference - 1e-9)


def _request(document: Any) -> RecommendRequest:
    request = RecommendRequest.model_validate(document)
    return request.model_copy(update={"deadline_ms": float(MAX_DEADLINE_MS), "explain_search": False})
