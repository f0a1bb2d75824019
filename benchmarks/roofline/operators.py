"""Which operators the time of encoding and of a step goes to, by ONNX Runtime's own profiler.

Profiling makes every operator some microseconds slower: read the shares.
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import onnxruntime as ort

from generation import session
from generation.bundle import Bundle
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.scheduler import Scheduler

QUEUED = 16  # times every source, all at once
RUN = "whole run"


def operator_milliseconds(
    bundle: Bundle, options: GenerationOptions, sources: Sequence[Sequence[int]]
) -> dict[str, dict[str, float]]:
    """Return milliseconds of one run by operator, "whole run" among them, most first.

    Returns:
        {"encode": ..., "step": with one request, "step of many": with as many as a queue that is never empty brings}
    """
    with tempfile.TemporaryDirectory() as scratch:
        alone, together = Path(scratch) / "alone", Path(scratch) / "together"
        with _profiled(alone):
            engine = Engine(bundle, backend="onnxruntime")
            for source in sources:
                engine.generate(GenerationRequest(source, options))
            del engine
            gc.collect()  # a profile is written when its session goes
        with _profiled(together):
            scheduler = Scheduler(bundle, backend="onnxruntime")
            requests = [GenerationRequest(source, options) for source in list(sources) * QUEUED]
            many = [scheduler.submit_future(request) for request in requests]
            for future in many:
                future.result()
            scheduler.close()
            del scheduler, many
            gc.collect()
        return {
            "encode": summarize(_events(alone, bundle.encoder_path.stem)),
            "step": summarize(_events(alone, bundle.decoder_path.stem)),
            "step of many": summarize(_events(together, bundle.decoder_path.stem)),
        }


@contextmanager
def _profiled(folder: Path) -> Iterator[None]:
    """Have every session that is opened meanwhile write a profile into `folder`, under its graph's name."""
    folder.mkdir()
    plain = session.open_session

    def open_session(path: Path, options: ort.SessionOptions, *content: bytes) -> ort.InferenceSession:
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / path.stem)
        return plain(path, options, *content)

    with mock.patch.object(session, "open_session", open_session):
        yield


def _events(folder: Path, graph: str) -> list[dict[str, Any]]:
    (path,) = folder.glob(f"{graph}_*.json")
    events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return events


def summarize(events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Add up, by kind of operator, the median milliseconds of each node of a graph.

    Medians, because a run that something else interrupted says nothing; the first run of a shape neither.

    Args:
        events: of a profile: nodes with `args.op_name`, runs under the name "model_run"; `dur` in microseconds.
    """
    nodes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["args"]["op_name"], event["name"]].append(event["dur"] / 1000)
        elif event.get("name") == "model_run":
            nodes[RUN, RUN].append(event["dur"] / 1000)
    kinds: dict[str, float] = defaultdict(float)
    for (kind, _), spent in nodes.items():
        kinds[kind] += statistics.median(spent)
    return {kind: round(spent, 4) for kind, spent in sorted(kinds.items(), key=lambda item: -item[1])}
