"""Stage 0: BART's denoising on the text of the logs, before any click is used.

There is no public checkpoint to start from, and a generator of queries must learn to copy, for example a model name
from the evidence. Denoising trains exactly that, without clicks. With few clicks it adds points of HR@8; with hundreds
of thousands, fine-tuning learns to copy without it (docs/training_experiments.md has both figures).

Two objectives share the run (`noising.document_share` of the documents take the first):

- document: every segment is infilled, segments may be permuted, and the whole original is the target. It has about
  fifty target tokens for each source. Copying is learnt fastest from it, and a step costs two to three times as much.
- segment: one unit (the text, the summary, or a single query of anchors, histories or personal) is infilled, and that
  unit is the target. The model must find the mask, copy around it and fill it from the other fields. That is close to
  the task of Stage I, and the targets are as short as queries.

Documents are rendered evidence in the schema of eq. (4), and lists of five logged queries in its five segments.
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

from evidence.cleaning import clean_query
from evidence.render import split_on
from evidence.tokens import QUERY_SEPARATOR
from training.batches import Batch, PackedBatches, plan_batches
from training.cached_arrays import file_hash
from training.checkpoint import CheckpointMeta, save_checkpoint
from training.config import NoisingConfig, PretrainConfig, to_dict
from training.data import PackedExamples, Ragged, load_examples
from training.errors import DataError
from training.generator import Generator
from training.initial_model import load_initial_model
from training.log_tables import read_log_table
from training.loop import train
from training.losses import sft_loss, token_accuracy
from training.model import Device, choose_device, target_logits
from training.noising import infill, join_on, join_segments, split_segments, word_start_table
from training.optimizer import batches_in_step
from training.record import stage_record
from training.run_state import Progress
from training.stage import Stage
from training.tokenizer import special_token_ids

_SEGMENTS = 5
_QUERY_FIELDS = (2, 3, 4)


@dataclass(frozen=True, slots=True)
class Noise:
    """What noising needs of a tokenizer and a model."""

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
        noised[chosen] = join_on(units, noise.between)
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


def make_corpus(examples: PackedExamples, tokenizer: Tokenizer, logs: Path | None, last_day: int) -> Corpus:
    """Return the corpus of Stage 0.

    Args:
        examples: their sources become documents.
        tokenizer: of the examples.
        logs: folder of the log tables, whose searched queries are read; None reads the targets of the clicks instead.
        last_day: the last training day; later searches are not read.

    Raises:
        DataError: the searches table is missing, there is no query, or no source has any text.
    """
    unique = {examples.sources[i].tobytes(): i for i in range(len(examples))}
    sources = examples.sources.take(sorted(unique.values()))
    frame = [special_token_ids(tokenizer)[name] for name in ("bos", "sep", "eos")]
    sources = sources.take(np.flatnonzero([not np.isin(sources[row], frame).all() for row in range(len(sources))]))
    if not len(sources):
        raise DataError("no source of the examples has a text to learn from")
    if logs is None:
        clicks = np.flatnonzero(~examples.is_reject)
        rows = [examples.targets[int(i)][:-1].tolist() for i in clicks]
    else:
        table = read_log_table(logs, "searches", ["day", "query"])
        searched = {row["query"] for row in table.to_pylist() if row["day"] <= last_day}
        rows = [tokenizer.encode(clean_query(q), add_special_tokens=False).ids for q in sorted(searched)]
    rows = [row for row in rows if row and len(row) <= 16]
    if not rows:
        raise DataError("there is no query to learn from: the examples have no clicks, or the logs no searches")
    return Corpus(sources, Ragged.from_lists(rows))


def noised_epoch(
    corpus: Corpus, noise: Noise, documents: int, batch_size: int, seed: tuple[int, ...], together: int = 1
) -> PackedBatches:
    """Draw and noise documents and plan their batches (`plan_batches`); the same seed gives the same epoch."""
    rng = np.random.default_rng(seed)
    pairs = [noised_pair(corpus.draw(noise, rng), noise, rng) for _ in range(documents)]
    sources = Ragged.from_lists([source for source, _ in pairs])
    targets = Ragged.from_lists([target for _, target in pairs])
    # Batches have either long or short targets: padding in the decoder would cost more than short targets save.
    lengths = sources.lengths + 1000 * (targets.lengths > 24)
    plan = plan_batches(lengths, targets.lengths, batch_size, rng, together=together)
    return PackedBatches(sources, targets, plan, noise.special["pad"], noise.special["eos"])


def evaluate_denoising(model: Generator, batches: PackedBatches, device: Device) -> dict[str, float]:
    """Return loss and token accuracy per target token over held-out documents, and accuracy on short targets alone."""
    totals = np.zeros(5)
    with torch.inference_mode(), device.autocast():
        for index in range(len(batches)):
            batch = batches[index].to(device.device)
            logits, labels, _ = target_logits(model, batch)
            right, count = float(token_accuracy(logits, labels)) * len(labels), len(labels)
            short = batch.labels.shape[1] <= 24
            totals += [float(sft_loss(logits, labels)) * count, right, count, right * short, count * short]
    # Plain floats: the state of a run records the best figure, and `torch.load` of weights refuses numpy's.
    loss, correct, tokens, correct_in_short, tokens_in_short = totals.tolist()
    return {
        "loss": loss / tokens,
        "accuracy": correct / tokens,
        "segment_accuracy": correct_in_short / max(tokens_in_short, 1),
        "negative_loss": -loss / tokens,
    }


def pretrain(
    examples_dir: Path,
    out: Path,
    config: PretrainConfig,
    *,
    tokenizer: Path | None,
    init_from: Path | None,
    logs: Path | None,
    cache: Path,
    resume: bool,
) -> Progress:
    """Run Stage 0 and write its checkpoint to `out`.

    Args:
        examples_dir: folder of examples.
        out: the checkpoint folder.
        config: of the stage.
        tokenizer: tokenizer.json of a new model.
        init_from: a checkpoint to start from instead.
        logs: folder of the log tables, or None; see `make_corpus`.
        cache: folder of packed examples.
        resume: continue the run in `out`.

    Raises:
        TrainingError: see `load_initial_model`, `load_examples`, `make_corpus` and `training.loop.train`.
    """
    start = load_initial_model(init_from, tokenizer, config.model, config.render, config.optim.seed)
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
        config.noising,
        word_start_table(words),
        special,
        words.token_to_id(QUERY_SEPARATOR),
        model.config.max_position_embeddings,
    )
    corpus = make_corpus(examples, words, logs, last_day)
    held_out_corpus = make_corpus(held_out, words, None, last_day)
    batch_size, seed = config.optim.batch_size, config.optim.seed
    together = batches_in_step(config.optim, device)
    validation = noised_epoch(held_out_corpus, noise, config.validation_documents, batch_size, (seed,))

    read = [train_path, valid_path, *([] if logs is None else [logs / "searches.parquet"])]
    data = {path.name: file_hash(path) for path in read}

    def save(metrics: Mapping[str, float], progress: Progress) -> None:
        meta = CheckpointMeta(
            config.render,
            to_dict(config.generation),
            {"threshold": 0.5},
            special,
            stage_record("pretrain", config, start.origin, data, progress),
            dict(metrics),
        )
        save_checkpoint(out, model, words, meta)

    def loss(batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        logits, labels, weights = target_logits(model, batch)
        return sft_loss(logits, labels, weights), {"accuracy": token_accuracy(logits, labels)}

    stage = Stage(
        open_epoch=lambda n: noised_epoch(corpus, noise, config.epoch_documents, batch_size, (seed, n), together),
        loss=loss,
        evaluate=lambda: evaluate_denoising(model, validation, device),
        selection="negative_loss",
        save_best=save,
        evaluate_every_steps=config.evaluate_every_steps,
        patience=config.patience,
        config=to_dict(config),
        data=list(data.values()),
    )
    return train(model, stage, config.optim, config.runtime, device, out, resume)
