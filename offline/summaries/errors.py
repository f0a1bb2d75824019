"""Errors of the summaries.

    OfflineError
    └── SummaryError
        ├── InputError          the table of videos, an option or the review file has another form
        ├── JournalError        the journal of the output folder cannot be used
        ├── EndpointError       no request can succeed: the key, the URL or the model is wrong
        ├── VideoFileError      one video file cannot be read; it is counted, and the run goes on
        ├── RequestFailedError  one request failed for good; it is counted, and the run goes on
        └── StoppedError        no further request is made in this run; its other videos are composed

Every message says what is wrong and how to correct it.
"""

from __future__ import annotations

from offline.errors import OfflineError


class SummaryError(OfflineError):
    """Base of the errors of this package."""


class InputError(SummaryError):
    """The table of videos, an option or the review file has another form than documented."""


class JournalError(SummaryError):
    """The journal of the output folder is damaged, or another process uses it."""


class EndpointError(SummaryError):
    """No request to the endpoint can succeed as it is configured."""


class StoppedError(SummaryError):
    """No further request is made in this run. The message is the reason."""


class VideoFileError(SummaryError):
    """A video file cannot be read.

    Attributes:
        kind: what the report counts, such as "damaged".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class RequestFailedError(SummaryError):
    """A request failed for good.

    Attributes:
        kind: what the report counts, such as "status 500".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
