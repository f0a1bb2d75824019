"""The title baseline on a file of (title, query, relevance) judgements, where its hit rate is known independently.

It checks that the baseline and the metrics agree with other implementations:

    python -m evaluation.title_pairs pairs.tsv.gz
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import click

from evaluation.baselines import TitleNeighbours
from evaluation.inputs import TitledQuery
from evaluation.metrics import METRICS, score_all
from evidence.cleaning import clean_text

POSITIVE_RELEVANCE = 2.33


def read_pairs(path: Path, split: str) -> Iterator[TitledQuery]:
    """Yield the positive pairs of one split of a TSV file with the columns split, title, query and relevance."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["split"] == split and float(row["relevance"]) >= POSITIVE_RELEVANCE:
                yield TitledQuery(clean_text(row["title"]), row["query"])


@click.command()
@click.argument("pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(pairs: Path) -> None:
    """Fit on the train split of PAIRS, predict its dev split, and print the metrics as JSON."""
    baseline = TitleNeighbours(read_pairs(pairs, "train"))
    held_out = list(read_pairs(pairs, "dev"))
    predictions = baseline.predict_titles([pair.title for pair in held_out])
    means = score_all(predictions, [pair.query for pair in held_out]).mean(axis=0)
    figures = dict(zip(METRICS, means.round(4).tolist(), strict=True))
    click.echo(json.dumps({"pairs": len(held_out), **figures}))


if __name__ == "__main__":
    main()
