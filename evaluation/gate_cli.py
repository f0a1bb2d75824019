"""`onebar gate`: compare a candidate with the bundle that is served, and say whether it may replace it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evaluation.gate import Labelled, Margins, Side, decide, measure
from evaluation.grounding import Shop
from evaluation.inputs import read_examples
from evaluation.labels import labelled_videos
from evaluation.predict import BundlePredictor
from evidence.safety import ProhibitedTerms
from evidence.term_list import load_terms

REFUSED = 3
"""Exit status where the candidate must not replace the bundle that is served."""

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MARGINS = Margins()


@click.command()
@click.argument("serving", type=_FOLDER)
@click.argument("candidate", type=_FOLDER)
@click.option("--examples", "folder", required=True, type=_FOLDER, help="Folder made by `onebar offline examples`.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="The most clicks, and the most labelled videos.")
@click.option("--terms", type=_FILE, help="Prohibited terms that answers are searched for.")
@click.option("--labels", type=_FILE, help="Parquet of photo_id, unsafe, category, to measure [REJECT] with.")
@click.option("--truth", type=_FOLDER, help="WORLD/truth of a simulated shop, to find wrong entities.")
@click.option("--margin", "margins", multiple=True, metavar="MEASURE=SHARE",
              help="How much worse is accepted; MEASURE is a field of evaluation.gate.Margins.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the decision here, as JSON.")
@click.option("--threads", default=1, show_default=True, help="Intra-op threads of the engine.")
def gate(
    serving: Path,
    candidate: Path,
    folder: Path,
    split: str,
    limit: int | None,
    terms: Path | None,
    labels: Path | None,
    truth: Path | None,
    margins: tuple[str, ...],
    out: Path | None,
    threads: int,
) -> None:
    """Compare CANDIDATE with SERVING, the bundle that is served, on held-out clicks.

    The exit status is 0 if the candidate may replace it, and 3 if it is worse than a margin allows.

    \b
    onebar gate bundles/served build/bundle --examples build/examples --terms logs/prohibited_terms.tsv --out gate.json
    """
    accepted = _changed(margins)
    clicks = read_examples(folder / f"examples_{split}.parquet", kind="click", limit=limit)
    shop = Shop(truth) if truth else None
    if shop is not None:
        shop.check(clicks)
    labelled = _labelled(folder, split, labels, limit) if labels else None
    predictors = [BundlePredictor(path, threads=threads, show_progress=True) for path in (serving, candidate)]
    served, other = (Side(predictor, predictor.bundle.reject_threshold) for predictor in predictors)
    listed = ProhibitedTerms(load_terms(terms) if terms else [])
    measures = measure(served, other, clicks, listed, shop, labelled)
    decision = decide(measures, len(clicks), accepted)
    if out is not None:
        versions = [predictor.bundle.model_version for predictor in predictors]
        document = {"serving": versions[0], "candidate": versions[1], **decision.to_dict()}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{'measure':<20}{'serving':>10}{'candidate':>11}{'difference':>12}  interval")
    for name, found in measures.items():
        low, high = found.interval
        figures = f"{found.serving:>10.4f}{found.candidate:>11.4f}{found.difference:>+12.4f}"
        click.echo(f"{name:<20}{figures}  {low:+.4f} {high:+.4f}")
    click.echo(decision.verdict + "".join(f"\n  {reason}" for reason in decision.reasons))
    click.get_current_context().exit(0 if decision.verdict == "promote" else REFUSED)


def _labelled(folder: Path, split: str, labels: Path, limit: int | None) -> Labelled | None:
    videos = labelled_videos(folder, split, labels, limit=limit)
    return Labelled([example.evidence() for example in videos.examples], videos.unsafe) if videos else None


def _changed(margins: tuple[str, ...]) -> Margins:
    changed: dict[str, float] = {}
    for item in margins:
        name, _, value = item.partition("=")
        if name not in Margins.__dataclass_fields__:
            known = ", ".join(Margins.__dataclass_fields__)
            raise click.BadParameter(f"there is no margin {name!r}; there are {known}", param_hint="--margin")
        try:
            changed[name] = int(value) if name.startswith("min_") else float(value)
        except ValueError:
            raise click.BadParameter(f"{item!r} has no number", param_hint="--margin") from None
    return Margins(**changed)  # type: ignore[arg-type]
