"""A bundle beside the one that is served: loaded at low priority, and checked before it answers a request."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feature_store import Store
from generation.bundle.files import read_manifest
from generation.scheduler import Scheduler
from generation.stepper import Stepper
from service.answering.runner import GenerationRunner
from service.errors import ServiceError
from service.instance import Instance
from service.operating.golden import GoldenError, count_answered, enough, read_golden
from service.operating.low_priority import at_low_priority
from service.parts import Parts, build_scheduler, load_stepper
from service.settings import PromotionSettings

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
_STORE_SECONDS = 1.0


class CandidateRefused(ServiceError):
    """A bundle did not pass a check; the message says which."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A loaded bundle.

    Attributes:
        parts: the bundle, and what depends on it.
        stepper: its graphs. They outlive the engine of the check, whose thread has a low priority.
        scheduler: that engine.
    """

    parts: Parts
    stepper: Stepper
    scheduler: Scheduler


async def prepare(
    instance: Instance, path: Path, model_version: str | None, settings: PromotionSettings, returning: bool
) -> Candidate:
    """Load a bundle at low priority, warm it, and check it. The caller closes its scheduler.

    Args:
        instance: its rules, its store, and the bundle that it serves, to compare with.
        path: the folder of the bundle.
        model_version: that the bundle must have; None takes any.
        settings: of the golden requests.
        returning: the bundle was served before, and the one that is served now is the fault. So it is not compared
            with it, nor with the vectors in the store.

    Raises:
        CandidateRefused: it has another version, its vectors are not those of the store, or it answers too few golden
            requests.
        GenerationError: it must not be served.
        ServiceError: the constraints of the settings cannot be used with it, or a golden request failed.
    """
    served, together = instance.parts, instance.runner.requests_together

    def load() -> Candidate:
        return _load(served, path, model_version, together)

    candidate = await at_low_priority(load, "onebar-candidate")
    try:
        await _check(instance, candidate, settings, returning)
    except BaseException:
        await close(candidate)
        raise
    return candidate


async def close(candidate: Candidate) -> None:
    """End the engine of the check. The graphs stay loaded."""
    await asyncio.to_thread(candidate.scheduler.close, CLOSE_SECONDS)


async def check_served(instance: Instance, settings: PromotionSettings) -> None:
    """Check the bundle of a start, beside which no other one is loaded.

    Raises:
        ServiceError: a golden request failed, or too few of a file of golden requests were answered.
    """
    golden = read_golden(settings.golden_requests, instance.parts.bundle.path)
    rehearsal = instance.rehearsal(instance.parts, instance.runner)
    answered = await asyncio.ensure_future(count_answered(rehearsal, golden.requests))
    _require(answered, len(golden.requests) if golden.required else 0, settings.golden_share)


def _load(served: Parts, path: Path, model_version: str | None, together: int) -> Candidate:
    """Load everything in the calling thread, whose priority the engine's thread gets, too.

    An engine like the served one takes over how many requests go through the decoder at once. To measure it takes
    time, and beside a busy engine the result would be chance.
    """
    if model_version is not None:
        named = read_manifest(path).get("model_version")
        if named != model_version:
            raise CandidateRefused(f"{path} holds the model {named}, and {model_version} was promoted")
    loaded = served.with_bundle(path)
    stepper = load_stepper(loaded, together if loaded.runs_like(served) else None)
    return Candidate(loaded, stepper, build_scheduler(loaded, stepper))


async def _check(instance: Instance, candidate: Candidate, settings: PromotionSettings, returning: bool) -> None:
    parts = candidate.parts
    golden = read_golden(settings.golden_requests, parts.bundle.path)
    assert instance.serving is not None
    photo_ids = [*instance.serving.recent_photos, *(request.photo_id for request in golden.requests)]
    try:
        await _check_vectors(instance.serving.store, parts.bundle.embedder.version, photo_ids)
    except CandidateRefused as error:
        if not returning:
            raise
        logger.warning("viewers have no personal queries until evidence is published again: %s", error)
    runner = GenerationRunner(candidate.scheduler, parts.bundle.model_version, parts.constraints)
    served = instance.rehearsal(instance.parts, instance.runner)
    # Each in a context of its own, so that later log lines do not carry the ids of these requests.
    answered = await asyncio.ensure_future(count_answered(instance.rehearsal(parts, runner), golden.requests))
    if returning:  # the bundle that it replaces is the fault, and must not be the measure
        return
    try:
        reference = await asyncio.ensure_future(count_answered(served, golden.requests))
    except GoldenError as error:  # the served bundle may be the reason of the promotion
        logger.warning("the served bundle fails on a golden request: %s", error)
        reference = 0
    # The built-in requests may be foreign to the shop, and a model may well reject what is. One answer is required.
    _require(answered, reference if golden.required else min(reference, 1), settings.golden_share)


def _require(answered: int, reference: int, share: float) -> None:
    if not enough(answered, reference, share):
        raise CandidateRefused(
            f"it answers {answered} golden requests, where {reference} should be answered and a share of {share:g} is"
            " required"
        )


async def _check_vectors(store: Store, version: str, photo_ids: Sequence[str]) -> None:
    """Check that stored vectors are of the embedder of the bundle: else viewers would lose their personal queries.

    Raises:
        CandidateRefused: most of the vectors of these videos are of other versions.
    """
    versions: Counter[str] = Counter()
    for photo_id in dict.fromkeys(photo_ids):
        fetched = await store.fetch(photo_id, timeout_seconds=_STORE_SECONDS, embedding_version=version)
        if fetched.photo is not None and fetched.photo.embedding_version is not None:
            versions[fetched.photo.embedding_version] += 1
    if versions and 2 * versions[version] < versions.total():
        raise CandidateRefused(
            f"its embedder is {version}, and the store has vectors of {', '.join(sorted(versions))}; publish evidence"
            " with vectors of this embedder first"
        )
