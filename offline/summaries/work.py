"""One video after another, several at a time: files, speech, the model or text on screen, and the summary."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from evidence.cleaning import strip_summary_prefix
from offline.summaries.compose import summary_of_answer, summary_of_texts
from offline.summaries.endpoint import Endpoint, RefusedError
from offline.summaries.errors import RequestFailedError, StoppedError, VideoFileError
from offline.summaries.frames import Frame, FrameSettings, sample_frames
from offline.summaries.journal import Journal, content_key
from offline.summaries.ocr import TextReader
from offline.summaries.outcome import Look, Outcome
from offline.summaries.prompt import INSTRUCTIONS, JPEG_QUALITY, Answer, known_texts, parse_answer, request_body
from offline.summaries.speech import SpeechReader
from offline.summaries.spending import Prices
from offline.summaries.videos import Video, VideoFiles

_REFUSED = "refused"
_NO_CONCERN = frozenset({"", "no", "none", "n/a", "null", "safe", "无", "没有"})

T = TypeVar("T")


class Bar(Protocol):
    """A progress bar."""

    def update(self, n: int) -> Any:
        """Move it by n steps."""


@dataclass(frozen=True, slots=True)
class Model:
    """How the multimodal model is asked.

    Attributes:
        name: of the model.
        prices: dollars and tokens.
        concurrency: requests at a time.
    """

    name: str
    prices: Prices
    concurrency: int


class Summarizer:
    """Makes summaries. What is in the journal is not done again."""

    def __init__(
        self,
        files: VideoFiles,
        journal: Journal,
        frames: FrameSettings,
        speech: SpeechReader | None = None,
        model: Model | None = None,
        workers: int = 1,
    ) -> None:
        """Prepare the work.

        Args:
            files: where the video files are.
            journal: what is done.
            frames: how frames are sampled.
            speech: transcribes videos that have no speech text; None leaves speech out.
            model: the multimodal model; None composes every summary from texts.
            workers: files that are read at a time, with one thread each.
        """
        self._files, self._journal, self._frames = files, journal, frames
        self._speech, self._model = speech, model
        self._screen = TextReader()
        self._workers = workers
        self._frame_key = list(asdict(frames).values())
        self._threads = ThreadPoolExecutor(workers)

    def look(self, videos: Sequence[Video], bar: Bar) -> list[Look]:
        """Find and hash the files. A file of the same size and time as at the last run is not read."""
        looks = []
        for each in self._threads.map(self._look, videos):
            looks.append(each)
            bar.update(1)
        return looks

    def unanswered(self, videos: Sequence[Video], looks: Sequence[Look]) -> list[dict[str, str]]:
        """Return the texts of each video that the model is to be asked about."""
        if self._model is None:
            return []
        found = []
        for video, look in zip(videos, looks, strict=True):
            speech = self._known_speech(video, look)
            if video.summary or self._journal.get("fault", content_key(look.digest, self._frame_key)):
                continue
            if speech is None or (self._asks(look, speech) and self._stored_answer(video, look, speech) is None):
                found.append(known_texts(video, speech or ""))
        return found

    async def run(
        self, videos: Sequence[Video], looks: Sequence[Look], endpoint: Endpoint | None, bar: Bar
    ) -> list[Outcome]:
        """Return the outcome of each video.

        Raises:
            EndpointError: no request can succeed.
        """
        outcomes: dict[int, Outcome] = {}
        places = iter(range(len(videos)))

        async def work() -> None:
            for place in places:
                outcomes[place] = await self._outcome(videos[place], looks[place], endpoint)
                bar.update(1)

        lanes = max(self._workers, self._model.concurrency if self._model else 1)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(lanes):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [outcomes[place] for place in range(len(videos))]

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    async def _outcome(self, video: Video, look: Look, endpoint: Endpoint | None) -> Outcome:
        outcome = Outcome(file_fault=look.fault)
        if video.summary:
            outcome.summary, outcome.source = strip_summary_prefix(video.summary), "input"
            return outcome
        speech = self._known_speech(video, look)
        if speech is None:
            speech = await self._in_thread(self._read_speech, look, outcome)
        if speech:
            outcome.content = (speech,)
        if endpoint is not None and self._asks(look, speech):
            answer = await self._answer(video, look, speech, endpoint, outcome)
            if answer and (summary := summary_of_answer(answer, video.text)):
                outcome.summary, outcome.source = summary, "model"
                outcome.content += tuple(_texts_of(answer))
                if answer.safety_concern.casefold().strip(" .") not in _NO_CONCERN:
                    outcome.concern = answer.safety_concern
                return outcome
        lines = await self._in_thread(self._read_screen, look, outcome) if look.path else []
        outcome.content += tuple(lines)
        if outcome.file_fault and not speech:
            outcome.pending = False  # there is nothing to ask about
        outcome.summary = summary_of_texts(video.text, lines, speech)
        if outcome.summary:
            outcome.source = "composed"
        return outcome

    async def _answer(
        self, video: Video, look: Look, speech: str, endpoint: Endpoint, outcome: Outcome
    ) -> Answer | None:
        """Return the model's answer, from the journal or from the endpoint; None if there is none."""
        stored = self._stored_answer(video, look, speech)
        if stored is None:
            try:
                stored = await self._asked(video, look, speech, endpoint, outcome)
            except RefusedError:
                stored = _REFUSED
            except RequestFailedError as error:
                outcome.request_fault = error.kind
                return None
            except StoppedError:
                outcome.pending = True
                return None
            if stored is None:
                return None
            self._journal.put("answer", self._answer_key(video, look, speech), stored)
        outcome.refused = stored == _REFUSED
        return None if outcome.refused else Answer.from_dict(stored)

    async def _asked(self, video: Video, look: Look, speech: str, endpoint: Endpoint, outcome: Outcome) -> Any:
        assert self._model is not None
        if endpoint.stopped:
            raise endpoint.stopped
        frames = await self._in_thread(self._sample, look, outcome) if look.path else []
        if not frames and not speech:
            return None
        texts = known_texts(video, speech)
        prices = self._model.prices
        body = await self._in_thread(request_body, self._model.name, prices.max_answer_tokens, texts, frames)
        answer = await endpoint.ask(body, prices.highest_cost(texts, len(frames)), parse_answer)
        return answer.to_dict()

    def _asks(self, look: Look, speech: str) -> bool:
        """Whether the model is asked: the text fields alone are in the source anyway."""
        return bool(look.path or speech)

    def _answer_key(self, video: Video, look: Look, speech: str) -> str:
        assert self._model is not None
        return content_key(
            look.digest, known_texts(video, speech), self._model.name, INSTRUCTIONS, JPEG_QUALITY, self._frame_key
        )

    def _stored_answer(self, video: Video, look: Look, speech: str) -> Any:
        return self._journal.get("answer", self._answer_key(video, look, speech))

    def _look(self, video: Video) -> Look:
        if video.summary:
            return Look()
        try:
            path = self._files.find(video)
            return Look(path, self._digest(path)) if path else Look()
        except VideoFileError as error:
            return Look(fault=error.kind)
        except OSError:
            return Look(fault="unreadable")

    def _digest(self, path: Path) -> str:
        state = path.stat()
        known = self._journal.get("file", str(path))
        if known and known[:2] == [state.st_size, state.st_mtime_ns]:
            return str(known[2])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._journal.put("file", str(path), [state.st_size, state.st_mtime_ns, digest])
        return digest

    def _known_speech(self, video: Video, look: Look) -> str | None:
        """Return the speech text, "" if there is none to be had, None if it has yet to be read."""
        if video.speech or self._speech is None or look.path is None:
            return video.speech
        known: str | None = self._journal.get("speech", content_key(look.digest, self._speech.version))
        return known

    def _read_speech(self, look: Look, outcome: Outcome) -> str:
        assert self._speech is not None
        assert look.path is not None
        try:
            speech = self._speech.read(look.path)
        except VideoFileError as error:
            outcome.file_fault, speech = error.kind, ""
        self._journal.put("speech", content_key(look.digest, self._speech.version), speech)
        return speech

    def _read_screen(self, look: Look, outcome: Outcome) -> list[str]:
        key = content_key(look.digest, self._frame_key, self._screen.version)
        lines: list[str] | None = self._journal.get("screen", key)
        if lines is None:
            frames = self._sample(look, outcome)
            if not frames:
                return []
            lines = self._screen.read(frames)
            self._journal.put("screen", key, lines)
        return lines

    def _sample(self, look: Look, outcome: Outcome) -> list[Frame]:
        """Return the frames of a file, none if it cannot be decoded; that is not tried again."""
        assert look.path is not None
        key = content_key(look.digest, self._frame_key)
        fault: str | None = self._journal.get("fault", key)
        if fault is None:
            try:
                return sample_frames(look.path, self._frames)
            except VideoFileError as error:
                fault = error.kind
                self._journal.put("fault", key, fault)
        outcome.file_fault = fault
        return []

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _texts_of(answer: Answer) -> Iterable[str]:
    for value in answer.to_dict().values():
        yield from [value] if isinstance(value, str) else value
