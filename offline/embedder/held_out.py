"""Whether an embedder has learnt from the clicks that are to be predicted."""

from __future__ import annotations

from pathlib import Path

from evidence.static_embedder import read_manifest
from offline.errors import SettingsError


def check_held_out(folder: Path | None, test_day: int) -> None:
    """Check that the training of an embedder has not read the test day.

    Its vectors would bring queries near the videos on which they will be clicked, so anchors and personal queries would
    be better than those of serving. Behaviour lists have no test day, but a model that learns from their anchors is
    measured on it. The embedder may know days of training and the validation day (ADR 73): one that was trained on
    all days makes examples and lists from the next day on, as a refresh does.

    Args:
        folder: of the embedder; None is the hashed one, which has learnt nothing.
        test_day: the last day of the logs.

    Raises:
        SettingsError: the embedder knows the test day.
        EmbedderError: the folder has no manifest.
    """
    if folder is None:
        return
    details = read_manifest(folder).get("details")
    before_day = details.get("before_day") if isinstance(details, dict) else None
    if isinstance(before_day, int) and test_day < before_day:
        raise SettingsError(
            f"{folder} has learnt from the days before {before_day}, day {test_day} among them, whose clicks are to be "
            "predicted; train one on these logs without --all-days, and use this one for evidence and users alone"
        )
