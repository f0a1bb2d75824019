"""A small simulated shop: its log tables day by day, the bundle that is served first, the settings of the refresh."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

_BY_DAY = ("impressions", "exposures", "searches", "search_clicks")
_SO_FAR = {"videos": "created_day", "reviews": "day"}
_SIZES = "sizes.json"
_TOKENS = 2000
_MARGINS = {
    "hr": 0.05, "new_videos_hr": 0.1, "wrong_entities": 0.05, "missed_unsafe": 0.3, "false_abstention": 0.15,
    "prohibited_terms": 0.05,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the shop and its model are.

    Attributes:
        history: days before the first simulated one; the first bundle is trained on them.
        days: simulated days with a refresh. One more day follows, on which the last refresh is measured.
        videos: of the shop.
        users: of the shop.
        impressions: videos watched a day.
        width: of the model.
        layers: of its encoder; the decoder has one.
        first_steps: of training the first bundle.
        steps: of training in each refresh.
        nice: priority of a refresh; 19 is the lowest.
        min_clicks: on which the gate must measure a candidate.
    """

    history: int = 8
    days: int = 3
    videos: int = 400
    users: int = 200
    impressions: int = 1500
    width: int = 128
    layers: int = 2
    first_steps: int = 600
    steps: int = 200
    nice: int = 15
    min_clicks: int = 200

    @property
    def played(self) -> range:
        """The log days that the live service answers: the simulated ones, and the one after them."""
        return range(self.history, self.history + self.days + 1)


SMOKE = Sizes(
    history=4,
    days=1,
    videos=200,
    users=60,
    impressions=300,
    width=64,
    layers=1,
    first_steps=20,
    steps=10,
    min_clicks=50,
)


@dataclass(frozen=True, slots=True)
class Shop:
    """The files of a run.

    Attributes:
        out: folder of everything.
        sizes: of the shop.
    """

    out: Path
    sizes: Sizes

    @property
    def world(self) -> Path:
        """The whole simulation, with its truth."""
        return self.out / "world"

    @property
    def logs(self) -> Path:
        """The log tables up to the present day."""
        return self.out / "logs"

    @property
    def promoted(self) -> Path:
        """The record that the service follows."""
        return self.out / "promoted"

    @property
    def first_bundle(self) -> Path:
        """The bundle that is served first."""
        return self.out / "first" / "bundle"

    @property
    def first_build(self) -> Path:
        """The evidence of the days before."""
        return self.out / "first" / "build"

    @property
    def user_key(self) -> Path:
        """The keys of pseudonyms."""
        return self.out / "users.key"

    @property
    def alerts(self) -> Path:
        """A line for each alert of a refresh."""
        return self.out / "alerts.txt"

    def day_folder(self, day: int) -> Path:
        """Return the folder that the refresh of a day writes."""
        return self.out / "state" / "days" / f"day-{day:05d}"

    def of_day(self, name: str, day: int) -> list[dict[str, Any]]:
        """Return the rows of a table of the simulation, or of its truth (`truth/…`), for one day."""
        rows = pq.read_table(self.world / f"{name}.parquet")
        found: list[dict[str, Any]] = rows.filter(pc.equal(rows["day"], day)).to_pylist()
        return found

    def prepare(self) -> None:
        """Simulate the shop, and train and export the first bundle on the days before the first simulated one."""
        sizes, first = self.sizes, self.out / "first"
        last = sizes.played[-1]
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / _SIZES).write_text(json.dumps(asdict(sizes), indent=2))
        onebar(
            "world", self.world, "--seed", 7, "--videos", sizes.videos, "--users", sizes.users, "--days", last + 1,
            "--impressions-per-day", sizes.impressions,
        )  # fmt: skip
        self.logs.mkdir(exist_ok=True)
        for name in ("users.parquet", "prohibited_terms.tsv"):
            shutil.copy(self.world / name, self.logs)
        for day in range(sizes.history):
            for name in _BY_DAY:
                self.put(name, day, pq.read_table(self.world / f"{name}.parquet"))
        self.put_so_far(sizes.history - 1)
        onebar("privacy", "new-key", self.user_key)
        (self.out / "sft.yaml").write_text(yaml.safe_dump(_training(sizes)))
        onebar("train", "tokenizer", self.world, self.out / "tokenizer.json", "--size", _TOKENS)
        onebar("offline", "build", self.logs, self.first_build, "--examples", "--hashed")
        examples = self.first_build / "examples"
        onebar(
            "train", "sft", examples, first / "checkpoint", "--tokenizer", self.out / "tokenizer.json",
            "--config", self.out / "sft.yaml",
        )  # fmt: skip
        onebar(
            "export", first / "checkpoint", self.first_bundle, "--parity-inputs", examples / "examples_valid.parquet",
            "--parity-count", 20,
        )  # fmt: skip

    def fits(self) -> bool:
        """Return whether the prepared shop has these sizes; those of a refresh may differ."""
        prepared = json.loads((self.out / _SIZES).read_text())
        return {**prepared, **_of_refresh(self.sizes)} == asdict(self.sizes)

    def begin_again(self) -> None:
        """Remove what an earlier run has added to the prepared shop."""
        for folder in ("state", "promoted", "live", "clicks"):
            shutil.rmtree(self.out / folder, ignore_errors=True)
        self.alerts.unlink(missing_ok=True)
        for path in self.logs.glob("*/day-*.parquet"):
            if path.name > f"day-{self.sizes.history - 1:05d}.parquet":
                path.unlink()
        self.put_so_far(self.sizes.history - 1)

    def put(self, name: str, day: int, rows: pa.Table) -> None:
        """Write the rows of a day as a file of a log table."""
        folder = self.logs / name
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.filter(pc.equal(rows["day"], day)), folder / f"day-{day:05d}.parquet")

    def put_so_far(self, day: int) -> None:
        """Write the videos and the reviews that exist at the end of a day."""
        for name, column in _SO_FAR.items():
            rows = pq.read_table(self.world / f"{name}.parquet")
            pq.write_table(rows.filter(pc.less_equal(rows[column], day)), self.logs / f"{name}.parquet")

    def put_searches(self, day: int, clicked: Collection[str]) -> None:
        """Write the searches of a day, where some viewers have clicked on the bar of the live service.

        A viewer who finds the wanted query in the bar clicks on it; any other one types it. The simulation has a
        search for each intent. Here its source becomes `bar` where the impression is among the clicked ones, and
        `post_video` where it is not.

        Args:
            day: the log day.
            clicked: ids of the impressions whose wanted query was clicked.
        """
        rows = pq.read_table(self.world / "searches.parquet")
        rows = rows.filter(pc.equal(rows["day"], day))
        impressions = {row["impression_id"]: row for row in self.of_day("impressions", day)}
        wanted = {
            (impressions[row["impression_id"]]["user_id"], impressions[row["impression_id"]]["photo_id"], row["target"])
            for row in self.of_day("truth/targets", day)
            if row["impression_id"] in clicked
        }
        sources = []
        for row in rows.select(["user_id", "photo_id", "query", "source"]).to_pylist():
            follows = row["source"] in ("bar", "post_video")
            is_clicked = (row["user_id"], row["photo_id"], row["query"]) in wanted
            sources.append(("bar" if is_clicked else "post_video") if follows else row["source"])
        place = rows.schema.get_field_index("source")
        self.put("searches", day, rows.set_column(place, "source", pa.array(sources, rows.schema.field(place).type)))
        self.put("search_clicks", day, pq.read_table(self.world / "search_clicks.parquet"))

    def write_settings(self, store: str, sink: str, stream: str, name: str, overrides: tuple[str, ...] = ()) -> Path:
        """Write the settings of a refresh and return their file.

        Args:
            store: URL of the feature store.
            sink: URL of the Redis with the events.
            stream: with the dated events.
            name: of the file.
            overrides: further settings of Stage I, `section.key=value`.
        """
        path = self.out / name
        steps = (f"optim.max_steps={self.sizes.steps}", "optim.learning_rate=3.0e-4", "validation.every_steps=50")
        settings = {
            "logs": "logs", "state": "state", "promoted": "promoted", "bundle": "first/bundle",
            "checkpoint": "first/checkpoint", "events": {"sink": sink, "stream": stream, "user_key": "users.key"},
            "publish": {"store": store, "user_key": "users.key"},
            "train": {"sft": {"config": "sft.yaml", "set": [*steps, *overrides]}},
            "export": {"parity_count": 20},
            "gate": {
                "truth": "world/truth", "labels": "world/truth/safety.parquet",
                "margins": _MARGINS | {"min_clicks": self.sizes.min_clicks, "min_unsafe": self.sizes.min_clicks // 10},
            },
            "alert": {"command": ["sh", "-c", f'echo "$ONEBAR_REFRESH_REASON" >> "{self.alerts.resolve()}"']},
            "metrics_file": "onebar_refresh.prom",
            "nice": self.sizes.nice,
        }  # fmt: skip
        path.write_text(yaml.safe_dump(settings))
        return path


def onebar(*arguments: object) -> None:
    """Run a command of `onebar`; its output is that of this process."""
    subprocess.run(command(*arguments), check=True)


def command(*arguments: object) -> list[str]:
    """Return the command line of a command of `onebar`."""
    return [sys.executable, "-m", "cli.main", *map(str, arguments)]


def _of_refresh(sizes: Sizes) -> dict[str, int]:
    return {"steps": sizes.steps, "nice": sizes.nice, "min_clicks": sizes.min_clicks}


def _training(sizes: Sizes) -> dict[str, Any]:
    return {
        "model": {
            "encoder_layers": sizes.layers, "decoder_layers": 1, "d_model": sizes.width, "ffn_dim": 2 * sizes.width,
            "attention_heads": 4, "dropout": 0.0,
        },
        "validation": {"every_steps": 100, "click_examples": 128, "reject_examples": 32, "patience": 100},
        "optim": {
            "learning_rate": 1e-3, "warmup_steps": 30, "batch_size": 32, "epochs": 100, "max_steps": sizes.first_steps,
        },
    }  # fmt: skip
