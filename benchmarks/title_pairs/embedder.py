"""An embedder for titles and queries; the kinds that are trained learn query -> title from pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.title_pairs.examples import training_texts
from benchmarks.title_pairs.pairs import Split
from benchmarks.title_pairs.retrieval import TextEmbedder
from evaluation.inputs import TitledQuery
from evidence.embedder import TRANSFORMER, HashedEmbedder
from evidence.static_embedder import KIND as STATIC

HASHED = "hashed"
KINDS = (HASHED, STATIC, TRANSFORMER)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an embedder is made.

    Attributes:
        kind: one of KINDS.
        epochs: of the training; 0 uses `model` as it is.
        seed: of the training.
        model: of the transformer kind, the folder of a model of sentence-transformers to start from.
    """

    kind: str = STATIC
    epochs: float = 8.0
    seed: int = 17
    model: Path | None = None


def train_embedder(split: Split, pairs: Sequence[TitledQuery], recipe: Recipe) -> TextEmbedder:
    """Return an embedder that has learnt from `pairs`, a part of `split.train`.

    Raises:
        SettingsError: `recipe.model` is no such model.
    """
    if recipe.kind == HASHED:
        return HashedEmbedder()
    from offline.embedder.build import static_embedder_of
    from offline.embedder.relations import QUERY_VIDEO
    from offline.embedder.tokenizer import learn_tokenizer
    from offline.embedder.training import TrainingSettings, matryoshka, new_static_model, train_stage
    from offline.embedder.transformer import TransformerEmbedder, open_model

    columns = {"left": [pair.query for pair in pairs], "right": [pair.title for pair in pairs]}
    epochs = (recipe.epochs, 0.0)
    if recipe.kind == STATIC:
        settings = TrainingSettings(epochs=epochs, seed=recipe.seed)
        tokenizer = learn_tokenizer(training_texts(split), settings.vocabulary_size)
        static = new_static_model(tokenizer, settings)
        train_stage(static, {QUERY_VIDEO: columns}, 0, settings, show_progress=True)
        return static_embedder_of(static, tokenizer, [*columns["left"], *columns["right"]])
    assert recipe.model is not None
    model = open_model(recipe.model, 1)
    dimension = model.get_embedding_dimension() or 1
    if recipe.epochs:
        settings = TrainingSettings(
            dimensions=matryoshka(dimension), batch_size=64, learning_rate=2e-5, epochs=epochs, seed=recipe.seed
        )
        train_stage(model, {QUERY_VIDEO: columns}, 0, settings, show_progress=True)
    return TransformerEmbedder(model, dimension, "", "transformer-in-memory", {})
