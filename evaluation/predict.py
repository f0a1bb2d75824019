"""What a bundle answers to examples, through the same engine and renderer that serving uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from evaluation.inputs import Example
from evaluation.metrics import CUTOFF, distinct
from evidence.render import Renderer
from evidence.schema import Evidence
from generation.bundle import Bundle, load_bundle
from generation.engine import Engine
from generation.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bar would get.

    Attributes:
        queries: up to eight, best first, [REJECT] hypotheses taken out; there even when the bundle abstains.
        reject_probability: of [REJECT] as the first token.
        reject_first: [REJECT] is the best hypothesis.
    """

    queries: list[str]
    reject_probability: float
    reject_first: bool

    def abstains(self, threshold: float) -> bool:
        """Whether nothing is shown: [REJECT] came first, or is more probable than the threshold."""
        return self.reject_first or self.reject_probability >= threshold


class BundlePredictor:
    """One bundle, asked one source at a time; a source that was asked before is answered from memory."""

    def __init__(self, path: Path, *, threads: int = 1, show_progress: bool = False) -> None:
        """Loads the bundle.

        Raises:
            BundleError: the folder is no sound bundle (generation.errors).
        """
        self.bundle: Bundle = load_bundle(path)
        self._engine = Engine(self.bundle, threads=threads)
        self._renderer = Renderer(self.bundle.tokenizer, self.bundle.render_budgets)
        self._answers: dict[tuple[int, ...], Answer] = {}
        self._show_progress = show_progress

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """The queries that would be shown for each example; none where the bundle abstains."""
        return self._shown([example.evidence() for example in examples])

    def predict_title_only(self, examples: Sequence[Example]) -> list[list[str]]:
        """The same when only the canonical text is given to it."""
        return self._shown([Evidence(text=example.title) for example in examples])

    def answers(self, evidence: Sequence[Evidence]) -> list[Answer]:
        """The whole answer to each evidence."""
        sources = [tuple(self._renderer.render(item).token_ids) for item in evidence]
        unasked = [source for source in dict.fromkeys(sources) if source not in self._answers]
        bar = tqdm(unasked, desc=f"bundle {self.bundle.model_version}", unit="source", disable=not self._show_progress)
        for source in bar:
            self._answers[source] = self._ask(source)
        return [self._answers[source] for source in sources]

    def _shown(self, evidence: Sequence[Evidence]) -> list[list[str]]:
        threshold = self.bundle.reject_threshold
        return [[] if answer.abstains(threshold) else answer.queries for answer in self.answers(evidence)]

    def _ask(self, source: tuple[int, ...]) -> Answer:
        bundle = self.bundle
        generation = self._engine.generate(GenerationRequest(source, bundle.generation))
        hypotheses = generation.hypotheses
        queries = distinct(bundle.decode(h.token_ids) for h in hypotheses if not bundle.is_reject(h))
        return Answer(
            queries=queries[:CUTOFF],
            reject_probability=generation.reject_probability,
            reject_first=bool(hypotheses) and bundle.is_reject(hypotheses[0]),
        )
