"""The figures that a checkpoint is chosen by: exact HR@8 of beam search, and precision and recall of [REJECT]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers.generation.utils import GenerateBeamEncoderDecoderOutput
from transformers.modeling_outputs import BaseModelOutput

from evidence.abstain import model_abstains
from training.augmentation import Alphabet, weaken_evidence
from training.batches import IGNORED_LABEL, Batch, collate
from training.config import GenerationDefaults, ValidationConfig
from training.data import PackedExamples, Ragged
from training.errors import DivergenceError
from training.generator import Generator
from training.mixture import Pointed, read_pointer, score_targets
from training.model import Device, decoder_logits, encode
from training.tokenizer import special_token_ids

_BATCH = 64


def sample_validation(examples: PackedExamples, config: ValidationConfig, seed: int) -> PackedExamples:
    """Return a fixed random sample of click examples and [REJECT] examples, of the sizes in the configuration."""
    rng = np.random.default_rng(seed)
    chosen = []
    for rejects, wanted in ((False, config.click_examples), (True, config.reject_examples)):
        rows = np.flatnonzero(examples.is_reject == rejects)
        chosen.append(rng.permutation(rows)[:wanted])
    return examples.subset(np.concatenate(chosen))


def validate(
    model: Generator,
    tokenizer: Tokenizer,
    examples: PackedExamples,
    generation: GenerationDefaults,
    reject_threshold: float,
    device: Device,
) -> dict[str, float]:
    """Measure a model in evaluation mode.

    Args:
        model: on `device`.
        tokenizer: of the model.
        examples: of both kinds.
        generation: how beam search runs.
        reject_threshold: P([REJECT]) from which to abstain.
        device: where to compute.

    Returns:
        hr@8 and mrr@8 over click examples (a [REJECT] among the hypotheses is skipped), `loss` per target token over
        click examples, and precision and recall of abstaining by `evidence.abstain` over examples of both kinds, in
        the proportion of the sample.
    """
    special = special_token_ids(tokenizer)
    order = np.argsort(examples.sources.lengths, kind="stable")
    hits, reciprocal, clicks = 0, 0.0, 0
    total_loss, tokens = 0.0, 0
    reject_id = special["reject"]
    p_reject = np.zeros(len(examples))
    with torch.inference_mode(), device.autocast():
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            batch = collate(examples.sources, examples.targets, rows, special["pad"], special["eos"])
            batch = batch.to(device.device)
            states = encode(model, batch.source, batch.source_mask)
            pointed = read_pointer(model, batch.source, batch.source_mask, states)
            scored = score_targets(model, batch, states, pointed=pointed)
            p_reject[rows] = reject_probabilities(model, batch, states, pointed, reject_id)
            is_click = torch.from_numpy(~examples.is_reject[rows]).to(device.device)
            if not is_click.any():
                continue
            total_loss -= float(scored.total[is_click].sum())
            tokens += int(scored.lengths[is_click].sum())
            mask = None if batch.source_mask is None else batch.source_mask[is_click]
            pointed = None if pointed is None else pointed.of(is_click)
            found = search(model, batch.source[is_click], mask, states[is_click], pointed, generation)
            for row, hypotheses in zip(rows[is_click.cpu().numpy()], found, strict=True):
                clicks += 1
                rank = hypothesis_rank(tokenizer, examples.targets[int(row)][:-1].tolist(), hypotheses, reject_id)
                hits += rank > 0
                reciprocal += 1 / rank if rank else 0.0
    return {
        "hr@8": hits / max(clicks, 1),
        "mrr@8": reciprocal / max(clicks, 1),
        "loss": total_loss / max(tokens, 1),
        **reject_quality(p_reject, examples.is_reject, reject_threshold),
    }


def weak_batch(sample: PackedExamples, alphabet: Alphabet, seed: int) -> Batch | None:
    """Return up to 64 clicks of a validation sample with nothing left that supports a query; None without a click."""
    clicks = sample.subset(np.flatnonzero(~sample.is_reject)[:_BATCH])
    if not len(clicks):
        return None
    rows = np.arange(len(clicks))
    own = Ragged(rows.astype(np.int32), np.arange(len(clicks) + 1))
    rng = np.random.default_rng(seed)
    sources, targets = weaken_evidence(clicks.sources, clicks.targets, own, rows, alphabet, rng)
    return collate(sources, targets, rows, alphabet.special["pad"], alphabet.special["eos"])


def weak_rejected(model: Generator, batch: Batch, reject_threshold: float, device: Device) -> float:
    """Return the share of the sources of `weak_batch` at which the model abstains."""
    with torch.inference_mode(), device.autocast():
        batch = batch.to(device.device)
        states = encode(model, batch.source, batch.source_mask)
        pointed = read_pointer(model, batch.source, batch.source_mask, states)
        probabilities = reject_probabilities(model, batch, states, pointed, int(batch.labels[0, 0]))
    return sum(model_abstains(p, reject_threshold) for p in probabilities.tolist()) / len(probabilities)


def generate(
    model: Generator,
    source: Tensor,
    mask: Tensor | None,
    generation: GenerationDefaults,
) -> list[list[list[int]]]:
    """Search the most probable queries of the mixture.

    Beam search by transformers finds those of the decoder, and the pointer adds the entries.

    Args:
        model: in evaluation mode.
        source: int64 [B, S].
        mask: int64 [B, S], or None when nothing is padded.
        generation: how beam search runs.

    Returns:
        For each source its `num_beams` best hypotheses, best first, as token ids without what follows their end.
    """
    states = encode(model, source, mask)
    return search(model, source, mask, states, read_pointer(model, source, mask, states), generation)


def search(
    model: Generator,
    source: Tensor,
    mask: Tensor | None,
    states: Tensor,
    pointed: Pointed | None,
    generation: GenerationDefaults,
) -> list[list[list[int]]]:
    """Do what `generate` does, with the encoder states [B, S, D] of the sources and what the pointer says of them.

    Raises:
        DivergenceError: the states are not finite. A search among them would return queries all the same.
    """
    if not bool(torch.isfinite(states).all()):
        raise DivergenceError("the encoder's states are not finite: damaged weights, or a device that miscalculates")
    full_mask = torch.ones_like(source) if mask is None else mask
    made = model.generate(
        input_ids=source,
        attention_mask=full_mask,
        encoder_outputs=BaseModelOutput(last_hidden_state=states),  # type: ignore[arg-type]
        num_beams=generation.num_beams,
        num_return_sequences=generation.num_beams,
        length_penalty=generation.length_penalty,
        early_stopping=generation.early_stopping,
        max_new_tokens=generation.max_new_tokens,
        min_new_tokens=generation.min_new_tokens,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    assert isinstance(made, GenerateBeamEncoderDecoderOutput)
    assert made.sequences_scores is not None
    beams = (source.shape[0], generation.num_beams)
    ids: list[list[list[int]]] = made.sequences.view(*beams, -1)[:, :, 1:].tolist()
    scores: list[list[float]] = made.sequences_scores.view(*beams).tolist()
    pad, penalty = model.config.pad_token_id, generation.length_penalty
    answers = []
    for row in range(beams[0]):
        found: dict[tuple[int, ...], float] = {}  # log p(q | x)
        for tokens, score in zip(ids[row], scores[row], strict=True):
            query = tuple(token for token in tokens if token != pad)
            found.setdefault(query, score * float(len(query)) ** penalty)
        if pointed is not None:
            found = _add_entries(found, pointed, row)
        ranked = sorted(found, key=lambda query: -found[query] / float(len(query)) ** penalty)
        answers.append([list(query) for query in ranked[: generation.num_beams]])
    return answers


def reject_probabilities(
    model: Generator, batch: Batch, states: Tensor, pointed: Pointed | None, reject_id: int
) -> NDArray[np.float64]:
    """Return P([REJECT]) as the first token, of the mixture, for each source [B]."""
    start = batch.decoder_input[:, :1]
    logits = decoder_logits(model, states, batch.source_mask, None, start, torch.ones_like(start, dtype=torch.bool))
    log_p = torch.log_softmax(logits.float(), dim=-1)[:, reject_id]
    if pointed is not None:
        log_p = log_p + pointed.generate
    probabilities: NDArray[np.float64] = log_p.exp().double().cpu().numpy()
    return probabilities


def _add_entries(found: dict[tuple[int, ...], float], pointed: Pointed, row: int) -> dict[tuple[int, ...], float]:
    """Return log p(q | x) of the mixture, from that of the decoder and the pointer's entries of one source."""
    generate = float(pointed.generate[row])
    mixed = {query: generate + logprob for query, logprob in found.items()}
    for tokens, logprob in zip(pointed.tokens[row].tolist(), pointed.entries[row].tolist(), strict=True):
        query = tuple(token for token in tokens if token != IGNORED_LABEL)
        if query:
            mixed[query] = float(np.logaddexp(mixed.get(query, -np.inf), logprob))
    return mixed


def hypothesis_rank(
    tokenizer: Tokenizer, target: Sequence[int], hypotheses: Sequence[Sequence[int]], reject_id: int
) -> int:
    """Return the rank of the target's text among distinct hypotheses, from 1; 0 when it is not among them."""
    wanted = tokenizer.decode(list(target), skip_special_tokens=True).strip()
    seen: set[str] = set()
    for hypothesis in hypotheses:
        if hypothesis and hypothesis[0] == reject_id:
            continue
        text = tokenizer.decode(list(hypothesis), skip_special_tokens=True).strip()
        if text in seen:
            continue
        seen.add(text)
        if text == wanted:
            return len(seen)
    return 0


def reject_quality(
    probabilities: NDArray[np.float64], is_reject: NDArray[np.bool_], threshold: float
) -> dict[str, float]:
    """Return precision and recall of abstaining (evidence.abstain), 0 where a share is undefined.

    Args:
        probabilities: float64 [n], P([REJECT]) as the first token.
        is_reject: bool [n], whether [REJECT] is the target.
        threshold: the probability from which to abstain.
    """
    abstained = np.array([model_abstains(probability, threshold) for probability in probabilities.tolist()], bool)
    right = int((abstained & is_reject).sum())
    return {
        "reject_precision": right / max(int(abstained.sum()), 1),
        "reject_recall": right / max(int(is_reject.sum()), 1),
        "click_abstained": int((abstained & ~is_reject).sum()) / max(int((~is_reject).sum()), 1),
    }
