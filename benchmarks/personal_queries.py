"""How long does it take to choose a viewer's personal queries, with each kind of embedder?

    onebar offline embedder logs build/embedder
    python -m benchmarks.personal_queries --embedder build/embedder --output build/personal_queries.json

The texts are videos and past queries of the shipped demo. For each kind of embedder it measures

    select_200        cosines of 200 stored vectors with the video, the threshold, the best four
    request_stored    all of it for one request: a stored video, and 64 stored queries, the most that a request reads
    request_recent    the same, and one recent query whose vector is not cached
    embed_query       one query
    embed_caption     the text and the summary of one video
    embed_longest     the longest text that is embedded

Times are of the thread's CPU, so they hold while other processes share the cores. All cases of all kinds take turns in
random order, so ratios between kinds are of the same conditions. Each runs twice in a row: `first` is the time after
other work, `again` that with data and code in the caches of the processor. A transformer's vectors are compared as
those of the static kind are, and no text is embedded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from evidence.assemble import MAX_LIST_QUERIES, build_evidence
from evidence.embedder import Embedder, HashedEmbedder, StoredVectors
from evidence.embedding import MAX_EMBEDDED_CHARACTERS, PERSONAL_LIMIT, filter_personal, trigger_text
from evidence.schema import Evidence, RawText
from evidence.static_embedder import StaticEmbedder, load_static_embedder
from feature_store import PhotoRecord, UserRecord
from loadtest.machine import begin_result, finish_result
from loadtest.traffic import read_rows
from service.answering.personal import PersonalSelector
from service.settings import PersonalSettings

STORED = 200
_DEMO = Path("demo/evidence")
Case = Callable[[int], object]


def demo_texts(videos: int) -> tuple[list[Evidence], list[str]]:
    """Return the evidence of some videos of the demo, and its distinct past queries."""
    rows = islice(read_rows(_DEMO / "photos.jsonl.gz"), videos)
    evidence = [build_evidence(RawText(caption=row.get("caption")), summary=row.get("summary") or "") for row in rows]
    users = read_rows(_DEMO / "users.jsonl.gz")
    return [found for found in evidence if found.text], list(dict.fromkeys(q for row in users for q in row["queries"]))


def cases(embedder: Embedder, makes: Embedder, videos: Sequence[Evidence], queries: Sequence[str]) -> dict[str, Case]:
    """Return what is measured for one kind, by name; each takes the number of the repetition.

    Args:
        embedder: of the bundle.
        makes: the vectors that are stored; `embedder` itself, but for the transformer kind.
        videos: of which one is taken for each repetition.
        queries: of which the next ones are taken for each repetition.
    """
    texts = [trigger_text(video.text, video.summary) for video in videos]
    triggers, vectors = makes.embed(texts), makes.embed(queries)
    everything = PersonalSettings(threshold=-1.0)
    selector = PersonalSelector(embedder, everything)
    longest = [(" ".join(texts[place:]) + " " + " ".join(texts))[:MAX_EMBEDDED_CHARACTERS] for place in range(16)]
    threshold = selector.threshold

    def block(number: int, count: int) -> slice:
        start = number * 7 % (len(queries) - count)
        return slice(start, start + count)

    def select_200(number: int) -> object:
        part = block(number, STORED)
        trigger = triggers[number % len(texts)]
        return filter_personal(trigger, queries[part], vectors[part], threshold, PERSONAL_LIMIT)

    def request(number: int, recent: Sequence[str]) -> object:
        place, part = number % len(texts), block(number, MAX_LIST_QUERIES)
        photo = PhotoRecord(embedding=triggers[place], embedding_version=embedder.version)
        user = UserRecord(tuple(queries[part]), vectors[part], embedder.version)
        selector.vectors.clear()
        return selector.select(videos[place], photo, replaced=False, user=user, recent=recent)

    found: dict[str, Case] = {"select_200": select_200, "request_stored": lambda number: request(number, ())}
    if embedder.embeds_texts:
        found |= {
            "request_recent": lambda number: request(number, (queries[-1 - number % len(queries)],)),
            "embed_query": lambda number: embedder.embed([queries[number % len(queries)]]),
            "embed_caption": lambda number: embedder.embed([texts[number % len(texts)]]),
            "embed_longest": lambda number: embedder.embed([longest[number % len(longest)]]),
        }
    return found


def measure(kinds: dict[str, dict[str, Case]], repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return medians and 99th percentiles in microseconds, by kind and case."""
    names = [(kind, name) for kind, found in kinds.items() for name in found]
    spent = np.zeros((len(names), 2, repeats))
    order = np.random.default_rng(0)
    for number in range(repeats):
        for row in order.permutation(len(names)):
            kind, name = names[row]
            case = kinds[kind][name]
            for turn in range(2):
                begun = time.thread_time_ns()
                case(number)
                spent[row, turn, number] = (time.thread_time_ns() - begun) / 1000
    figures: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in kinds}
    for (kind, name), turns in zip(names, spent, strict=True):
        figures[kind][name] = {
            f"{turn}_{point}_us": round(float(np.percentile(values, percent)), 1)
            for turn, values in zip(("first", "again"), turns, strict=True)
            for point, percent in (("p50", 50), ("p99", 99))
        }
    return figures


def kinds_of(static: StaticEmbedder | None) -> dict[str, tuple[Embedder, Embedder]]:
    """Return the embedder of the bundle and the one that made the stored vectors, for each kind."""
    hashed = HashedEmbedder()
    found: dict[str, tuple[Embedder, Embedder]] = {"hashed": (hashed, hashed)}
    if static is not None:
        found["static"] = (static, static)
        found["transformer"] = (StoredVectors("transformer-0", static.dimension, {}), static)
    return found


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option(
    "--embedder",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a static embedder.  [default: the hashed embedder alone]",
)
@click.option("--videos", type=click.IntRange(min=16), default=500, help="Videos of the demo.")
@click.option("--repeats", type=click.IntRange(min=10), default=5000, help="Of each case.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(folder: Path | None, videos: int, repeats: int, output: Path | None) -> None:
    """Measure every kind, print a table, and write all."""
    started = begin_result("personal_queries", "numpy", "tokenizers")
    static = load_static_embedder(folder) if folder else None
    evidence, queries = demo_texts(videos)
    kinds = {kind: cases(embedder, makes, evidence, queries) for kind, (embedder, makes) in kinds_of(static).items()}
    measure(kinds, 20)
    figures = measure(kinds, repeats)
    for turn in ("first", "again"):
        click.echo(f"{f'{turn}: p50 / p99, µs of CPU':28}" + "".join(f"{kind:>20}" for kind in figures))
        for name in figures["hashed"]:
            cells = [found.get(name) for found in figures.values()]
            shown = [f"{cell[f'{turn}_p50_us']} / {cell[f'{turn}_p99_us']}" if cell else "-" for cell in cells]
            click.echo(f"{name:28}" + "".join(f"{text:>20}" for text in shown))
    if output:
        embedder: dict[str, Any] = {"version": static.version, "dimension": static.dimension} if static else {}
        finish_result({**started, "static": embedder, "repeats": repeats, "figures": figures}, output)


if __name__ == "__main__":
    sys.exit(main())
