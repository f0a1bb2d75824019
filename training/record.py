"""The training record that a stage leaves in its checkpoint."""

from __future__ import annotations

from typing import Any

from training.config import to_dict
from training.run_state import Progress


def stage_record(stage: str, config: Any, init_from: str, data: Any, progress: Progress) -> dict[str, Any]:
    """Return how a model was trained, as plain values.

    Args:
        stage: its name.
        config: of the stage, a dataclass of `training.config`.
        init_from: a description of the model that the stage began with.
        data: hashes of the files that it read.
        progress: of the run.
    """
    return {"stage": stage, "config": to_dict(config), "init_from": init_from, **progress.record(), "data": data}
