"""What a checkpoint answers to the clicks of the test day, by beam search of the mixture in torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ablations.answers import Measured, in_views, measured
from benchmarks.ablations.variants import CONSTRUCTIONS
from benchmarks.ablations.verbose import as_text, prompt_renderer
from benchmarks.answering import Source, answer_sources
from evaluation.inputs import Example
from evaluation.nearest import TextEmbedder
from evaluation.predict import Answer
from evidence.assemble import build_evidence
from evidence.cleaning import clean_query
from evidence.render import Renderer
from training.augmentation import Alphabet
from training.checkpoint import Checkpoint, load_checkpoint
from training.config import GenerationDefaults, RuntimeConfig
from training.model import Device, choose_device
from training.piopd.posterior import posterior_source
from training.policy_config import TeacherConfig
from training.run_state import load_last_weights


@dataclass(frozen=True, slots=True)
class Reader:
    """A checkpoint that answers sources."""

    checkpoint: Checkpoint
    device: Device

    @classmethod
    def load(cls, folder: Path, threads: int, last: bool = False) -> Reader:
        """Read a checkpoint.

        Args:
            folder: of the checkpoint.
            threads: of torch; 0 lets torch choose.
            last: take the weights of the last step from the state of the run, not those of the best evaluation.

        Raises:
            CheckpointError: the folder is no checkpoint, or the state of the run is gone.
        """
        checkpoint = load_checkpoint(folder)
        if last:
            load_last_weights(checkpoint, folder)
        device = choose_device(RuntimeConfig(threads=threads))
        device.prepare(checkpoint.model)
        return cls(checkpoint, device)

    @property
    def renderer(self) -> Renderer:
        """The renderer with the budgets of the checkpoint."""
        return Renderer(self.checkpoint.tokenizer, self.checkpoint.meta.render)

    def answer(self, sources: Iterable[Source]) -> dict[Source, Answer]:
        """Return the answer to each distinct source."""
        generation = GenerationDefaults(**self.checkpoint.meta.generation)
        return answer_sources(self.checkpoint, self.device, sources, generation, "test day")


def measure_checkpoint(
    reader: Reader, examples: Sequence[Example], embedder: TextEmbedder, verbose: bool = False
) -> dict[str, Measured]:
    """Return what a checkpoint shows for clicks in each view; sources that the views share are answered once.

    Args:
        reader: the checkpoint.
        examples: the clicks.
        embedder: of BAS.
        verbose: the checkpoint reads prompts.
    """
    renderer, cutter = reader.renderer, prompt_renderer(reader.checkpoint.tokenizer)

    def source(example: Example) -> Source:
        evidence = example.evidence()
        return tuple(renderer.render(build_evidence(as_text(evidence, cutter)) if verbose else evidence).token_ids)

    sources = {view: [source(example) for example in seen] for view, seen in in_views(examples).items()}
    answers = reader.answer(one for view in sources.values() for one in view)
    threshold = reader.checkpoint.meta.reject_threshold
    found = {}
    for view, read in sources.items():
        predictions = [[] if answers[one].abstains(threshold) else answers[one].queries for one in read]
        found[view] = measured(predictions, examples, embedder)
    return found


def measure_teachers(
    reader: Reader, examples: Sequence[Example], embedder: TextEmbedder, seed: int
) -> dict[str, dict[str, Measured]]:
    """Return what a checkpoint answers when its source has the clicked query in it, by construction (Table 5, paper).

    Abstention is not applied: the teacher of Stage III does not abstain either.

    Args:
        reader: the checkpoint that Stage III starts from.
        examples: the clicks.
        embedder: of BAS.
        seed: of the places where queries are inserted.
    """
    renderer, tokenizer = reader.renderer, reader.checkpoint.tokenizer
    alphabet, longest = Alphabet.of(tokenizer), reader.checkpoint.meta.render.max_source_tokens
    clicked = [tokenizer.encode(clean_query(example.target), add_special_tokens=False).ids for example in examples]
    systems: dict[str, dict[str, Measured]] = {}
    for construction in CONSTRUCTIONS:
        teacher = TeacherConfig(construction=construction)  # type: ignore[arg-type]
        sources: dict[str, list[Source]] = {}
        for view, seen in in_views(examples).items():
            rng = np.random.default_rng(seed)
            sources[view] = [
                tuple(
                    posterior_source(
                        renderer.render(example.evidence()).token_ids, [query], teacher, alphabet, longest, rng
                    )
                )
                for example, query in zip(seen, clicked, strict=True)
            ]
        answers = reader.answer(one for view in sources.values() for one in view)
        systems[construction] = {
            view: measured([answers[one].queries for one in read], examples, embedder) for view, read in sources.items()
        }
    return systems
