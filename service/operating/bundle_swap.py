"""Changes the bundle of a running service: it follows the record of the promoted one.

    current.json changes ─► load beside the served bundle ─► check ─► switch between two requests ─► free the old one
                                 │ a fault: the old one stays            │ another promotion meanwhile: start again
                                 ▼                                       ▼

Two bundles at most are in memory: the next change begins when the old bundle is freed (docs/adr/0083).
"""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any, Literal

from generation.bundle.files import read_manifest
from generation.errors import GenerationError
from generation.memory import return_free_memory
from service.answering.runner import GenerationRunner, GenerationScheduler
from service.errors import ConfigurationError, ServiceError
from service.file_stamp import Stamp, stamp_of
from service.instance import Instance
from service.operating import candidate as candidates
from service.operating.promotion import CURRENT, Promotion, PromotionError, read_current
from service.operating.shadow import Shadow
from service.parts import build_scheduler
from service.serving import Serving
from service.settings import Settings

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0
"""Longest wait for the requests that hold the old bundle: a slow body, the longest deadline, and a margin."""

State = Literal["idle", "loading", "draining"]


class BundleSwap:
    """Follows the record of the promoted bundle. For one event loop.

    Attributes:
        state: what is being done.
        fault: why the promoted bundle is not served; None if it is.
    """

    def __init__(self, instance: Instance, shadow: Shadow, settings: Settings) -> None:
        """Follow the folder of the settings, if there is one.

        Args:
            instance: whose bundle is changed.
            shadow: its candidate is freed during a change, so that three bundles are never in memory.
            settings: of the process; their bundle is served where the record names none.
        """
        self._instance = instance
        self._shadow = shadow
        self._settings = settings.promotion
        self._folder = settings.promotion.folder
        self._own_bundle = settings.bundle
        self._metrics = instance.metrics.bundles
        instance.metrics.watch("bundles_loaded", "Bundles in memory, two at most.", lambda: self.loaded)
        self._seen: Stamp | None = None
        self._record: Promotion | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.state: State = "idle"
        self.fault: str | None = None

    @property
    def loaded(self) -> int:
        """Number of bundles in memory, those that are being loaded or freed included."""
        return 1 + (self.state != "idle") + self._shadow.loaded

    def follow(self) -> None:
        """Begin to serve the promoted bundle, if the record has changed and no change is in progress."""
        if self._folder is None or self._instance.draining or (self._task is not None and not self._task.done()):
            return
        stamp = stamp_of(self._folder / CURRENT)
        if stamp is not None and stamp != self._seen:
            self._seen = stamp
            self._task = asyncio.get_running_loop().create_task(self._follow(self._folder))

    async def settled(self) -> None:
        """Wait until the change in progress has ended."""
        if self._task is not None:
            await self._task

    async def check_start(self) -> None:
        """Check the promoted bundle with which the process has started; if it fails, return to the one before it."""
        if self._folder is None:
            return
        try:
            record = self._record = read_current(self._folder)
            if record is None or record.bundle_id != self._instance.parts.bundle.model_version:
                return
            await candidates.check_served(self._instance, self._settings)
        except ServiceError as error:
            self._refuse(error)
            self._seen = stamp_of(self._folder / CURRENT)
            path = _earlier(self._folder)[1:2] or [self._own_bundle]
            try:
                await self._change(path[0], None, self._seen, returning=True)
            except (ServiceError, GenerationError) as other:
                logger.error("the bundle before the promoted one cannot be served either: %s", other)
            finally:
                await self._end()

    async def close(self) -> None:
        """Give up the change in progress. A thread that loads a bundle is left to itself: the process ends."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def describe(self) -> dict[str, Any]:
        """Return the body of ``GET /bundle`` (``wire.BundleResponse``)."""
        bundle, record = self._instance.parts.bundle, self._record
        return {
            "model_version": bundle.model_version,
            "bundle": str(bundle.path),
            "promoted": record and record.bundle_id,
            "promoted_at": record and record.promoted_at,
            "reason": record and record.reason,
            "state": self.state,
            "fault": self.fault,
            "shadow": self._shadow.describe(),
        }

    async def _follow(self, folder: Path) -> None:
        """Serve the bundle that the record names now. A fault leaves the served one, and is logged and counted."""
        stamp = self._seen
        try:
            record = self._record = await asyncio.to_thread(read_current, folder)
            if record is None:
                return
            path = record.path(folder) or self._own_bundle
            if self._serves(path, record.bundle_id) or await self._change(
                path, record.bundle_id, stamp, record.kind == "rollback"
            ):
                self._accept()
        except (ServiceError, GenerationError) as error:
            self._refuse(error)
        except Exception as error:
            logger.exception("the promoted bundle could not be loaded")
            self._refuse(error)
        finally:
            await self._end()

    def _serves(self, path: Path, model_version: str | None) -> bool:
        served = self._instance.parts.bundle  # no caller keeps it, since it may be freed
        return path == served.path if model_version is None else model_version == served.model_version

    async def _end(self) -> None:
        """Free what the change has left. By now, no exception keeps a refused bundle in memory."""
        if self.state != "idle":
            await asyncio.to_thread(_free)
            self.state = "idle"
            if not self._closing:
                self._shadow.start()

    async def _change(self, path: Path, model_version: str | None, stamp: Stamp | None, returning: bool) -> bool:
        """Load a bundle, check it, switch to it, and free the old one.

        Returns:
            Whether it is served now. False if the record has changed since ``stamp``.

        Raises:
            GenerationError: the bundle must not be served.
            ServiceError: it did not pass a check.
        """
        instance, metrics = self._instance, self._metrics
        await self._shadow.stop()
        self.state = "loading"
        logger.info("loading a promoted bundle", extra={"bundle": str(path)})
        candidate = await candidates.prepare(instance, path, model_version, self._settings, returning)
        await candidates.close(candidate)
        if self._folder is not None and stamp_of(self._folder / CURRENT) != stamp:
            metrics.swapped("replaced")
            logger.info("another bundle was promoted while one was loaded", extra={"bundle": str(path)})
            return False
        parts = candidate.parts
        # Its thread has the usual priority. It measures its own pace: nothing of the old engine is used.
        scheduler = await asyncio.to_thread(build_scheduler, parts, candidate.stepper)
        assert instance.serving is not None
        runner = GenerationRunner(scheduler, parts.bundle.model_version, parts.constraints)
        old = instance.switch(instance.serving.beside(parts, runner))
        self.state = "draining"
        metrics.swapped("switched")
        logger.info(
            "a promoted bundle is served",
            extra={"model_version": parts.bundle.model_version, "before": old.parts.bundle.model_version},
        )
        await self._retire(old)
        return True

    async def _retire(self, old: Serving) -> None:
        """Stop the engine of a Serving when the last request that holds it has ended."""
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + DRAIN_SECONDS
        while old.users.count and clock() < give_up_at:
            await asyncio.sleep(0.01)
        if old.users.count:
            logger.error("requests still hold the bundle of before", extra={"requests": old.users.count})
        await old.runner.close()
        self._metrics.forget(old.parts.bundle.model_version)

    def _accept(self) -> None:
        self.fault = None
        self._metrics.refused(refused=False)

    def _refuse(self, error: Exception) -> None:
        self.fault = str(error) or type(error).__name__
        self._metrics.refused(refused=True)
        self._metrics.swapped("refused")
        served = self._instance.parts.bundle.model_version
        logger.error("the promoted bundle is not served: %s", self.fault, extra={"model_version": served})


def open_instance(settings: Settings, scheduler: GenerationScheduler | None = None) -> Instance:
    """Build the instance with the promoted bundle, or with one of before if that cannot be loaded.

    Args:
        settings: of the process; their bundle is taken where no other one can be loaded.
        scheduler: as ``Instance`` takes it.

    Raises:
        BackendError: the wanted backend cannot run the bundle of the settings on this machine.
        BundleError: the bundle of the settings must not be served.
        ConfigurationError: something else of the settings cannot be used.
    """
    for path in _earlier(settings.promotion.folder):
        try:
            return Instance(settings.model_copy(update={"bundle": path}), scheduler)
        except (GenerationError, ConfigurationError) as error:
            logger.error("a promoted bundle is not served: %s", error)
    return Instance(settings, scheduler)


def _earlier(folder: Path | None) -> list[Path]:
    """Return the promoted bundle and those before it, newest first, as far as they hold what was promoted."""
    if folder is None:
        return []
    try:
        record = read_current(folder)
    except PromotionError as error:
        logger.error("the record of the promoted bundle is not used: %s", error)
        return []
    found: list[Path] = []
    for served in () if record is None else (record, *record.earlier):
        path = served.path(folder)
        if path is None:
            break
        try:
            if read_manifest(path).get("model_version") == served.bundle_id:
                found.append(path)
                continue
            logger.error("%s no longer holds the model %s", path, served.bundle_id)
        except GenerationError as error:
            logger.error("a promoted bundle is not served: %s", error)
    return found


def _free() -> None:
    """Return the memory of a freed engine.

    Where the server has frozen its objects, those of the new bundle are frozen, too: collections skip them.
    """
    gc.collect()
    if gc.get_freeze_count():
        gc.freeze()
    return_free_memory()
