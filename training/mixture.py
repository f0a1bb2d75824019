"""Log-probabilities of the generator: the mixture of its decoder and its pointer (training/generator.py).

All of it is exact. The next token of the mixture behind a prefix is the decoder's, or that of an entry that begins with
the prefix, each weighted by its probability up to there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.batches import IGNORED_LABEL, Batch
from training.entries import locate_entries
from training.generator import NOTHING, Generator
from training.model import decoder_logits, encode


@dataclass(frozen=True, slots=True)
class Pointed:
    """What the pointer says about B sources with at most E entries.

    Attributes:
        generate: fp32 [B], log p(generate | x).
        entries: fp32 [B, E], log p(e | x).
        tokens: int64 [B, E, L], the tokens of an entry and </s>, IGNORED_LABEL behind it.
    """

    generate: Tensor
    entries: Tensor
    tokens: Tensor

    def of(self, source_of: Tensor | None) -> Pointed:
        """Return the same for N targets; see `Batch.source_of`."""
        if source_of is None:
            return self
        return Pointed(self.generate[source_of], self.entries[source_of], self.tokens[source_of])


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities of N targets.

    Attributes:
        total: fp32 [N], log p(q | x), less what label smoothing takes.
        lengths: int64 [N], tokens of each target, its end included.
        correct: fp32 scalar, the share of tokens that the decoder finds most likely.
        pointed: fp32 scalar, the mean share of p(q | x) that the pointer has.
    """

    total: Tensor
    lengths: Tensor
    correct: Tensor
    pointed: Tensor


def read_pointer(model: Generator, source: Tensor, mask: Tensor | None, states: Tensor) -> Pointed | None:
    """Return what the pointer says about sources [B, S] with encoder states [B, S, D]; None without a pointer."""
    if model.pointer is None:
        return None
    config = model.config
    lengths = torch.full_like(source[:, 0], source.shape[1]) if mask is None else mask.sum(1)
    end = config.eos_token_id
    assert end is not None
    found = locate_entries(source, lengths, config.pointer_separator, config.pointer_between, end)
    generate, logprobs = model.pointer(model.values_of(states), found.starts, found.places, found.present)
    return Pointed(generate, logprobs, found.tokens)


def score_batch(model: Generator, batch: Batch, label_smoothing: float = 0.0) -> Scored:
    """Return the log-probabilities of the targets of a batch."""
    states = encode(model, batch.source, batch.source_mask)
    return score_targets(model, batch, states, label_smoothing)


def score_targets(
    model: Generator, batch: Batch, states: Tensor, label_smoothing: float = 0.0, pointed: Pointed | None = None
) -> Scored:
    """Return the log-probabilities of the targets of a batch.

    Args:
        model: a generator.
        batch: sources and targets.
        states: [B, S, D] of its encoder.
        label_smoothing: share of the target probability that is spread over the vocabulary.
        pointed: of its pointer; read here when None.
    """
    counts = batch.labels != IGNORED_LABEL  # [N, T]
    logits = decoder_logits(model, states, batch.source_mask, batch.source_of, batch.decoder_input, counts)
    labels = batch.labels[counts]  # [P]
    losses = F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=label_smoothing)
    generated = _by_target(-losses, counts)
    correct = (logits.detach().argmax(dim=-1) == labels).float().mean()
    total, share = generated, torch.zeros((), device=generated.device)
    if pointed is None:
        pointed = read_pointer(model, batch.source, batch.source_mask, states)
    if pointed is not None:
        mixed = pointed.of(batch.source_of)
        copied = torch.logsumexp(mixed.entries.masked_fill(~_equal(mixed.tokens, batch.labels), NOTHING), dim=1)
        total = torch.logaddexp(mixed.generate + generated, copied)
        share = (copied - total).detach().exp().mean()
    return Scored(total, counts.sum(dim=1), correct, share)


def mixture_log_p(logits: Tensor, pointed: Pointed | None, decoder_input: Tensor, counts: Tensor) -> Tensor:
    """Return log p(w | prefix, x) of the mixture [P, V] behind the P prefixes that count.

    Args:
        logits: [P, V] of the decoder.
        pointed: of the N targets; None without a pointer.
        decoder_input: int64 [N, T], the start token and the prefixes.
        counts: bool [N, T], with P times True, all prefixes of a target before the first False.
    """
    log_p = torch.log_softmax(logits.float(), dim=-1)  # [P, V]
    if pointed is None:
        return log_p
    rows, steps = counts.nonzero(as_tuple=True)  # [P]
    follows = torch.zeros_like(counts)
    follows[:, :-1] = counts[:, 1:]
    given = decoder_input.roll(-1, dims=1)  # the token behind each prefix, where another prefix follows
    taken = log_p.gather(1, given[counts][:, None]).squeeze(1).masked_fill(~follows[counts], 0.0)  # [P]
    before = torch.zeros(counts.shape, device=log_p.device).masked_scatter(counts, taken)
    before = before.cumsum(dim=1) - before  # [N, T], log p_BART of each prefix

    length = decoder_input.shape[1]
    tokens = _cut(pointed.tokens, length)  # [N, E, T]
    same = tokens[:, :, :-1] == decoder_input[:, None, 1:]  # [N, E, T - 1]
    begins = torch.ones_like(tokens, dtype=torch.bool)
    begins[:, :, 1:] = same.cumprod(dim=2).bool()
    masses = pointed.entries[:, :, None].masked_fill(~begins | (tokens == IGNORED_LABEL), NOTHING)  # [N, E, T]
    masses, following = masses[rows, :, steps], tokens[rows, :, steps].clamp(min=0)  # [P, E]
    generated = (pointed.generate[:, None] + before)[counts]  # [P]
    total = torch.logaddexp(generated, torch.logsumexp(masses, dim=1))
    p = log_p.exp() * (generated - total).exp()[:, None]
    p = p.scatter_add(1, following, (masses - total[:, None]).exp())
    return p.clamp(min=1e-30).log()


def _equal(tokens: Tensor, labels: Tensor) -> Tensor:
    """Return bool [N, E], whether an entry [N, E, L] is the target [N, T]."""
    length = max(tokens.shape[2], labels.shape[1])
    return (_cut(tokens, length) == _cut(labels, length)[:, None]).all(dim=2)


def _cut(tokens: Tensor, length: int) -> Tensor:
    """Return tokens with a last dimension of `length`, cut or filled with IGNORED_LABEL."""
    return F.pad(tokens[..., :length], (0, max(0, length - tokens.shape[-1])), value=IGNORED_LABEL)


def _by_target(values: Tensor, counts: Tensor) -> Tensor:
    """Sum values [P] over the positions of each target [N]."""
    return torch.zeros(counts.shape, device=values.device).masked_scatter(counts, values).sum(dim=1)
