"""`onebar world`, `onebar world-report`, `onebar demo-evidence` and `onebar demo-feed`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from tqdm import tqdm

from demo.world.build import build_world
from demo.world.spec import WorldSpec
from demo.world.vocabulary import departments

_DEFAULT = WorldSpec()


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", default=_DEFAULT.seed, show_default=True, help="Same seed and sizes: byte-identical tables.")
@click.option("--videos", default=_DEFAULT.videos, show_default=True, help="Videos over the whole log.")
@click.option("--users", default=_DEFAULT.users, show_default=True, help="Users who watch.")
@click.option("--days", default=_DEFAULT.days, show_default=True, help="Log days; the last one is the test day.")
@click.option(
    "--impressions-per-day",
    default=_DEFAULT.impressions_per_day,
    show_default=True,
    help="Videos watched a day; six in ten end in a query.",
)
@click.option(
    "--departments",
    multiple=True,
    metavar="NAME",
    help="Make a shop with this department only. Repeat the option for more; without it the shop has all: "
    + ", ".join(department.name for department in departments())
    + ".",
)
def world(
    out: Path, seed: int, videos: int, users: int, days: int, impressions_per_day: int, departments: tuple[str, ...]
) -> None:
    """Simulate a short-video shop and write its log tables to OUT.

    \b
    Example, a small world in a few seconds:
      onebar world data/small --videos 1500 --users 800 --days 6 --impressions-per-day 4000

    \b
    Example, a shop of two departments:
      onebar world data/pets --departments pets --departments crafts

    The tables are described in docs/data_formats.md. OUT/truth has the latent variables. They are for tests and
    for `onebar world-report`, never for training.
    """
    spec = WorldSpec(seed, videos, users, days, impressions_per_day, departments)
    with tqdm(total=days + 2, unit="step", desc="world") as bar:

        def advance(done: int, following: str) -> None:
            bar.update(done - bar.n)
            bar.set_postfix_str(following)

        rows = build_world(out, spec, advance)
    for name, count in rows.items():
        click.echo(f"{name:>14} {count:>10,}")


@click.command("world-report")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--day", type=int, default=None, help="Day to measure on; the last one when left out.")
@click.option("--sample", default=2000, show_default=True, help="Targets of that day that the bounds are measured on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def world_report(directory: Path, day: int | None, sample: int, as_json: bool) -> None:
    """Measure a world: the ceiling, the bound of the title alone, rates, head and tail, position bias.

    \b
    Example:
      onebar world-report data/small
    """
    from demo.report import report

    figures = report(directory, day=day, sample=sample)
    if as_json:
        click.echo(json.dumps(figures, indent=2))
        return
    for section, values in figures.items():
        click.echo(section)
        for name, value in values.items():
            shown = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"
            click.echo(f"  {name:<38} {shown:>14}")


@click.command("demo-evidence")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("evidence", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("users", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--videos", default=3000, show_default=True, help="Videos to keep, the most watched ones.")
@click.option("--viewers", default=1500, show_default=True, help="Users to keep, the most active ones.")
def demo_evidence(directory: Path, evidence: Path, users: Path, out: Path, videos: int, viewers: int) -> None:
    """Select the part of a world's evidence that is shipped as the demo.

    \b
    Example, as of the last day of a world of 12 days:
      onebar offline evidence var/world var/photos.jsonl.gz --as-of-day 11 --embedder var/embedder --no-embeddings
      onebar offline users var/world var/users.jsonl.gz --as-of-day 11 --embedder var/embedder --no-embeddings
      onebar demo-evidence var/world var/photos.jsonl.gz var/users.jsonl.gz demo/evidence
    """
    from demo.selection import select

    for name, count in select(directory, evidence, users, out, videos, viewers).items():
        click.echo(f"{name:>20} {count:>7,}")


@click.command("demo-feed")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("evidence", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--videos", default=240, show_default=True, help="Videos of the feed.")
@click.option("--viewers", default=10, show_default=True, help="Viewers to choose from.")
def demo_feed(directory: Path, evidence: Path, videos: int, viewers: int) -> None:
    """Write the feed of the demo page into EVIDENCE, the folder that `onebar demo-evidence` made from this world.

    \b
    Example:
      onebar demo-feed var/world demo/evidence
    """
    from demo.feed import write_feed

    for name, count in write_feed(directory, evidence, videos, viewers).items():
        click.echo(f"{name:>20} {count:>7,}")
