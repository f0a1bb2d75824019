"""A whole run: from a table of videos to the files of the folder OUT."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from evidence.safety import ProhibitedTerms
from evidence.term_list import load_terms
from offline.logs.tables import read_table
from offline.summaries.endpoint import Endpoint, EndpointSettings
from offline.summaries.frames import FrameSettings
from offline.summaries.grades import Verdict, read_grades
from offline.summaries.journal import Journal
from offline.summaries.outcome import Look, Outcome
from offline.summaries.outputs import Report, is_log_table, make_report, without_own_summaries, write_outputs
from offline.summaries.safety import known_verdicts, label
from offline.summaries.speech import SpeechReader
from offline.summaries.spending import Budget, Prices, estimate
from offline.summaries.videos import Video, VideoFiles, find_table, read_videos
from offline.summaries.work import Model, Summarizer


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The multimodal model of a run.

    Attributes:
        endpoint: how it is asked.
        prices: dollars and tokens.
        max_cost: dollars that a run may cost.
        concurrency: requests at a time.
    """

    endpoint: EndpointSettings
    prices: Prices
    max_cost: float = 10.0
    concurrency: int = 4


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a run does.

    Attributes:
        files: the folder with the video files; None makes summaries of texts alone.
        frames: how frames are sampled.
        workers: files that are read at a time, with one thread each.
        speech_model: a folder with a Whisper model; None leaves speech out where the input has none.
        model: the multimodal model; None composes every summary.
        replace: make summaries also for the videos that have one.
        terms: the list of prohibited terms; None takes `prohibited_terms.tsv` beside the table, if there is one.
        grades: the review file; None if there is none.
        default_day: the day of upload of videos without one.
    """

    files: Path | None = None
    frames: FrameSettings = field(default_factory=FrameSettings)
    workers: int = 1
    speech_model: Path | None = None
    model: ModelSettings | None = None
    replace: bool = False
    terms: Path | None = None
    grades: Path | None = None
    default_day: int = 0


def summarize(
    videos_path: Path, out: Path, settings: JobSettings, say: Callable[[str], None], *, only_estimate: bool = False
) -> Report | None:
    """Make the summaries of a table of videos, and write the files of the folder `out`.

    What an earlier run into the same folder has done is not done again, also if that run was killed.

    Args:
        videos_path: a .parquet or .jsonl file, or a folder of log tables.
        out: the folder.
        settings: of the run.
        say: takes the estimate, before the first request.
        only_estimate: end after the estimate.

    Returns:
        The report, None after an estimate alone.

    Raises:
        SummaryError: an input, the journal or the endpoint cannot be used.
        TableError: a log table does not follow its schema.
        TermListError: the list of prohibited terms cannot be read.
    """
    begun = time.perf_counter()
    table = find_table(videos_path)
    videos = read_videos(table)
    terms = _terms(table, settings.terms)
    grades = read_grades(settings.grades) if settings.grades else {}
    known = _known(table)
    speech = SpeechReader(settings.speech_model, settings.workers) if settings.speech_model else None
    with Journal(out) as journal:
        videos = without_own_summaries(videos, out)
        if settings.replace:
            videos = [replace(video, summary="") for video in videos]
        model = settings.model
        asked = Model(model.endpoint.model, model.prices, model.concurrency) if model else None
        work = Summarizer(VideoFiles(settings.files), journal, settings.frames, speech, asked, settings.workers)
        try:
            with _bar("files", len(videos)) as bar:
                looks = work.look(videos, bar)
            if model:
                texts = work.unanswered(videos, looks)
                needed = estimate(texts, settings.frames.frames, model.prices, model.endpoint.requests_per_minute)
                say(needed.to_text(model.max_cost))
            if only_estimate:
                return None
            outcomes, endpoint, budget = asyncio.run(_run(work, videos, looks, model, journal))
        finally:
            work.close()
        safety = label(videos, outcomes, terms, grades, known, settings.default_day)
        report = make_report(
            outcomes,
            safety,
            requests=endpoint.counts if endpoint else Counter(),
            stopped=str(endpoint.stopped or "") if endpoint else "",
            dollars=budget.spent if budget else 0.0,
            limit=budget.limit if budget else 0.0,
            seconds=time.perf_counter() - begun,
        )
        write_outputs(out, table, videos, outcomes, safety, report)
        if budget:
            journal.end_run()
    return report


async def _run(
    work: Summarizer, videos: Sequence[Video], looks: Sequence[Look], model: ModelSettings | None, journal: Journal
) -> tuple[list[Outcome], Endpoint | None, Budget | None]:
    with _bar("videos", len(videos)) as bar:
        if model is None:
            return await work.run(videos, looks, None, bar), None, None
        budget = Budget(model.max_cost, journal)
        async with Endpoint(model.endpoint, model.prices, budget) as endpoint:
            return await work.run(videos, looks, endpoint, bar), endpoint, budget


def _bar(name: str, total: int) -> tqdm[Any]:
    return tqdm(desc=name, total=total, unit="video", disable=None)


def _terms(table: Path, path: Path | None) -> ProhibitedTerms:
    if path is None:
        path = table.with_name("prohibited_terms.tsv")
        if not path.is_file():
            return ProhibitedTerms(())
    return ProhibitedTerms(load_terms(path))


def _known(table: Path) -> dict[str, Verdict]:
    """Return the verdicts of the table `reviews` beside a log table."""
    if not is_log_table(table) or not table.with_name("reviews.parquet").is_file():
        return {}
    return known_verdicts(read_table(table.parent, "reviews"))
