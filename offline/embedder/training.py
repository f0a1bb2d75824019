"""The staged training of an embedder, by the trainer of sentence-transformers (paper, 3.2).

Stage 1 learns query -> engaged video. Stage 2 starts from it and learns all three relations. A batch has pairs of one
relation; relations are drawn in proportion to their pairs.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback

from offline.arrays import IntArray, Matrix
from offline.embedder.loss import InBatchLoss
from offline.embedder.relations import QUERY_VIDEO, RELATIONS, VIDEO_QUERY, WITH_NEGATIVE, Relations, hard_negatives
from offline.embedder.tokenizer import VOCABULARY_SIZE
from offline.errors import SettingsError

STAGES: tuple[tuple[str, ...], ...] = ((QUERY_VIDEO,), RELATIONS)
"""The relations of each stage."""

MIN_PAIRS = 100
"""The fewest pairs that a stage is trained on. With fewer, the hashed embedder is better."""

_INITIAL_SCALE = 0.02
"""Standard deviation of new token vectors: small, so that their length is learnt like a weight of the token."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How an embedder is trained.

    Attributes:
        dimensions: Matryoshka dimensions, largest first; every prefix of a vector of these lengths is a usable vector.
        vocabulary_size: of the tokenizer of the static kind.
        batch_size: pairs of one step; each is a negative of the others.
        learning_rate: of AdamW, at its peak.
        temperature: of the loss.
        epochs: of each stage.
        max_steps: the most steps of a stage.
        seed: of the first vectors and the order of pairs.
    """

    dimensions: tuple[int, ...] = (256, 128, 64)
    vocabulary_size: int = VOCABULARY_SIZE
    batch_size: int = 512
    learning_rate: float = 0.02
    temperature: float = 0.05
    epochs: tuple[float, ...] = (2.0, 1.0)
    max_steps: int = 1_000_000
    seed: int = 0


def matryoshka(dimension: int) -> tuple[int, ...]:
    """Return the usable lengths of a vector of `dimension` values: the whole, its half and its quarter, at least 8."""
    return tuple(dict.fromkeys(max(8, dimension // part) for part in (1, 2, 4)))


Columns = Mapping[str, Sequence[str]]
"""The texts of one relation's pairs by column: left, right, and perhaps negative."""


def new_static_model(tokenizer: Tokenizer, settings: TrainingSettings) -> SentenceTransformer:
    """Return an untrained static model: the mean of token vectors, normalised."""
    generator = np.random.default_rng(settings.seed)
    shape = (tokenizer.get_vocab_size(), settings.dimensions[0])
    weights = generator.normal(0, _INITIAL_SCALE, shape).astype(np.float32)
    modules = [_RememberingStatic(tokenizer, weights), Normalize()]
    model: SentenceTransformer = SentenceTransformer(modules=modules, device="cpu")
    return model


class _RememberingStatic(StaticEmbedding):
    """A static module that tokenises each text once; otherwise half of the training time would be tokenising."""

    def __init__(self, tokenizer: Tokenizer, weights: Matrix) -> None:
        super().__init__(tokenizer, embedding_weights=weights)
        self._ids: dict[str, IntArray] = {}

    def preprocess(self, inputs: list[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, torch.Tensor]:
        missing = [text for text in dict.fromkeys(inputs) if text not in self._ids]
        for text, encoded in zip(missing, self.tokenizer.encode_batch_fast(missing), strict=True):
            self._ids[text] = np.array(encoded.ids, np.int64)
        found = [self._ids[text] for text in inputs]
        offsets = np.cumsum([0, *map(len, found[:-1])])
        return {"input_ids": torch.from_numpy(np.concatenate(found)), "offsets": torch.from_numpy(offsets)}


def stage_columns(
    relations: Relations, stage: Sequence[str], before_day: int, seed: int = 0
) -> dict[str, dict[str, list[str]]]:
    """Return the texts of the pairs of a stage, by relation.

    Where exposures without a click were read, pairs of a video and a query with a hard negative are a set of their own.

    Args:
        relations: of the logs.
        stage: names of relations.
        before_day: only pairs of the days before it.
        seed: of the choice of hard negatives.

    Raises:
        SettingsError: the days have too few pairs.
    """
    columns: dict[str, dict[str, list[str]]] = {}
    for name in stage:
        pairs = relations.events[name].pairs(0, before_day)
        left, right = relations.left_texts(name), relations.right_texts(name)
        texts = {"left": [left[code] for code in pairs.left], "right": [right[code] for code in pairs.right]}
        negatives = np.full(len(pairs), -1, np.int64)
        if name == VIDEO_QUERY:
            negatives = hard_negatives(relations, pairs, before_day, seed)
        has_negative = negatives >= 0
        for key, chosen in ((name, np.flatnonzero(~has_negative)), (WITH_NEGATIVE, np.flatnonzero(has_negative))):
            if len(chosen):
                columns[key] = {side: [values[place] for place in chosen] for side, values in texts.items()}
        if has_negative.any():
            columns[WITH_NEGATIVE]["negative"] = [right[code] for code in negatives[has_negative]]
    found = sum(len(texts["left"]) for texts in columns.values())
    if found < MIN_PAIRS:
        raise SettingsError(
            f"the days before {before_day} have {found} pairs of {' and '.join(stage)}; an embedder needs at least "
            f"{MIN_PAIRS}: give logs of more days, or use the hashed embedder, which needs no training"
        )
    return columns


def train_stage(
    model: SentenceTransformer,
    columns: Mapping[str, Columns],
    stage: int,
    settings: TrainingSettings,
    *,
    prompts: dict[str, dict[str, str]] | None = None,
    show_progress: bool = False,
) -> None:
    """Train a model in place on the pairs of one stage.

    Args:
        model: of sentence-transformers.
        columns: the texts of the pairs, by relation.
        stage: its place in STAGES, from 0.
        settings: how it is trained.
        prompts: what the model reads before each text of a column, by relation and column.
        show_progress: show a progress bar.
    """
    sizes = [len(texts["left"]) for texts in columns.values()]
    batches = sum(math.ceil(size / settings.batch_size) for size in sizes)
    steps = min(settings.max_steps, max(1, round(settings.epochs[stage] * batches)))
    loss = MatryoshkaLoss(model, InBatchLoss(model, settings.temperature), list(settings.dimensions))
    with tempfile.TemporaryDirectory(prefix="embedder-") as folder, _bar(stage, show_progress) as bar:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=settings.batch_size,
            max_steps=steps,
            learning_rate=settings.learning_rate,
            weight_decay=0.0,
            warmup_steps=min(steps // 10, 100),
            lr_scheduler_type="linear",
            prompts=prompts,
            seed=settings.seed,
            data_seed=settings.seed,
            dataloader_pin_memory=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        datasets = {name: Dataset.from_dict(dict(texts)) for name, texts in columns.items()}
        trainer = _Trainer(model=model, args=arguments, train_dataset=datasets, loss=loss, callbacks=[_Progress(bar)])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()


class _Trainer(SentenceTransformerTrainer):
    """The trainer without a model card, whose examples would be rows of the logs."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none."""


class _Progress(TrainerCallback):
    """Shows the steps of a stage."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.reset(total=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.update(state.global_step - self._bar.n)


@contextmanager
def _bar(stage: int, show_progress: bool) -> Iterator[tqdm[Any]]:
    with tqdm(desc=f"stage {stage + 1}", unit="step", disable=not show_progress) as bar:
        yield bar
