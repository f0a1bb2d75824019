"""How long can one request body hold the event loop, whatever it says?

    python -m benchmarks.request_cost --output build/request_cost.json
    python -m benchmarks.request_cost --repeats 15

Each family of `benchmarks.hostile` fills every field of a body as far as the 64 KiB of a request go, or every field of
stored evidence, where no body limits it. Each body is put through what runs on the event loop between its last byte
and the engine: reading and validating it, gathering the evidence (cleaning and choosing personal queries), rendering
the source, and hashing the evidence. Bodies that are refused are measured too. Times are of the thread's CPU, caches
are empty at each repetition, and the median is taken. HTTP itself and the engine are not in it.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import click
from tokenizers import Tokenizer

from benchmarks.hostile import families
from evidence.embedder import Embedder, HashedEmbedder
from evidence.render import Renderer
from evidence.schema import RawText
from evidence.static_embedder import load_static_embedder
from feature_store import Fetched, PhotoRecord, UserRecord
from loadtest.machine import begin_result, finish_result
from service.answering import evidence_source
from service.answering.errors import RequestRefused
from service.answering.personal import PersonalSelector
from service.answering.request import (
    MAX_CAPTION_CHARACTERS,
    MAX_LIST_ITEMS,
    MAX_QUERY_CHARACTERS,
    MAX_SUMMARY_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    RecommendRequest,
)
from service.http.parsing import load_json, validate
from service.settings import PersonalSettings

MAX_BODY_BYTES = 64 * 1024
PARTS = ("parse", "gather", "render", "version")
SHORT_QUERY = 32
"""Characters of a query in a list of many: as many as are read of each list are in 64 of them."""

NOTHING_STORED = Fetched()
ALL_PERSONAL = PersonalSettings(threshold=-1.0)


def texts(unit: str) -> Iterator[str]:
    """Yield characters of a family without end, those that JSON and the contract let through."""
    usable = [c for c in unit if c >= " " and not "\x7f" <= c <= "\x9f" and not "\ud800" <= c <= "\udfff"]
    return cycle(usable or ["a"])


def body_of(unit: str, query_characters: int) -> bytes:
    """Return a valid body of at most 64 KiB: every field that cleaning reads first, then more of each list."""
    source = texts(unit)
    spent = 2 * 1024  # for names, quotes and commas
    fields: dict[str, Any] = {"anchors": [], "histories": []}
    recent: list[str] = []

    def take(characters: int) -> str:
        nonlocal spent
        kept = ""
        for character in islice(source, characters):
            size = len(json.dumps(character, ensure_ascii=False).encode()) - 2
            if spent + size > MAX_BODY_BYTES:
                break
            spent += size
            kept += character
        return kept

    for name in ("caption", "photo_title", "title", "item_title", "summary"):
        fields[name] = take(MAX_TITLE_CHARACTERS)
    for _ in range(MAX_LIST_ITEMS):
        for queries in (fields["anchors"], fields["histories"], recent):
            spent += 3
            if query := take(query_characters):
                queries.append(query)
    fields["caption"] += take(MAX_CAPTION_CHARACTERS - MAX_TITLE_CHARACTERS)
    fields["summary"] += take(MAX_SUMMARY_CHARACTERS - MAX_TITLE_CHARACTERS)
    document = {"photo_id": "p", "evidence": fields, "recent_queries": recent}
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(body) <= MAX_BODY_BYTES, len(body)
    return body


def stored_of(unit: str, query_characters: int) -> Fetched:
    """Return stored evidence with every field at its worst; the store limits no size."""
    source = cycle(unit)

    def take(characters: int) -> str:
        return "".join(islice(source, characters))

    def queries() -> tuple[str, ...]:
        return tuple(take(query_characters) for _ in range(8 * MAX_LIST_ITEMS))

    return Fetched(
        photo=PhotoRecord(
            raw=RawText(*(take(MAX_CAPTION_CHARACTERS) for _ in range(4))),
            summary=take(MAX_SUMMARY_CHARACTERS),
            anchors=queries(),
            histories=queries(),
        ),
        user=UserRecord(queries=queries()),
    )


def refused_bodies() -> dict[str, bytes]:
    """Return bodies of 64 KiB with as many faults as they can hold."""

    def filled(start: str, item: Callable[[int], str], end: str) -> bytes:
        items: list[str] = []
        size = len(start) + len(end)
        while size + len(text := item(len(items))) + 1 <= MAX_BODY_BYTES:
            items.append(text)
            size += len(text) + 1
        return (start + ",".join(items) + end).encode()

    return {
        "unknown fields": filled('{"photo_id":"p",', lambda n: f'"{n:x}":0', "}"),
        "unknown fields of evidence": filled('{"photo_id":"p","evidence":{', lambda n: f'"{n:x}":0', "}}"),
        "almost known fields": filled("{", lambda n: f'"recent_querie{n:x}_item_title_deadline_ms_num":0', "}"),
        "queries that are numbers": filled('{"photo_id":"p","recent_queries":[', lambda _: "0", "]}"),
        "an array of numbers": filled("[", lambda _: "0", "]"),
        "unfinished": filled('{"photo_id":"p","recent_queries":[', lambda _: '"a"', ""),
        "nested arrays": b"[" * MAX_BODY_BYTES,
        "bytes that are not UTF-8": b'{"photo_id":"p","evidence":{"caption":"' + b"\xff" * 60_000 + b'"}}',
    }


class Loop:
    """What runs on the event loop for one request, timed part by part."""

    def __init__(self, tokenizer: Path, embedder: Embedder) -> None:
        """Read the tokenizer of a bundle once; each request gets a renderer that remembers nothing."""
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.personal = PersonalSelector(embedder, ALL_PERSONAL)

    def run(self, body: bytes, stored: Fetched) -> list[float]:
        """Return the milliseconds of each part, 0 for those that a refused body does not reach."""
        self.personal.vectors.clear()
        renderer = Renderer(self.tokenizer)
        marks = [time.thread_time()]

        def mark() -> None:
            marks.append(time.thread_time())

        try:
            request = validate(RecommendRequest, load_json(body))
        except RequestRefused:
            mark()
        else:
            mark()
            evidence, _ = evidence_source.gather(request, stored, self.personal)
            mark()
            renderer.render(evidence)
            mark()
            evidence_source.evidence_version(evidence)
            mark()
        spent = [(end - start) * 1000 for start, end in pairwise(marks)]
        return spent + [0.0] * (len(PARTS) - len(spent))

    def measure(self, body: bytes, stored: Fetched, repeats: int) -> dict[str, float]:
        """Return the median milliseconds of each part, and of the whole."""
        runs = [self.run(body, stored) for _ in range(repeats)]
        medians = {part: statistics.median(run[i] for run in runs) for i, part in enumerate(PARTS)}
        medians["total"] = statistics.median(map(sum, runs))
        return {name: round(value, 3) for name, value in medians.items()}


def cases() -> Iterator[tuple[str, bytes, Fetched]]:
    """Yield what is measured: a name, a body, and what is stored."""
    ordinary = json.dumps({"photo_id": "p", "evidence": {"caption": "New CFMOTO 675NK! #bikes"}}).encode()
    yield "ordinary", ordinary, NOTHING_STORED
    bare = b'{"photo_id":"p","user_id":"u"}'
    for name, unit in families().items():
        for kind, characters in (("long queries", MAX_QUERY_CHARACTERS), ("short queries", SHORT_QUERY)):
            yield f"{name}, {kind}", body_of(unit, characters), NOTHING_STORED
            yield f"{name}, {kind}, stored", bare, stored_of(unit, characters)
    for name, body in refused_bodies().items():
        yield f"refused: {name}", body, NOTHING_STORED


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--tokenizer", type=click.Path(exists=True, path_type=Path), default=Path("demo/bundle/tokenizer.json"))
@click.option(
    "--embedder",
    "embedder_folder",
    type=click.Path(exists=True, path_type=Path),
    help="Folder of a static embedder.  [default: the hashed embedder]",
)
@click.option("--repeats", type=click.IntRange(min=1), default=7, help="Of each body; the median is taken.")
@click.option("--show", type=click.IntRange(min=1), default=15, help="Bodies shown, the worst first.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(tokenizer: Path, embedder_folder: Path | None, repeats: int, show: int, output: Path | None) -> None:
    """Measure every body, print the worst, and write all."""
    started = begin_result("request_cost", "pydantic", "tokenizers")
    embedder = load_static_embedder(embedder_folder) if embedder_folder else HashedEmbedder()
    loop = Loop(tokenizer, embedder)
    gc.disable()  # a collection would be charged to the body that happens to start it
    found = {name: loop.measure(body, stored, repeats) for name, body, stored in cases()}
    gc.enable()
    worst = sorted(found, key=lambda name: -found[name]["total"])
    click.echo("  total" + "".join(f"{part:>9}" for part in PARTS) + "   ms")
    for name in ["ordinary", *worst[:show]]:
        times = found[name]
        click.echo(f"{times['total']:7.2f}" + "".join(f"{times[part]:9.2f}" for part in PARTS) + f"   {name}")
    for part in PARTS:
        name = max(found, key=lambda name: found[name][part])
        click.echo(f"worst for {part}: {found[name][part]:.2f} ms, {name}")
    if output:
        result = {
            **started,
            "repeats": repeats,
            "embedder": embedder.version,
            "unit": "median ms of CPU of the event loop's thread",
            "bodies": found,
        }
        finish_result(result, output)


if __name__ == "__main__":
    sys.exit(main())
