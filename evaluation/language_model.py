"""Questions to a language model behind an OpenAI-compatible endpoint, with the client of the summaries.

The client paces and repeats requests, and stops if the endpoint fails again and again (offline/summaries/endpoint.py).
Nothing is spent beyond one request for each question and its repetitions, so there is no limit in dollars here.
"""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from evaluation.errors import ModelError

if TYPE_CHECKING:
    from offline.summaries.endpoint import Endpoint

KEY_VARIABLE = "ONEBAR_EVALUATION_API_KEY"
"""The environment variable with the API key of both endpoints, the model that is measured and the judge."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A model, and how it is asked.

    Attributes:
        url: the base URL, such as http://localhost:8000/v1.
        name: of the model.
        role: the begin of the options that name it, such as "--judge-", for messages.
        concurrency: the most requests at a time.
        timeout_seconds: of one request.
        attempts: how often a request is made at most.
        max_answer_tokens: of one answer.
    """

    url: str
    name: str
    role: str
    concurrency: int = 4
    timeout_seconds: float = 120.0
    attempts: int = 3
    max_answer_tokens: int = 160


@dataclass(frozen=True, slots=True)
class Question:
    """One chat: the instructions of the system, and what the user says."""

    instructions: str
    text: str


class Unusable(Exception):
    """An answer that cannot be used. Asking again may give another one."""


def ask(
    model: LanguageModel, questions: Sequence[Question], parse: Callable[[str], T], *, show_progress: bool = False
) -> list[T | None]:
    """Return the parsed answer to each question, None where the model refused or its request failed for good.

    Args:
        model: whom to ask.
        questions: equal ones are asked once.
        parse: takes the text of an answer; it raises Unusable if asking again may help.
        show_progress: show a progress bar.

    Raises:
        ModelError: a package for the requests is not installed, no request can succeed, or the endpoint failed several
            times in a row or asks to wait too long.
    """
    different = list(dict.fromkeys(questions))
    if not different:
        return []
    with tqdm(total=len(different), desc=model.name, unit="question", disable=not show_progress) as bar:
        found = asyncio.run(_ask_all(model, different, parse, bar.update))
    answers = dict(zip(different, found, strict=True))
    return [answers[question] for question in questions]


async def _ask_all(
    model: LanguageModel, questions: Sequence[Question], parse: Callable[[str], T], advance: Callable[[int], object]
) -> list[T | None]:
    try:
        from offline.summaries.endpoint import Endpoint, EndpointSettings, RefusedError
        from offline.summaries.errors import RequestFailedError, SummaryError
        from offline.summaries.journal import Journal
        from offline.summaries.prompt import AnswerError
        from offline.summaries.spending import Budget, Prices
    except ModuleNotFoundError as error:
        raise ModelError(
            f"asking a language model needs the package {error.name!r}; install it with: pip install -e '.[summaries]'"
        ) from error

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except Unusable as error:
            raise AnswerError(str(error)) from error

    async def one(endpoint: Endpoint, question: Question) -> T | None:
        try:
            return await endpoint.ask(_body(model, question), 0.0, parsed)
        except (RefusedError, RequestFailedError):
            return None

    prices = Prices(0.0, 0.0, max_answer_tokens=model.max_answer_tokens)
    answers: list[T | None] = [None] * len(questions)
    places = iter(range(len(questions)))

    async def work(endpoint: Endpoint) -> None:
        for place in places:
            answers[place] = await one(endpoint, questions[place])
            advance(1)

    try:
        settings = EndpointSettings(
            model.url,
            model.name,
            os.environ.get(KEY_VARIABLE, ""),
            timeout_seconds=model.timeout_seconds,
            attempts=model.attempts,
            key_variable=KEY_VARIABLE,
            options=model.role,
        )
        with tempfile.TemporaryDirectory() as folder, Journal(Path(folder)) as journal:
            async with Endpoint(settings, prices, Budget(math.inf, journal)) as endpoint:
                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(model.concurrency):
                            group.create_task(work(endpoint))
                except BaseExceptionGroup as errors:
                    raise errors.exceptions[0] from None
    except SummaryError as error:
        raise ModelError(str(error)) from error
    return answers


def _body(model: LanguageModel, question: Question) -> dict[str, Any]:
    return {
        "model": model.name,
        "max_tokens": model.max_answer_tokens,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": question.instructions},
            {"role": "user", "content": question.text},
        ],
    }
