"""Days of refresh in a folder of a test, with the stand-in for `onebar`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from refresh.commands import Runner
from refresh.config import Config, load_config
from refresh.record import Record
from refresh.run import refresh

FAKE = (sys.executable, "-S", "-E", str(Path(__file__).with_name("fake_onebar.py")))
ALL_STEPS = ["events", "build", "publish", "lists", "sft", "preference", "piopd", "export", "gate", "promote"]
SETTINGS: dict[str, Any] = {
    "logs": "logs", "state": "state", "promoted": "promoted",
    "bundle": "first/bundle", "checkpoint": "first/checkpoint",
    "events": {"sink": "redis://:${EVENTS_PASSWORD}@events:6379/0", "user_key": "users.key", "ignore_keys": ["bad"]},
    "publish": {"store": "redis://:${STORE_PASSWORD}@store:6379/0", "raw_user_ids": True},
    "train": {"sft": {"set": ["optim.max_steps=3"]}, "preference": {}, "piopd": {"set": ["optim.max_steps=2"]}},
    "gate": {"limit": 500, "margins": {"hr": 0.02}},
    "metrics_file": "textfile/onebar_refresh.prom",
}  # fmt: skip

SHORT: dict[str, Any] = {"events": None, "publish": None, "train": {}, "nice": 0}
"""Leaves out what a test is not about: each step is a process, of low priority but for this."""

SHORT_STEPS = ["build", "sft", "export", "gate", "promote"]


def settings(folder: Path, **changes: Any) -> Config:
    path = folder / "refresh.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | changes))
    return load_config(path)


def run(config: Config, day: int = 12) -> Record:
    return refresh(config, day, lambda _: None, Runner(config.nice, config.threads, onebar=FAKE))


def calls(folder: Path) -> list[dict[str, Any]]:
    path = folder / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def steps(folder: Path) -> list[str]:
    return [call["step"] for call in calls(folder)]


def history(folder: Path) -> list[tuple[int, str]]:
    lines = (folder / "state" / "history.jsonl").read_text().splitlines()
    return [(entry["day"], entry["outcome"]) for entry in map(json.loads, lines)]
