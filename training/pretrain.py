"""Stage 0: BART's denoising on the shop's own text, before any click is seen.

Why: no public checkpoint is at hand, and copying a model name out of the evidence, most of what a query is, must be
learnt somewhere. Denoising asks for nothing else and needs no click. Where clicks are scarce it is worth points of
HR@8; where there are hundreds of thousands, fine-tuning learns to copy by itself (docs/training.md has both figures).

Two objectives share the run (`noising.document_share` of the documents take the first):

- document: every segment is infilled, segments may be permuted, the whole original is the target. It has some fifty
  target tokens to a source, so it is where copying is learnt fastest, and each step costs two to three times as much.
- segment: one unit (the text, the summary, or a single query of anchors, histories or personal) is infilled and the
  rest stays whole; the target is that unit alone. "Find the mask, copy around it, and fill it from what the other
  fields say" is the downstream task in all but name, and its targets are as short as queries.

Documents are rendered evidence, in the very schema of eq. (4), and lists of five logged queries in its five segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BartForConditionalGeneration

from evidence.cleaning import clean_query
from training.checkpoint import CheckpointMeta, save_checkpoint
from training.config import NoisingConfig, PretrainConfig, to_dict
from training.data import Batch, PackedBatches, PackedExamples, Ragged, file_hash, load_examples, plan_batches
from training.errors import DataError
from training.loop import Progress, Stage, train
from training.losses import sft_loss, token_accuracy
from training.model import Device, choose_device, target_logits
from training.noising import infill, join_segments, split_on, split_segments, word_start_table
from training.start import start_from
from training.tokenizer import special_token_ids

_SEGMENTS = 5
_QUERY_FIELDS = (2, 3, 4)


@dataclass(frozen=True, slots=True)
class Noise:
    """What noising needs to know of a tokenizer."""

    config: NoisingConfig
    word_starts: NDArray[np.bool_]
    special: Mapping[str, int]
    between: int
    max_positions: int

    def infill(self, ids: Sequence[int], ratio: float, rng: np.random.Generator) -> list[int]:
        """Infill one segment."""
        return infill(ids, self.word_starts, self.special["mask"], ratio, self.config.span_lambda, rng)


def noised_pair(document: Sequence[int], noise: Noise, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Return (source, target ending in </s>) of one document `<s> .. [SEP] .. </s>`."""
    bos, sep, eos = (noise.special[name] for name in ("bos", "sep", "eos"))
    segments = split_segments(document, sep)
    if rng.random() < noise.config.document_share:
        noised = [noise.infill(segment, noise.config.mask_ratio, rng) for segment in segments]
        target = [*document[1:-1], eos]
    else:
        noised = [list(segment) for segment in segments]
        filled = [i for i, segment in enumerate(segments) if segment]
        if not filled:
            raise DataError("a document without any text cannot be noised")
        chosen = int(rng.choice(filled))
        units = split_on(segments[chosen], noise.between) if chosen in _QUERY_FIELDS else [segments[chosen]]
        unit = int(rng.integers(len(units)))
        target = [*units[unit], eos]
        units[unit] = noise.infill(units[unit], noise.config.segment_mask_ratio, rng)
        noised[chosen] = [i for n, part in enumerate(units) for i in ([noise.between, *part] if n else part)]
    if rng.random() < noise.config.permute_probability:
        noised = [noised[i] for i in rng.permutation(len(noised))]
    source = join_segments(noised, bos, sep, eos)
    if len(source) > noise.max_positions:
        source = [*source[: noise.max_positions - 1], eos]
    return source, target


@dataclass(frozen=True, slots=True)
class Corpus:
    """Rendered sources, each once, and the ids of logged queries; `query_share` of documents are lists of queries."""

    sources: Ragged
    queries: Ragged
    query_share: float = 0.3

    def draw(self, noise: Noise, rng: np.random.Generator) -> list[int]:
        """Return one document."""
        if rng.random() < self.query_share:
            picked = rng.integers(len(self.queries), size=_SEGMENTS)
            segments = [self.queries[int(i)].tolist() for i in picked]
            return join_segments(segments, noise.special["bos"], noise.special["sep"], noise.special["eos"])
        document: list[int] = self.sources[int(rng.integers(len(self.sources)))].tolist()
        return document


def make_corpus(examples: PackedExamples, tokenizer: Tokenizer, world: Path | None, last_day: int) -> Corpus:
    """Gather what Stage 0 reads: the examples' sources, and queries searched up to `last_day` (or the targets)."""
    unique = {examples.sources[i].tobytes(): i for i in range(len(examples))}
    sources = examples.sources.take(sorted(unique.values()))
    if world is None:
        clicks = np.flatnonzero(~examples.is_reject)
        rows = [examples.targets[int(i)][:-1].tolist() for i in clicks]
    else:
        path = world / "searches.parquet"
        if not path.is_file():
            raise DataError(f"{path} is missing; leave --world out to learn from the examples alone")
        table = pq.read_table(path, columns=["day", "query"])
        logged = {row["query"] for row in table.to_pylist() if row["day"] <= last_day}
        rows = [tokenizer.encode(clean_query(q), add_special_tokens=False).ids for q in sorted(logged)]
    rows = [row for row in rows if row and len(row) <= 16]
    if not rows:
        raise DataError("no query to learn from: the examples hold no clicks, or the log no searches")
    return Corpus(sources, Ragged.from_lists(rows))


def noised_epoch(corpus: Corpus, noise: Noise, documents: int, batch_size: int, seed: tuple[int, ...]) -> PackedBatches:
    """Draw and noise documents and plan their batches; the same seed gives the same epoch."""
    rng = np.random.default_rng(seed)
    pairs = [noised_pair(corpus.draw(noise, rng), noise, rng) for _ in range(documents)]
    sources = Ragged.from_lists([source for source, _ in pairs])
    targets = Ragged.from_lists([target for _, target in pairs])
    # Long targets apart from short ones: half a batch of padding in the decoder would undo what they save.
    lengths = sources.lengths + 1000 * (targets.lengths > 24)
    plan = plan_batches(lengths, targets.lengths, batch_size, rng)
    return PackedBatches(sources, targets, plan, noise.special["pad"], noise.special["eos"])


def evaluate_denoising(model: BartForConditionalGeneration, batches: PackedBatches, device: Device) -> dict[str, float]:
    """Return loss and token accuracy per target token over held-out documents, and accuracy on short targets alone."""
    totals = np.zeros(5)
    with torch.inference_mode(), device.autocast():
        for index in range(len(batches)):
            batch = batches[index].to(device.device)
            logits, labels, _ = target_logits(model, batch)
            correct, tokens = float(token_accuracy(logits, labels)) * len(labels), len(labels)
            short = batch.labels.shape[1] <= 24
            totals += [float(sft_loss(logits, labels)) * tokens, correct, tokens, correct * short, tokens * short]
    return {
        "loss": totals[0] / totals[2],
        "accuracy": totals[1] / totals[2],
        "segment_accuracy": totals[3] / max(totals[4], 1),
        "negative_loss": -totals[0] / totals[2],
    }


def pretrain(
    examples_dir: Path,
    out: Path,
    config: PretrainConfig,
    *,
    tokenizer: Path | None,
    init_from: Path | None,
    world: Path | None,
    cache: Path,
    resume: bool,
) -> Progress:
    """Run Stage 0 and write its checkpoint to `out`.

    Raises:
        TrainingError: see the functions above and `training.loop.train`.
    """
    start = start_from(init_from, tokenizer, config.model, config.render, config.optim.seed)
    model, words = start.model, start.tokenizer
    device = choose_device(config.runtime)
    device.prepare(model)
    special = special_token_ids(words)
    max_target = config.generation.max_new_tokens
    train_path, valid_path = examples_dir / "examples_train.parquet", examples_dir / "examples_valid.parquet"
    examples = load_examples(train_path, words, config.render, max_target, cache)
    held_out = load_examples(valid_path, words, config.render, max_target, cache)
    last_day = max(pq.read_table(train_path, columns=["day"]).column("day").to_pylist())
    noise = Noise(
        config.noising, word_start_table(words), special, words.token_to_id(";"), model.config.max_position_embeddings
    )
    corpus = make_corpus(examples, words, world, last_day)
    held_out_corpus = make_corpus(held_out, words, None, last_day)
    batch_size, seed = config.optim.batch_size, config.optim.seed
    validation = noised_epoch(held_out_corpus, noise, config.validation_documents, batch_size, (seed,))

    def save(metrics: Mapping[str, float], progress: Progress) -> None:
        training = {
            "stage": "pretrain",
            "config": to_dict(config),
            "init_from": start.origin,
            "steps": progress.step,
            "samples": progress.samples,
            "seconds": round(progress.seconds, 1),
            "data": {path.name: file_hash(path) for path in (train_path, valid_path)},
        }
        meta = CheckpointMeta(
            config.render, to_dict(config.generation), {"threshold": 0.5}, special, training, dict(metrics)
        )
        save_checkpoint(out, model, words, meta)

    def loss(batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        logits, labels, weights = target_logits(model, batch)
        return sft_loss(logits, labels, weights), {"accuracy": token_accuracy(logits, labels)}

    stage = Stage(
        open_epoch=lambda n: noised_epoch(corpus, noise, config.epoch_documents, batch_size, (seed, n)),
        loss=loss,
        evaluate=lambda: evaluate_denoising(model, validation, device),
        selection="negative_loss",
        save_best=save,
        evaluate_every_steps=config.evaluate_every_steps,
        patience=config.patience,
        config=to_dict(config),
    )
    return train(model, stage, config.optim, config.runtime, device, out, resume)
