"""The answers of a bundle to examples, from the engine and the renderer of serving."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from evaluation.inputs import Example
from evaluation.metrics import CUTOFF, distinct
from evidence.abstain import model_abstains
from evidence.embedder import Embedder, HashedEmbedder
from evidence.render import Renderer
from evidence.schema import Evidence
from evidence.static_embedder import load_static_embedder
from generation.bundle import Bundle, load_bundle
from generation.engine import Engine
from generation.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a bundle to one source.

    Attributes:
        queries: up to eight, best first, without [REJECT] hypotheses; also present when the bundle abstains.
        reject_probability: P([REJECT]) as the first token.
        reject_first: whether [REJECT] is the best hypothesis.
        probabilities: of each query, as the model gives it to the whole sequence.
    """

    queries: list[str]
    reject_probability: float
    reject_first: bool
    probabilities: tuple[float, ...] = ()

    def abstains(self, threshold: float) -> bool:
        """Return whether nothing is shown, by the rule of serving (evidence.abstain)."""
        return model_abstains(self.reject_probability, threshold, reject_is_best=self.reject_first)


class BundlePredictor:
    """Generates with one bundle, one source at a time. Answers to repeated sources are taken from memory."""

    def __init__(self, path: Path, *, threads: int = 1, show_progress: bool = False) -> None:
        """Load the bundle.

        Args:
            path: the folder of the bundle.
            threads: intra-op threads of the engine.
            show_progress: show a progress bar.

        Raises:
            BundleError: the folder is not a valid bundle (generation.errors).
        """
        self.bundle: Bundle = load_bundle(path)
        self._engine = Engine(self.bundle, threads=threads)
        self._renderer = Renderer(self.bundle.tokenizer, self.bundle.render_budgets)
        self._answers: dict[tuple[int, ...], Answer] = {}
        self._show_progress = show_progress

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return the queries that would be shown for each example; none where the bundle abstains."""
        return self._shown([example.evidence() for example in examples])

    def predict_title_only(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return the same for sources that have the canonical text only."""
        return self._shown([Evidence(text=example.title) for example in examples])

    def answers(self, evidence: Sequence[Evidence]) -> list[Answer]:
        """Return the answer to each evidence."""
        sources = [tuple(self._renderer.render(item).token_ids) for item in evidence]
        missing = [source for source in dict.fromkeys(sources) if source not in self._answers]
        bar = tqdm(missing, desc=f"bundle {self.bundle.model_version}", unit="source", disable=not self._show_progress)
        for source in bar:
            self._answers[source] = self._generate(source)
        return [self._answers[source] for source in sources]

    def sources(self, examples: Sequence[Example]) -> list[Evidence]:
        """Return what the source of each example says, without what the bundle's token budgets have cut."""
        render, read = self._renderer.render, self._renderer.read
        return [read(render(example.evidence()).token_ids) for example in examples]

    def _shown(self, evidence: Sequence[Evidence]) -> list[list[str]]:
        threshold = self.bundle.reject_threshold
        return [[] if answer.abstains(threshold) else answer.queries for answer in self.answers(evidence)]

    def _generate(self, source: tuple[int, ...]) -> Answer:
        bundle = self.bundle
        generation = self._engine.generate(GenerationRequest(source, bundle.generation))
        hypotheses = generation.hypotheses
        written = [(bundle.decode(h.token_ids), h.sum_logprobs) for h in hypotheses if not bundle.is_reject(h)]
        queries = distinct(query for query, _ in written)[:CUTOFF]
        logprobs = dict(reversed(written))  # of the first hypothesis with each text
        return Answer(
            queries=queries,
            reject_probability=generation.reject_probability,
            reject_first=bool(hypotheses) and bundle.is_reject(hypotheses[0]),
            probabilities=tuple(math.exp(logprobs[query]) for query in queries),
        )


def choose_embedder(folder: Path | None, predictors: Iterable[BundlePredictor]) -> Embedder:
    """Return the embedder of the baselines, one that embeds texts.

    It is that of the folder, else that of the first bundle whose embedder embeds texts, else the hashed one.

    Args:
        folder: of a static embedder.
        predictors: the bundles.

    Raises:
        EmbedderError: the folder cannot be used (evidence.errors).
    """
    if folder is not None:
        return load_static_embedder(folder)
    found = (predictor.bundle.embedder for predictor in predictors)
    return next((embedder for embedder in found if embedder.embeds_texts), HashedEmbedder())
