"""Whether exported graphs give the answers of the checkpoint: running the references, and comparing hypotheses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tqdm import tqdm
from transformers import GenerationConfig

from generation.beam import Hypothesis
from generation.bundle import SpecialTokens
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest

Answers = list[tuple[Hypothesis, ...]]
BATCH = 16


@dataclass(frozen=True, slots=True)
class Comparison:
    """How equal two sets of answers are.

    Attributes:
        inputs: the number of sources.
        identical_lists: the share of sources whose hypotheses are the same tokens in the same order.
        identical_tops: the share of sources whose best hypothesis is the same tokens.
        mean_overlap: the mean share of hypotheses that both lists have, at any rank.
        max_score_difference: over the hypotheses that both lists of a source have.
    """

    inputs: int
    identical_lists: float
    identical_tops: float
    mean_overlap: float
    max_score_difference: float

    def to_dict(self) -> dict[str, float]:
        """Return the comparison in the form of the manifest."""
        return asdict(self)


def compare(answers: Answers, references: Answers) -> Comparison:
    """Compare answers with reference answers to the same sources, in the same order.

    Raises:
        ValueError: there are no answers, or the numbers differ.
    """
    if not answers or len(answers) != len(references):
        raise ValueError(f"cannot compare {len(answers)} answers with {len(references)} references")
    lists = tops = 0
    overlap = difference = 0.0
    for answer, reference in zip(answers, references, strict=True):
        expected = {hypothesis.token_ids: hypothesis.score for hypothesis in reference}
        lists += [h.token_ids for h in answer] == [h.token_ids for h in reference]
        tops += answer[0].token_ids == reference[0].token_ids
        shared = [h for h in answer if h.token_ids in expected]
        overlap += len(shared) / len(reference)
        difference = max([difference, *(abs(h.score - expected[h.token_ids]) for h in shared)])
    count = len(answers)
    return Comparison(count, lists / count, tops / count, overlap / count, difference)


def engine_answers(engine: Engine, sources: Sequence[Sequence[int]], options: GenerationOptions) -> Answers:
    """Answer every source with an exported bundle."""
    name = f"bundle, {engine.bundle.precision}"
    return [engine.generate(GenerationRequest(source, options)).hypotheses for source in tqdm(sources, desc=name)]


def generation_config(options: GenerationOptions, specials: SpecialTokens, **more: Any) -> GenerationConfig:
    """Return the options of the engine as those of transformers' `generate`.

    Args:
        options: as the engine takes them.
        specials: of the tokenizer.
        more: further fields of the result.
    """
    return GenerationConfig(  # type: ignore[no-untyped-call]
        **{key: value for key, value in options.to_dict().items() if key != "min_new_tokens"},
        min_new_tokens=options.min_new_tokens or None,
        bos_token_id=specials.bos,
        pad_token_id=specials.pad,
        eos_token_id=specials.eos,
        decoder_start_token_id=specials.decoder_start,
        **more,
    )


def reference_answers(
    model: Any,
    sources: Sequence[Sequence[int]],
    options: GenerationOptions,
    specials: SpecialTokens,
    name: str = "transformers",
    *,
    quiet: bool = False,
) -> Answers:
    """Answer every source with `model.generate`, in padded batches of uneven length.

    Args:
        model: a transformers model, or an optimum one with the same `generate`.
        sources: token ids of each source.
        options: as the engine takes them.
        specials: of the tokenizer.
        name: of the progress bar.
        quiet: show no progress bar.
    """
    config = generation_config(options, specials, return_dict_in_generate=True, output_scores=True)
    # transformers reads from here what is unset above, forced tokens for example.
    model.generation_config = config
    answers: Answers = []
    with torch.inference_mode(), tqdm(total=len(sources), desc=name, disable=quiet) as progress:
        for batch in _batches(sources):
            ids, mask = _pad(batch, specials.pad)
            made = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
            rows = zip(made.sequences.tolist(), made.sequences_scores.tolist(), strict=True)
            hypotheses = [_hypothesis(row[1:], score, options, specials.eos) for row, score in rows]
            each = options.num_return_sequences
            answers += [tuple(hypotheses[start : start + each]) for start in range(0, len(hypotheses), each)]
            progress.update(len(batch))
    return answers


def _batches(sources: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    for start in range(0, len(sources), BATCH):
        yield sources[start : start + BATCH]


def _pad(batch: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, batch))
    ids = torch.tensor([[*source, *[pad] * (longest - len(source))] for source in batch])
    mask = torch.tensor([[1] * len(source) + [0] * (longest - len(source)) for source in batch])
    return ids, mask


def _hypothesis(ids: list[int], score: float, options: GenerationOptions, eos: int) -> Hypothesis:
    """Read one row of `sequences`: padding follows only after the end, so without one the row is full."""
    finished = eos in ids
    token_ids = tuple(ids[: ids.index(eos)]) if finished else tuple(ids[: options.max_new_tokens])
    length = len(token_ids) + finished
    return Hypothesis(token_ids, score * float(length) ** options.length_penalty, score, finished)
