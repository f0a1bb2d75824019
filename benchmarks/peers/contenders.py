"""One way of answering, behind one interface: a batch of prepared sources in, that many lists of answers out.

What a server would do once for a request outside of the model (tokens as text, tensors) is done in `prepare`, and is
not timed. What it must do to batch (padding) is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from generation.beam import Hypothesis
from generation.bundle import SpecialTokens
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.scheduler import Scheduler
from model_export.parity import Answers, generation_config, reference_answers

Source = list[int]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of answering.

    prepare: a source into what `answer` takes.
    answer: answers a batch of prepared sources; what it returns is not looked at while time is taken.
    hypotheses: answers sources for comparison, with scores, so many at once.
    batches: sizes of batch that are worth trying where requests wait; (1,) where it takes one at a time.
    submit: for what batches by itself, one request among others.
    slow: too slow for as many rounds as the others; it has a few.
    """

    name: str
    prepare: Callable[[Source], Any]
    answer: Callable[[Sequence[Any]], object]
    hypotheses: Callable[[Sequence[Source], int], Answers]
    batches: tuple[int, ...] = (1,)
    submit: Callable[[Any], Awaitable[object]] | None = None
    slow: bool = False

    @property
    def takes_many(self) -> bool:
        """Whether it gains by having several requests before it."""
        return self.submit is not None or len(self.batches) > 1


def engine_contender(name: str, engine: Engine, options: GenerationOptions) -> Contender:
    """The engine, one request at a time."""
    return Contender(
        name,
        prepare=lambda source: source,
        answer=lambda batch: [engine.generate(GenerationRequest(source, options)) for source in batch],
        hypotheses=lambda sources, _: [
            engine.generate(GenerationRequest(source, options)).hypotheses for source in sources
        ],
    )


def in_flight_contender(name: str, scheduler: Scheduler, options: GenerationOptions) -> Contender:
    """The engine's scheduler, which steps the requests of all clients together."""

    async def together(sources: Sequence[Source]) -> Answers:
        found = await asyncio.gather(*(scheduler.submit(GenerationRequest(source, options)) for source in sources))
        return [generation.hypotheses for generation in found]

    return Contender(
        name,
        prepare=lambda source: source,
        answer=lambda batch: [scheduler.generate(GenerationRequest(source, options)) for source in batch],
        hypotheses=lambda sources, at_once: [
            answer for group in _groups(sources, at_once) for answer in asyncio.run(together(group))
        ],
        submit=lambda source: scheduler.submit(GenerationRequest(source, options)),
    )


def generate_contender(name: str, model: Any, options: GenerationOptions, specials: SpecialTokens) -> Contender:
    """`model.generate` of transformers, or of optimum, in padded batches."""
    config = generation_config(options, specials)
    # What is unset there would be taken from the model's own configuration, forced tokens for example.
    model.generation_config = config

    def answer(batch: Sequence[torch.Tensor]) -> object:
        ids = torch.nn.utils.rnn.pad_sequence(list(batch), batch_first=True, padding_value=specials.pad)
        with torch.inference_mode():
            return model.generate(
                input_ids=ids, attention_mask=(ids != specials.pad).long(), generation_config=config
            ).tolist()

    def hypotheses(sources: Sequence[Source], at_once: int) -> Answers:
        found = [
            answer
            for group in _groups(sources, at_once)
            for answer in reference_answers(model, group, options, specials, name, quiet=True)
        ]
        model.generation_config = config
        return found

    return Contender(name, torch.tensor, answer, hypotheses, batches=(1, 4, 8), slow=True)


def transformers_contender(checkpoint: Any, options: GenerationOptions) -> Contender:
    """Return the contender of transformers on torch, fp32."""
    return generate_contender("transformers fp32", checkpoint.model, options, checkpoint.special_tokens)


def optimum_contender(folder: Path, options: GenerationOptions, specials: SpecialTokens) -> Contender:
    """Return the contender of optimum's ORTModelForSeq2SeqLM, fp32, one intra-op thread."""
    from optimum.onnxruntime import ORTModelForSeq2SeqLM  # seconds to import

    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = 1
    session_options.inter_op_num_threads = 1
    model = ORTModelForSeq2SeqLM.from_pretrained(folder, session_options=session_options)
    return generate_contender("optimum ORT fp32", model, options, specials)


def ctranslate2_contender(
    folder: Path, options: GenerationOptions, specials: SpecialTokens, compute_type: str = "int8"
) -> Contender:
    """CTranslate2, one translator of one thread. `folder` was converted with ids as tokens."""
    import ctranslate2  # here, because its environment is read when it is loaded

    translator = ctranslate2.Translator(str(folder), compute_type=compute_type, inter_threads=1, intra_threads=1)
    eos = str(specials.eos)
    settings = {
        "beam_size": options.num_beams,
        "num_hypotheses": options.num_return_sequences,
        "length_penalty": options.length_penalty,
        "min_decoding_length": options.min_new_tokens,
        "max_decoding_length": options.max_new_tokens,
        "return_scores": True,
    }

    def answer(batch: Sequence[list[str]]) -> list[Any]:
        found: list[Any] = translator.translate_batch(list(batch), max_batch_size=len(batch), **settings)
        return found

    def hypotheses(sources: Sequence[Source], at_once: int) -> Answers:
        found = translator.translate_batch(
            [_as_text(source) for source in sources], max_batch_size=at_once, return_end_token=True, **settings
        )
        return [
            tuple(
                _read(tokens, score, eos, options) for tokens, score in zip(each.hypotheses, each.scores, strict=True)
            )
            for each in found
        ]

    return Contender("CTranslate2 int8", _as_text, answer, hypotheses, batches=(1, 2, 3, 4, 6, 8, 16))


def _groups(sources: Sequence[Source], size: int) -> Iterator[Sequence[Source]]:
    for start in range(0, len(sources), size):
        yield sources[start : start + size]


def _as_text(source: Source) -> list[str]:
    return [str(token_id) for token_id in source]


def _read(tokens: list[str], score: float, eos: str, options: GenerationOptions) -> Hypothesis:
    finished = tokens[-1:] == [eos]
    token_ids = tuple(int(token) for token in (tokens[:-1] if finished else tokens))
    length = np.float64(len(tokens)) ** options.length_penalty
    return Hypothesis(token_ids, float(score * length), score, finished)
