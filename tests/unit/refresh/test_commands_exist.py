"""Every command that a refresh runs is one of `onebar`, with arguments and options that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.main import main
from refresh.config import load_config
from refresh.run import plan
from refresh.steps import Places, Step, promotion

SETTINGS: dict[str, Any] = {
    "logs": "logs", "state": "state", "promoted": "promoted", "bundle": "bundle", "checkpoint": "checkpoint",
    "events": {"sink": "events.jsonl", "user_key": "users.key", "ignore_keys": ["bad"]},
    "publish": {"store": "redis://store:6379/0", "user_key": "users.key"},
    "train": {
        name: {"config": f"{name}.yaml", "set": ["optim.max_steps=3"]} for name in ("sft", "preference", "piopd")
    },
    "gate": {"terms": "terms.tsv", "labels": "labels.parquet", "truth": "truth", "margins": {"hr": 0.02}},
}  # fmt: skip


def parse(step: Step) -> None:
    """Parse the arguments of a command as `onebar` does, without running it."""
    command: click.Command = main
    arguments = list(step.command)
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None, step
        command, context = found, click.Context(found, parent=context)
    command.make_parser(context).parse_args(arguments)  # an unknown option or a surplus argument is an error
    _, rest, _ = command.make_parser(context).parse_args(arguments)
    assert not rest, step


@pytest.mark.parametrize(("embedder", "sink"), [("build", "events.jsonl"), ("folder", "redis://events:6379/0")])
def test_every_command_is_understood(tmp_path: Path, embedder: str, sink: str) -> None:
    for name in ("bundle", "checkpoint", "state/build", "state/days/day-00011", "logs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bundle/manifest.json").write_text('{"model_version": "x"}')
    (tmp_path / "state/build/tables.json").write_text('{"last_day": 11}')
    (tmp_path / "state/days/day-00011/journal.json").write_text('{"steps": {"events": {}}}')
    (tmp_path / "terms.tsv").write_text("")
    path = tmp_path / "refresh.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | {"embedder": embedder, "events": SETTINGS["events"] | {"sink": sink}}))
    config = load_config(path)
    steps = [*plan(config, 12), promotion(config, Places(config.state, 12), "a reason")]
    assert [step.name for step in steps] == [
        "events-1", "events", "build", "publish", "lists", "sft", "preference", "piopd", "export", "gate", "promote",
    ]  # fmt: skip
    for step in steps:
        parse(step)
