"""What is known of a video before and after the work on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Look:
    """What is known of a video's file before it is opened.

    Attributes:
        path: the file; None without one, or if it cannot be used.
        digest: the SHA-256 of its bytes, "" without a file.
        fault: why the file cannot be used, "" without a fault.
    """

    path: Path | None = None
    digest: str = ""
    fault: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of one video.

    Attributes:
        summary: "" if nothing is known beyond the text.
        source: "input" (it had a summary), "model", "composed", or "none".
        content: every text that was read on screen, in speech, or in the model's answer.
        file_fault: the kind of fault of its file, "" without one.
        request_fault: the kind of fault of its request, "" without one.
        pending: whether the model is still to be asked, in a later run.
        refused: whether the model refused to describe it.
        concern: the safety concern that the model named, "" without one.
    """

    summary: str = ""
    source: str = "none"
    content: tuple[str, ...] = ()
    file_fault: str = ""
    request_fault: str = ""
    pending: bool = False
    refused: bool = False
    concern: str = ""
