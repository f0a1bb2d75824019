r"""Do three days of refresh beside a live service under load go unnoticed, and do they help?

\b
    python -m benchmarks.refresh_days OUT             # days, sizes and rate are options
    python -m benchmarks.refresh_days OUT --smoke     # every path with a tiny shop

A small shop is simulated, and a small model is trained on its first days. `onebar serve` serves it with two
redis-servers, one for the evidence and one for the events, and follows the promotion record. Then each day is played:
its impressions are sent to `POST /recommend`, as Poisson arrivals that do not wait for answers, and clicks to
`POST /feedback`; the five windows of the day are the quiet ones. After the day `onebar refresh` runs at low priority
while other calls come at the same rate, and the service takes the promoted bundle. One more day is played after the
last refresh; its own refresh has a learning rate that spoils the model, and the gate must refuse the candidate. At last
`onebar bundle rollback` returns to the bundle of before. The result is OUT/findings.json.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq

from benchmarks.live_service import LARGEST_LAG_METRIC
from benchmarks.refresh_days import findings as figures
from benchmarks.refresh_days.dated import DATED_STREAM, move_events
from benchmarks.refresh_days.live import Live, live, refresh_command
from benchmarks.refresh_days.load import Load, Span, bundle_state, run_steps
from benchmarks.refresh_days.quality import NextDay, quality
from benchmarks.refresh_days.shop import SMOKE, Shop, Sizes, command
from benchmarks.refresh_days.visits import Day, Viewers, visits_of
from benchmarks.windows import Window
from loadtest.checks import TermList
from loadtest.machine import begin_result, finish_result
from loadtest.open_loop import Client
from loadtest.traffic import Mix, Traffic
from service.operating.promotion import read_current

QUIET_WINDOWS = 5
SPOILING = ("optim.learning_rate=0.03", "optim.warmup_steps=0")
"""Settings of Stage I with which a model is spoilt: a learning rate a hundred times too high."""

_WARM_UP_SECONDS = 3.0
_AFTER_ROLLBACK_SECONDS = 5.0


class Run:
    """The played days, one after the other."""

    def __init__(self, shop: Shop, parts: Live, load: Load, viewers: Viewers) -> None:
        """Keep what a day needs, and read the videos of the shop."""
        self._shop, self._live, self._load, self._viewers = shop, parts, load, viewers
        rows = pq.read_table(shop.world / "videos.parquet").to_pylist()
        self._videos = {row["photo_id"]: row for row in rows}
        self.created: dict[str, int] = {row["photo_id"]: row["created_day"] for row in rows}
        self._users = pq.read_table(shop.world / "users.parquet")["user_id"].to_pylist()
        self.quiet: list[list[Window]] = []
        self.changes: list[Window] = []
        self.clicks: dict[int, Path] = {}
        self.served: dict[int, Path] = {shop.sizes.history - 1: shop.first_bundle}

    def other_calls(self, day: int) -> Traffic:
        """Return calls for the videos that the store knows on a day, and that belong to no day."""
        known = [row for name, row in self._videos.items() if self.created[name] < day]
        return Traffic(known, self._users, seed=day, mix=Mix(batch=0))

    async def warm_up(self) -> None:
        """Send some calls that are not looked at."""
        await self._load.during(self.other_calls(self._shop.sizes.history), asyncio.sleep(_WARM_UP_SECONDS))
        self._load.forget()

    async def play(self, day: int) -> dict[str, Any]:
        """Play a day, and write its events and the other logs of the platform."""
        shop, viewers = self._shop, self._viewers
        visits = visits_of(shop.of_day("impressions", day), shop.of_day("truth/targets", day), self.created)
        spans = await self._load.play(Day(visits, self._videos, self.other_calls(day)), QUIET_WINDOWS)
        self.quiet.append([self._load.window(span) for span in spans])
        traffic = self.other_calls(day)
        moved = asyncio.to_thread(move_events, self._live.events, viewers.visits, set(viewers.shown))
        events = await self._load.during(traffic, moved)
        shop.put_searches(day, viewers.clicked)
        shop.put_so_far(day)
        hits = figures.served_hits(visits, viewers.shown)
        return {"day": day, "quiet": [w.to_json() for w in self.quiet[-1]], "events": events, "served_hits": hits}

    async def refresh(self, day: int, settings: Path) -> dict[str, Any]:
        """Refresh a day under load; return its record, the figures of its steps, and those of the change."""
        shop, load = self._shop, self._load
        changes = len(load.changes)

        async def work() -> tuple[int, list[Span], dict[str, Any]]:
            status, spans = await run_steps(*refresh_command(settings, day))
            record = json.loads((shop.day_folder(day) / "record.json").read_text(encoding="utf-8"))
            while record["outcome"] == "promoted" and len(load.changes) == changes:
                await asyncio.sleep(0.1)
            return status, spans, record

        status, spans, record = await load.during(self.other_calls(day), work())
        if status:
            raise click.ClickException(f"the refresh of day {day} failed: {record['reasons']}")
        self.clicks[day] = shop.out / "clicks" / f"day-{day}.parquet"
        self.clicks[day].parent.mkdir(exist_ok=True)
        shutil.copy(shop.out / "state" / "build" / "examples" / "examples_test.parquet", self.clicks[day])
        promoted = record["outcome"] == "promoted"
        self.served[day] = Path(record["candidate"]["bundle"]) if promoted else self.served[day - 1]
        exposures = shop.logs / "exposures" / f"day-{day:05d}.parquet"
        return {
            "outcome": record["outcome"],
            "reasons": record["reasons"],
            "measures": record["decision"]["measures"],
            "feedback": record["events"]["feedback"],
            "step_seconds": record["seconds"],
            "steps": {span.name: load.window(span).to_json() for span in spans},
            "change": self.change_figures(load.changes[-1]) if promoted else None,
            "exported": figures.different_rows(exposures, self._viewers.shown, self._viewers.clicked),
        }

    async def rollback(self, day: int) -> dict[str, Any]:
        """Return to the bundle of before, and look at the answers after it."""
        shop, load = self._shop, self._load
        current = read_current(shop.promoted)
        if current is None:
            return {"works": False, "change": None}
        target = current.earlier[0].bundle_id or self._first_version()
        changes = len(load.changes)

        async def work() -> None:
            line = command("bundle", "rollback", "--promoted", shop.promoted, "--reason", "end of the run")
            process = await asyncio.create_subprocess_exec(*line)
            if await process.wait():
                raise click.ClickException("the rollback failed")
            while len(load.changes) == changes:
                await asyncio.sleep(0.1)

        await load.during(self.other_calls(day), work())
        self._viewers.versions.clear()
        await load.during(self.other_calls(day), asyncio.sleep(_AFTER_ROLLBACK_SECONDS))
        versions = dict(self._viewers.versions)
        works = list(versions) == [target]
        return {
            "from": current.bundle_id, "to": target, "answers": versions, "works": works,
            "change": self.change_figures(load.changes[-1]),
        }  # fmt: skip

    def quality(self) -> dict[str, Any]:
        """Return HR@8 on new videos after each refresh."""
        days = [
            NextDay(day, self.clicks[day + 1], self.served[day - 1], self.served[day]) for day in self.clicks
            if day + 1 in self.clicks
        ]  # fmt: skip
        return quality(days, self.created)

    def change_figures(self, span: Span) -> dict[str, Any]:
        """Return the figures of a change beside the quiet windows of the day, and keep its window."""
        window = self._load.window(span)
        self.changes.append(window)
        return figures.change_figures(self.quiet[-1], window)

    def _first_version(self) -> str:
        manifest = json.loads((self._shop.first_bundle / "manifest.json").read_text(encoding="utf-8"))
        version: str = manifest["model_version"]
        return version


async def run(shop: Shop, parts: Live, rate: float) -> dict[str, Any]:
    """Play all days and return the findings."""
    terms = TermList.read(shop.logs / "prohibited_terms.tsv")
    async with aclosing(Client("127.0.0.1", parts.service.port, parts.key)) as client:
        viewers = Viewers(client)
        load = Load(parts.service, viewers, rate, terms, shop.promoted)
        played = Run(shop, parts, load, viewers)
        await played.warm_up()
        load.follower = follower = asyncio.create_task(load.follow())
        usual = shop.write_settings(parts.store, parts.events, DATED_STREAM, "refresh.yaml")
        spoilt = shop.write_settings(parts.store, parts.events, DATED_STREAM, "spoilt.yaml", SPOILING)
        *days, last = shop.sizes.played
        reports = [await played.play(day) | await played.refresh(day, usual) for day in days]
        closing = await played.play(last)
        before = bundle_state(parts.service)["model_version"]
        sabotage = await played.refresh(last, spoilt)
        sabotage["served"] = bundle_state(parts.service)["model_version"] != before
        sabotage["alerts"] = shop.alerts.read_text(encoding="utf-8").splitlines() if shop.alerts.exists() else []
        rolled_back = await played.rollback(last)
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower
    everything = Window(0.0, load.samples, load.largest_mb)
    statuses = Counter(str(sample.status) for sample in load.samples)
    quiet_mb = max(window.resident_mb for windows in played.quiet for window in windows)
    return {
        "load": everything.to_json() | {"statuses": statuses},
        "feedback": {"statuses": viewers.feedback, "failed": viewers.feedback.total() - viewers.feedback[202]},
        "changes": figures.pooled(played.changes, played.quiet),
        "memory_mb": {"quiet": round(quiet_mb, 1), "most": round(load.largest_mb, 1)},
        "loop_lag_max_seconds": parts.service.metrics().total(LARGEST_LAG_METRIC),
        "bundles_loaded": load.bundles_loaded,
        "days": reports,
        "closing_day": closing,
        "sabotage": sabotage,
        "rollback": rolled_back,
        "quality": played.quality(),
    }


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rate", type=click.FloatRange(min=1), default=20.0, help="Calls a second.")
@click.option("--days", type=click.IntRange(min=1), help="Days with a refresh; three if nothing is said.")
@click.option("--impressions", type=click.IntRange(min=100), help="Impressions of a day.")
@click.option("--first-steps", type=click.IntRange(min=1), help="Steps of training the first bundle.")
@click.option("--steps", type=click.IntRange(min=1), help="Steps of training in each refresh.")
@click.option("--nice", type=click.IntRange(0, 19), help="Priority of a refresh; 15, as of `onebar refresh`.")
@click.option("--smoke", is_flag=True, help="A tiny shop and one day, to try every path.")
def main(
    out: Path, rate: float, days: int | None, impressions: int | None, first_steps: int | None, steps: int | None,
    nice: int | None, smoke: bool,
) -> None:  # fmt: skip
    """Make a shop in OUT where there is none, and play its days; the help text is the module's docstring."""
    asked = {"days": days, "impressions": impressions, "first_steps": first_steps, "steps": steps, "nice": nice}
    sizes = replace(SMOKE if smoke else Sizes(), **{name: value for name, value in asked.items() if value is not None})
    shop = Shop(out, sizes)
    result = begin_result("refresh_days", "onnxruntime")
    if not shop.first_bundle.is_dir():
        shop.prepare()
    elif not shop.fits():
        raise click.ClickException(f"{out} has a shop of other sizes; name another folder, or the same sizes")
    shop.begin_again()
    with live(shop) as parts:
        found = asyncio.run(run(shop, parts, rate))
    found["aims"] = figures.aims(found)
    for aim, met in found["aims"].items():
        click.echo(f"{'met' if met else 'missed':<8}{aim}")
    finish_result(result | {"rate": rate} | found, out / "findings.json")
    sys.exit(0 if all(found["aims"].values()) else 1)


if __name__ == "__main__":
    main()
