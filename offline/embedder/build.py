"""From the relations of some logs to a folder of an embedder, with a report by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from evidence.embedder import HashedEmbedder
from evidence.static_embedder import StaticEmbedder
from offline.arrays import Matrix
from offline.embedder.folder import KEPT_FILE, write_static_embedder
from offline.embedder.kept_vectors import KeptVectors
from offline.embedder.relations import FROM_VIDEO, TO_VIDEO, Relations
from offline.embedder.retrieval import held_out_pairs, measure
from offline.embedder.tokenizer import learn_tokenizer
from offline.embedder.training import STAGES, TrainingSettings, new_static_model, stage_columns, train_stage
from offline.embedder.transformer import write_transformer
from offline.embedder.vectors import Embedder

MEASURED_PAIRS = 2000
"""The most pairs of a relation that recall is measured on."""


class Trainee(Protocol):
    """A model of one kind while it is trained."""

    @property
    def model(self) -> SentenceTransformer:
        """The model, which training changes in place."""

    @property
    def query_prompt(self) -> str:
        """What the model reads before each query; "" where it reads queries and videos alike."""

    def write(self, folder: Path, details: dict[str, Any]) -> Embedder:
        """Write the folder of the embedder as it is now, and return what others will load from it."""


@dataclass(frozen=True, slots=True)
class StaticTrainee:
    """A static model with its tokenizer and the texts of its training pairs."""

    model: SentenceTransformer
    tokenizer: Tokenizer
    texts: tuple[str, ...]
    query_prompt: str = ""

    def write(self, folder: Path, details: dict[str, Any]) -> Embedder:
        """See `Trainee`."""
        weights = token_vectors(self.model, self.tokenizer, self.texts)
        return write_static_embedder(folder, self.tokenizer, weights, details)


@dataclass(frozen=True, slots=True)
class TransformerTrainee:
    """A model of sentence-transformers, the dimension that is kept, and its instruction for queries."""

    model: SentenceTransformer
    dimension: int
    query_prompt: str = ""

    def write(self, folder: Path, details: dict[str, Any]) -> Embedder:
        """See `Trainee`."""
        written = write_transformer(folder, self.model, self.dimension, self.query_prompt, details)
        return KeptVectors(written, folder / KEPT_FILE)


def new_static(relations: Relations, before_day: int, settings: TrainingSettings) -> StaticTrainee:
    """Return an untrained static model whose tokenizer is learnt from the texts before a day."""
    tokenizer = learn_tokenizer(relations.texts(before_day), settings.vocabulary_size)
    texts = tuple(dict.fromkeys(relations.texts(before_day)))
    return StaticTrainee(new_static_model(tokenizer, settings), tokenizer, texts)


def build_embedder(
    relations: Relations,
    new: Callable[[], Trainee],
    out: Path,
    before_day: int,
    settings: TrainingSettings,
    *,
    measured_day: int | None = None,
    frozen: bool = False,
    show_progress: bool = False,
    say: Callable[[str], object] = lambda _: None,
) -> tuple[Embedder, dict[str, Any]]:
    """Train a model on the days before `before_day` and write its folder.

    Args:
        relations: of the logs.
        new: makes the model that training starts from, once the pairs are known to be enough.
        out: the folder.
        before_day: the first day that training does not read.
        settings: how it is trained.
        measured_day: the day whose pairs measure each stage, beside the hashed embedder; none when None.
        frozen: write the model as it is.
        show_progress: show progress bars.
        say: called with a line for each stage.

    Returns:
        The embedder of the folder, and the report: recall and MRR by stage and relation, pairs and seconds of each.

    Raises:
        SettingsError: there are too few pairs.
    """
    stages = [] if frozen else [stage_columns(relations, names, before_day, settings.seed) for names in STAGES]
    trainee = new()
    held_out = {} if measured_day is None else held_out_pairs(relations, measured_day, MEASURED_PAIRS, settings.seed)
    details: dict[str, Any] = {"before_day": 0 if frozen else before_day, "settings": asdict(settings)}
    report: dict[str, Any] = {**details, "measured_day": measured_day, "stages": []}
    if held_out:
        report["hashed"] = measure(relations, held_out, HashedEmbedder())
    if frozen:
        embedder = trainee.write(out, {**details, "stage": 0})
        report["frozen"] = measure(relations, held_out, embedder) if held_out else {}
    for place, columns in enumerate(stages):
        begun = time.perf_counter()
        prompts = _prompts(trainee.query_prompt, list(columns))
        train_stage(trainee.model, columns, place, settings, prompts=prompts, show_progress=show_progress)
        seconds = time.perf_counter() - begun
        embedder = trainee.write(out, {**details, "stage": place + 1})
        pairs = {name: len(texts["left"]) for name, texts in columns.items()}
        figures = measure(relations, held_out, embedder) if held_out else {}
        report["stages"].append({"pairs": pairs, "seconds": round(seconds, 1), "retrieval": figures})
        say(f"stage {place + 1}: {sum(pairs.values()):,} pairs, {seconds:.0f} s")
    return embedder, report


def token_vectors(model: SentenceTransformer, tokenizer: Tokenizer, texts: Iterable[str]) -> Matrix:
    """Return float32 [vocabulary, d], the table of a static model; rows of tokens that `texts` do not have are zero."""
    static = model[0]
    assert isinstance(static, StaticEmbedding)
    weights: Matrix = static.embedding.weight.detach().cpu().numpy().copy()
    used = np.zeros(len(weights), bool)
    for encoded in tokenizer.encode_batch_fast(list(dict.fromkeys(texts))):
        used[encoded.ids] = True
    weights[~used] = 0
    return weights


def static_embedder_of(model: SentenceTransformer, tokenizer: Tokenizer, texts: Iterable[str]) -> StaticEmbedder:
    """Return a static model as an embedder in memory, in full precision; `texts` are those of its training pairs."""
    return StaticEmbedder(tokenizer, token_vectors(model, tokenizer, texts), "static-in-memory", {})


def _prompts(query_prompt: str, relations: list[str]) -> dict[str, dict[str, str]] | None:
    """Return the prompt of each column that holds queries, by relation."""
    if not query_prompt:
        return None
    return {
        name: {
            column: query_prompt
            for column, videos in (("left", FROM_VIDEO), ("right", TO_VIDEO), ("negative", TO_VIDEO))
            if name not in videos
        }
        for name in relations
    }
