"""How much can be read from the sources? Ideal readers answer the clicks of a world's test day, beside a model.

    onebar world build/201 --seed 201
    onebar offline examples build/201 build/examples201 --embedder demo/bundle/embedder
    python -m benchmarks.ideal_reader build/201 build/examples201 --checkpoint build/foundation

An ideal reader knows how the world works, and of a click what its evidence names:

- of the video the parts whose words stand in the source, and nothing else (the rest is averaged over the catalogue);
- it writes only names of brands and models that stand in the source, as a reader of an unseen shop must;
- `no habits`: it does not know how the shop's viewers word their searches;
- `habits`: it knows exactly how they word them for this type and on this video. Histories and anchors say this in part;
- `habits, viewer`: it also knows the viewer's preferences exactly, and the viewer's brand, taste and price tier where
  the source names them.

Knowledge is exact where a real reader must infer it, so these are upper bounds of a reader that knows no shop. A model
that was trained on the shop also knows its catalogue and its habits, and may pass them. `writable` is the share of the
clicks whose names all stand in the source: no reader of an unseen shop can pass it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.answering import answer_sources
from demo.errors import WorldError
from demo.oracle import WIDTH, best, draw_videos, mixture, part_keys, title_mask
from demo.world.fields import PARTS
from demo.world.truth import Truth
from demo.world.users import Users
from demo.world.wording import Slots
from evaluation.errors import EvaluationError
from evaluation.grounding import Shop, number_of
from evaluation.inputs import Example, decontaminate, read_examples
from evaluation.metrics import METRICS, score_all
from evidence.render import Renderer
from loadtest.machine import begin_result, finish_result
from training.checkpoint import Checkpoint, load_checkpoint
from training.config import GenerationDefaults, RuntimeConfig
from training.errors import TrainingError
from training.model import choose_device

READERS = ("no habits", "habits", "habits, viewer")
_HR = METRICS.index("hr")
Hits = dict[str, NDArray[np.bool_]]
"""Reader to bool[n], whether it answers each click."""


@dataclass(frozen=True, slots=True)
class Click:
    """A click of the test day: the numbers of its viewer and its video, the query, and all words of its evidence."""

    user: int
    video: int
    target: str
    words: str

    @classmethod
    def of(cls, example: Example) -> Click:
        """Return the click of an example."""
        evidence = example.evidence()
        texts = (evidence.text, evidence.summary, *evidence.anchors, *evidence.histories, *evidence.personal)
        user, video = number_of(example.user_id), number_of(example.photo_id)
        return cls(user, video, example.target, " ".join(" | ".join(texts).lower().split()))

    def has(self, name: str) -> bool:
        """Return whether a name stands in the evidence."""
        return name.lower() in self.words


class World:
    """The truth of a world, and what an ideal reader of a click's evidence answers."""

    def __init__(self, truth: Truth, draws: int) -> None:
        """Take the truth, and the number of videos that stand for what a reader does not know."""
        self.truth, self.draws = truth, draws
        self._catalogue = truth.wording.catalogue
        self._keys = part_keys(truth)
        self._named = title_mask(truth) | truth.masks["summary"]
        self._brands = frozenset(name.lower() for name in self._catalogue.brand_names)
        share = self._catalogue.noun_share
        unknown = replace(self._catalogue, noun_share=np.full_like(share, share.mean()))
        self._elsewhere = replace(truth, wording=replace(truth.wording, catalogue=unknown))

    def answer(self, at: Click, reader: str, rng: np.random.Generator) -> list[str]:
        """Return the eight queries of a reader, best first."""
        truth = self.truth if reader != "no habits" else self._elsewhere
        products = self._products(at, rng)
        kinds = self._catalogue.product_type[truth.triggers.product[products]]
        triggers = truth.triggers.take(products)
        if reader == "no habits":
            habits, of_type = truth.triggers.habit, truth.wording.type_habit
            habit = habits[rng.integers(0, len(habits), self.draws)]
            habit = habit + of_type[rng.integers(0, len(of_type), self.draws)] - of_type[kinds]
            triggers = replace(triggers, habit=habit)
        else:
            this = truth.triggers.take(np.full(self.draws, at.video))
            triggers = replace(triggers, habit=this.habit, swapped=this.swapped)
        users = self._viewers(at, reader, rng)
        imagined = replace(truth, wording=replace(truth.wording, users=users))
        shares = mixture(imagined, triggers, np.arange(self.draws))
        return best({query: share for query, share in shares.items() if self._can_write(query, at, products)}, WIDTH)

    def writable(self, at: Click) -> bool:
        """Return whether every name of the clicked query stands in the evidence."""
        return self._can_write(at.target, at, np.array([at.video]))

    def _products(self, at: Click, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw videos that agree with the click's in all parts that its evidence names."""
        truth, day = self.truth, int(self.truth.spec["days"]) - 1
        agree = (truth.created_day <= day) & ~truth.unsafe
        words = self._words(at.video)
        for part, key in self._keys.items():
            if self._named[at.video] >> PARTS.index(part) & 1 or any(at.has(word) for word in words.get(part, ())):
                agree = agree & (key == key[at.video])
        agree[at.video] = True  # it may be unsafe
        return draw_videos(truth, agree, day, self.draws, rng)

    def _words(self, video: int) -> dict[str, set[str]]:
        """Return what names each part of a video, but for its aspect."""
        wording, triggers = self.truth.wording, self.truth.triggers
        product, leading = int(triggers.product[video]), triggers.leading_words[triggers.leading[video]]
        names = [Slots(wording, product, leading, 0, name, self._catalogue.brand_names) for name in (0, 1)]
        return {part: {slots.word(part) for slots in names} for part in PARTS if part != "aspect"}

    def _viewers(self, at: Click, reader: str, rng: np.random.Generator) -> Users:
        """Return a viewer for each draw: others of the shop, with what the reader knows of the click's viewer."""
        users, shop = self.truth.wording.users, self._catalogue
        drawn = rng.integers(0, len(users.tier), self.draws)
        some = Users(**{field.name: getattr(users, field.name)[drawn] for field in fields(Users)})
        if reader != "habits, viewer":
            return some
        for pull in ("brand_pull", "price_pull", "taste_pull"):
            getattr(some, pull)[:] = getattr(users, pull)[at.user]
        for place, department in enumerate(shop.departments):
            brand, taste = int(users.brand[at.user, place]), int(users.taste[at.user, place])
            if at.has(shop.brand_names[brand]):
                some.brand[:, place] = brand
            if at.has(department.tastes[taste]):
                some.taste[:, place] = taste
        if at.has(" under "):
            some.tier[:] = users.tier[at.user]
        return some

    def _can_write(self, query: str, at: Click, videos: NDArray[np.int64]) -> bool:
        models = {self._catalogue.models[number].lower() for number in self.truth.triggers.product[videos].tolist()}
        names = [*self._brands.intersection(query.split()), *(model for model in models if model in query)]
        return all(at.has(name) for name in names)


def measure(world: World, views: Mapping[str, Sequence[Example]]) -> dict[str, Hits]:
    """Return which clicks each reader answers, and which are writable, by view."""
    found: dict[str, Hits] = {}
    for view, examples in views.items():
        clicks = [Click.of(example) for example in examples]
        found[view] = {}
        for reader in READERS:
            rng = np.random.default_rng(0)
            found[view][reader] = np.array([at.target in world.answer(at, reader, rng) for at in clicks])
        found[view]["writable"] = np.array([world.writable(at) for at in clicks])
    return found


def answer(
    checkpoint: Checkpoint, views: Mapping[str, Sequence[Example]], threads: int
) -> dict[str, NDArray[np.bool_]]:
    """Return which clicks a checkpoint answers in each view, by beam search of the mixture in torch."""
    device = choose_device(RuntimeConfig(threads=threads))
    device.prepare(checkpoint.model)
    renderer = Renderer(checkpoint.tokenizer, checkpoint.meta.render)
    found = {}
    for view, examples in views.items():
        sources = [tuple(renderer.render(example.evidence()).token_ids) for example in examples]
        answers = answer_sources(checkpoint, device, sources, GenerationDefaults(), view)
        shown = [answers[source].queries for source in sources]
        found[view] = score_all(shown, [example.target for example in examples])[:, _HR] > 0
    return found


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("world", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("examples", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clicks", type=click.IntRange(min=1), default=1000, help="Of the test day, drawn at random.")
@click.option("--draws", type=click.IntRange(min=1), default=60, help="Videos that stand for what is not known.")
@click.option("--checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A model beside.")
@click.option("--threads", type=click.IntRange(min=1), default=1, help="For the model.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    world: Path,
    examples: Path,
    clicks: int,
    draws: int,
    checkpoint: Path | None,
    threads: int,
    output: Path | None,
) -> None:
    """Measure the readers on every view, and the checkpoint if one is given."""
    started: dict[str, Any] = begin_result("ideal_reader", "numpy", "torch")
    try:
        shop = Shop(world / "truth")
        rows = read_examples(examples / "examples_test.parquet", kind="click", limit=clicks)
        shop.check(rows)
        model = load_checkpoint(checkpoint) if checkpoint is not None else None
    except (WorldError, EvaluationError, TrainingError) as error:
        raise click.ClickException(str(error)) from error
    views = {
        "as served": rows,
        "decontaminated": decontaminate(rows),
        "without lists": [replace(row, anchors=(), histories=()) for row in rows],
    }
    hits = measure(World(shop.truth, draws), views)
    if model is not None:
        for view, found in answer(model, views, threads).items():
            hits[view]["model"] = found
    new = np.array([row.photo_new for row in rows])
    if new.any():
        hits["new videos, as served"] = {name: found[new] for name, found in hits["as served"].items()}
    figures = {view: {name: float(found.mean()) for name, found in of.items()} for view, of in hits.items()}
    names = list(figures["as served"])
    click.echo(f"{f'HR@8, {len(rows)} clicks':24}" + "".join(f"{name:>18}" for name in names))
    for view, shares in figures.items():
        click.echo(f"{view:24}" + "".join(f"{shares[name]:>18.3f}" for name in names))
    finish_result({**started, "clicks": len(rows), "draws": draws, "figures": figures}, output)


if __name__ == "__main__":
    sys.exit(main())
