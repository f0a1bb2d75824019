"""A result of `python -m benchmarks.peers` as Markdown tables, and as a plot.

    python -m benchmarks.peers.report benchmarks/results/peers.json --into docs/benchmarks.md --plot docs/peers.svg

The tables go between `<!-- peers -->` and `<!-- /peers -->` of the document; the rest of it is written by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.peers.figures import ALONE


def replace_between(document: Path, name: str, text: str) -> None:
    """Put `text` between the comments `<!-- name -->` and `<!-- /name -->` of a document.

    Raises:
        ValueError: the document has not exactly one of each, in this order.
    """
    before = document.read_text(encoding="utf-8")
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = before.partition(opening)
    _, ended, tail = rest.partition(closing)
    if not found or not ended or opening in rest or closing in head + tail:
        raise ValueError(f"{document} must hold {opening} and, after it, {closing}, each once")
    document.write_text(f"{head}{opening}\n{text}\n{closing}{tail}", encoding="utf-8")


def to_markdown(result: dict[str, Any]) -> str:
    """Return the tables of a result."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines = [
        f"{machine['cpu']} (family/model {machine['cpu_family_and_model']}; {' '.join(machine['flags'])}), "
        f"{machine['cores']} cores, one compute thread each; load average before: {machine['load_average_before'][0]}. "
        f"Commit {result['commit']}, {result['finished']}. {versions}. {result['rounds']} rounds of "
        f"{result['block_seconds']} s a block, after a warm-up of {result['warm_up_requests']} requests each.",
        "",
    ]
    for found in result["sizes"].values():
        lines += [f"### {found['model']}", "", *_times(found, result), ""]
        lines += [*_outputs(found), ""]
    if any(found["bars"] for found in result["sizes"].values()):
        lines += ["### Against what was asked", "", *_bars(result)]
    return "\n".join(lines).rstrip()


def _times(found: dict[str, Any], result: dict[str, Any]) -> Iterator[str]:
    phases = found["phases"]
    clients = [str(count) for count in result["clients"]]
    yield "| | alone: p50, ms | p99, ms | requests/s |" + "".join(
        f" {count} clients: p50, ms | p99, ms | requests/s |" for count in clients
    )
    yield "|---" * (4 + 3 * len(clients)) + "|"
    for name in phases[ALONE]:
        cells = []
        for phase in (ALONE, *clients):
            row = phases.get(phase, {}).get(name)
            cells += [_short(row[figure]) if row else "" for figure in ("p50_ms", "p99_ms", "throughput")]
        yield f"| {name} | " + " | ".join(cells) + " |"
    tuned = found["ctranslate2"]
    yield ""
    yield (
        f"CTranslate2 as fast as it goes here: instruction set {tuned['isa'] or 'of its own choice'}, "
        f"`{tuned['compute_type']}`. Largest batch taken from the queue: "
        + ", ".join(f"{name} {batch['max_batch']}" for name, batch in found["batches"].items())
        + "."
    )


def _outputs(found: dict[str, Any]) -> Iterator[str]:
    yield "| answers compared | same lists | same best | overlap | largest difference of scores |"
    yield "|---|---|---|---|---|"
    for section, text in (
        ("outputs_against_transformers", "{}, with transformers"),
        ("outputs_together_against_alone", "{}, together with one by one"),
    ):
        for name, row in found[section].items():
            yield (
                f"| {text.format(name)} | {row['identical_lists']:.0%} | {row['identical_tops']:.0%} "
                f"| {row['mean_overlap']:.0%} | {row['max_score_difference']:.2g} |"
            )


def _bars(result: dict[str, Any]) -> Iterator[str]:
    yield "| model | ratio | asked | measured | least and greatest of a round | |"
    yield "|---|---|---|---|---|---|"
    for name, found in result["sizes"].items():
        for bar in found["bars"]:
            sign = "at most" if bar["at_most"] else "at least"
            yield (
                f"| {name} | {bar['text']} | {sign} {bar['wanted']} | {bar['ratio']:.2f} "
                f"| {bar['min']:.2f} to {bar['max']:.2f} | {'met' if bar['met'] else 'missed'} |"
            )


def _short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw latency alone, and throughput by the number of clients, of every size."""
    import matplotlib as mpl  # needed for this only

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "peers"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text, which is smaller than its outlines
    from matplotlib import pyplot

    sizes = list(result["sizes"].values())
    names = list(sizes[0]["phases"][ALONE])
    colours = dict(zip(names, pyplot.get_cmap("tab10")(range(len(names))), strict=True))
    figure, axes = pyplot.subplots(2, len(sizes), figsize=(4.2 * len(sizes), 6.4), squeeze=False)
    for (upper, lower), found in zip(axes.T, sizes, strict=True):
        alone = found["phases"][ALONE]
        upper.barh(list(alone), [row["p50_ms"] for row in alone.values()], color=[colours[name] for name in alone])
        for place, row in enumerate(alone.values()):
            upper.text(row["p50_ms"], place, f" {_short(row['p50_ms'])}", va="center", fontsize=8)
        upper.set(title=found["model"].replace(", random weights", ""), xlabel="p50 of one request alone, ms")
        upper.title.set_fontsize(9)
        upper.margins(x=0.2)
        upper.tick_params(labelsize=8)
        for name in names:
            points = [
                (int(phase), by_name[name]["throughput"])
                for phase, by_name in found["phases"].items()
                if name in by_name
            ]
            lower.plot(*zip(*points, strict=True), "o-", color=colours[name], label=name, markersize=4)
        lower.set(xlabel="clients", ylabel="requests a second", xscale="log", xticks=[1, *result["clients"]])
        lower.set_xticklabels(["1", *map(str, result["clients"])])
        lower.minorticks_off()
        lower.set_ylim(bottom=0)
    axes[1][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--into", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Markdown file to update.")
@click.option("--section", default="peers", show_default=True, help="Name of the comments to write between.")
@click.option("--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="SVG or PNG file to write.")
def main(source: Path, into: Path | None, section: str, picture: Path | None) -> None:
    """Turn the JSON result SOURCE into Markdown."""
    result = json.loads(source.read_text(encoding="utf-8"))
    text = to_markdown(result)
    if into:
        replace_between(into, section, text)
    else:
        click.echo(text)
    if picture:
        plot(result, picture)


if __name__ == "__main__":
    sys.exit(main())
