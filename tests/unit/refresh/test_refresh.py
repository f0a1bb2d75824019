"""A refresh of one day: its commands in their order, the verdict, the record, and how it goes on after a kill."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from refresh.config import load_config
from refresh.errors import BusyError, ConfigError, RefreshError, StepError
from refresh.files import locked
from refresh.run import plan
from tests.fixtures.http_server import serving_http
from tests.unit.refresh.days import ALL_STEPS, FAKE, SETTINGS, SHORT, SHORT_STEPS, calls, history, run, settings, steps

pytestmark = pytest.mark.usefixtures("shop")


def test_a_day_runs_every_step_once_and_says_what_was_promoted_and_why(tmp_path: Path) -> None:
    config = settings(tmp_path)
    record = run(config)
    assert steps(tmp_path) == ALL_STEPS
    assert (record.outcome, record.serving["bundle_id"]) == ("promoted", "first")
    assert record.candidate is not None
    assert record.reasons == ("HR@8 0.4000 to 0.4100 (+0.0100, -0.0020 to +0.0220) on 1,234 clicks",)
    assert record.events == {"day": 12, "feedback": {"counted": 7, "unknown_request": 2}}
    weights = (Path(record.candidate["checkpoint"]) / "weights").read_text().split(" ")
    assert [part.split(":")[0] for part in weights] == ["w0", "sft", "preference", "piopd"]
    current = json.loads((tmp_path / "promoted/current.json").read_text())
    assert current["bundle"] == "../state/days/day-00012/bundle"
    assert current["reason"].startswith("refresh of day 12: HR@8 0.4000")
    assert history(tmp_path) == [(12, "promoted")]
    first = calls(tmp_path)[0]
    assert first["nice"] > 0
    assert first["threads"] == "1"
    assert run(config).reasons == record.reasons
    assert (steps(tmp_path), history(tmp_path)) == (ALL_STEPS, [(12, "promoted")])


def test_the_next_day_starts_from_what_is_served(tmp_path: Path) -> None:
    config = settings(tmp_path, **SHORT)
    promoted = run(config)
    (tmp_path / "last_day").write_text("13")
    (tmp_path / "verdict").write_text("refuse")
    refused = run(config, 13)
    (tmp_path / "last_day").write_text("14")
    (tmp_path / "verdict").write_text("promote")
    third = run(config, 14)
    assert promoted.candidate is not None
    assert refused.serving["bundle_id"] == third.serving["bundle_id"] == promoted.candidate["bundle_id"]
    assert third.serving["checkpoint"] == promoted.candidate["checkpoint"]
    assert history(tmp_path) == [(12, "promoted"), (13, "refused"), (14, "promoted")]


def test_a_refused_candidate_is_not_promoted_and_someone_is_told(tmp_path: Path) -> None:
    (tmp_path / "verdict").write_text("refuse")
    hook = ["sh", "-c", f'echo "$ONEBAR_REFRESH_DAY $ONEBAR_REFRESH_OUTCOME $ONEBAR_REFRESH_REASON" >> {tmp_path}/told']
    config = settings(tmp_path, alert={"command": hook}, train={}, publish=None)
    assert run(config).outcome == "refused"
    assert steps(tmp_path) == ["events", *SHORT_STEPS[:-1]]
    assert not (tmp_path / "promoted").exists()
    run(config)  # it is told once
    assert (tmp_path / "told").read_text() == "12 refused hr is worse\n"
    metrics = (tmp_path / "textfile/onebar_refresh.prom").read_text()
    assert 'onebar_refresh_outcome{outcome="refused"} 1' in metrics
    assert "onebar_refresh_last_success_timestamp_seconds" in metrics
    assert "onebar_refresh_last_promotion_timestamp_seconds" not in metrics
    assert 'onebar_refresh_gate_difference{measure="hr"} 0.01' in metrics
    assert 'onebar_refresh_feedback{outcome="unknown_request"} 2' in metrics


class Told(BaseHTTPRequestHandler):
    """A webhook."""

    bodies: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def webhook() -> Iterator[str]:
    Told.bodies = []
    with serving_http(Told) as address:
        yield f"{address}/"


def test_a_failed_step_is_recorded_told_and_done_again(tmp_path: Path, webhook: str) -> None:
    config = settings(tmp_path, alert={"webhook": webhook, "command": ["false"]}, **SHORT)
    (tmp_path / "fail").write_text("sft")
    with pytest.raises(StepError, match=r"`onebar train sft` ended with status 1: .*cannot be done today"):
        run(config)
    [told] = Told.bodies
    assert (told["day"], told["outcome"], told["step"]) == (12, "failed", "sft")
    record = json.loads((tmp_path / "state/days/day-00012/record.json").read_text())
    assert (record["outcome"], record["candidate"], record["step"]) == ("failed", None, "sft")
    assert 'outcome="failed"} 1' in (tmp_path / "textfile/onebar_refresh.prom").read_text()
    (tmp_path / "fail").unlink()
    assert run(config).outcome == "promoted"
    assert steps(tmp_path) == [*SHORT_STEPS[:2], *SHORT_STEPS[1:]]
    assert history(tmp_path) == [(12, "failed"), (12, "promoted")]


@pytest.mark.parametrize("step", ["export", "promote"])
def test_after_kill_9_the_same_command_gives_the_same(tmp_path: Path, step: str) -> None:
    config = settings(tmp_path, **SHORT)
    (tmp_path / "kill").write_text(step)
    code = (
        "import sys; from pathlib import Path; from refresh.commands import Runner;"
        "from refresh.config import load_config; from refresh.run import refresh; c = load_config(Path(sys.argv[1]));"
        "refresh(c, 12, print, Runner(0, 1, onebar=tuple(sys.argv[2:])))"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "refresh.yaml"), *FAKE], check=False)
    assert killed.returncode == -signal.SIGKILL
    record = run(config)
    place = SHORT_STEPS.index(step)
    assert steps(tmp_path) == [*SHORT_STEPS[: place + 1], *SHORT_STEPS[place:]]
    assert record.outcome == "promoted"
    assert not (tmp_path / "state/days/day-00012/bundle/encoder.onnx").exists()


def test_what_was_served_at_the_beginning_counts_for_the_whole_day(tmp_path: Path) -> None:
    config = settings(tmp_path, **SHORT)
    (tmp_path / "fail").write_text("gate")
    with pytest.raises(StepError):
        run(config)
    (tmp_path / "promoted").mkdir()
    (tmp_path / "promoted/current.json").write_text('{"bundle": null}')
    (tmp_path / "first/bundle/manifest.json").write_text('{"model_version": "replaced"}')
    (tmp_path / "fail").unlink()
    assert run(config).serving["bundle_id"] == "first"


def test_another_command_is_done_again_with_all_that_follow(tmp_path: Path) -> None:
    (tmp_path / "verdict").write_text("refuse")
    run(settings(tmp_path, **SHORT))
    (tmp_path / "verdict").write_text("promote")
    run(settings(tmp_path, gate={"limit": 400}, **SHORT))
    assert steps(tmp_path) == [*SHORT_STEPS[:-1], "gate", "promote"]


def test_a_promoted_day_is_not_done_again(tmp_path: Path) -> None:
    """Its bundle may be served, and the record says why it was promoted."""
    promoted = run(settings(tmp_path, **SHORT))
    (tmp_path / "last_day").write_text("13")
    run(settings(tmp_path, **SHORT), 13)
    (tmp_path / "fail").write_text("export")
    again = run(settings(tmp_path, export={"parity_count": 7}, **SHORT))
    assert again == promoted
    assert steps(tmp_path) == [*SHORT_STEPS, *SHORT_STEPS]
    assert (tmp_path / "state/days/day-00012/bundle/manifest.json").is_file()


@pytest.mark.parametrize("change", [{"events": SETTINGS["events"]}, {"train": {"sft": {"set": ["optim.epochs=2"]}}}])
def test_training_on_other_data_or_with_other_settings_begins_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    sft = tmp_path / "state/days/day-00012/sft"
    (tmp_path / "verdict").write_text("refuse")
    run(settings(tmp_path, **SHORT))
    (sft / "training_state.pt").touch()
    run(settings(tmp_path, **(SHORT | change)))
    assert not (sft / "training_state.pt").exists()


def test_training_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    sft = tmp_path / "state/days/day-00012/sft"
    (tmp_path / "fail").write_text("sft")
    config = settings(tmp_path, **SHORT)
    with pytest.raises(StepError):
        run(config)
    sft.mkdir()
    (sft / "training_state.pt").touch()
    (tmp_path / "fail").unlink()
    run(config)
    assert (sft / "training_state.pt").exists()


def test_logs_that_end_on_another_day_stop_it_until_they_are_complete(tmp_path: Path) -> None:
    (tmp_path / "last_day").write_text("11")
    with pytest.raises(ConfigError, match=r"the logs end on day 11 and the refresh is of day 12"):
        run(settings(tmp_path, **SHORT))
    assert steps(tmp_path) == ["build"]
    (tmp_path / "last_day").write_text("12")
    assert run(settings(tmp_path, **SHORT)).outcome == "promoted"
    assert steps(tmp_path) == ["build", *SHORT_STEPS]


def test_someone_is_told_when_what_is_served_is_unknown(tmp_path: Path, webhook: str) -> None:
    config = settings(tmp_path, alert={"webhook": webhook}, **SHORT)
    shutil.rmtree(tmp_path / "first/checkpoint")
    with pytest.raises(ConfigError, match="the checkpoint of the served bundle"):
        run(config)
    [told] = Told.bodies
    assert (told["day"], told["outcome"]) == (12, "failed")
    assert "the checkpoint of the served bundle" in told["reason"]


def test_someone_is_told_when_the_disk_is_full(tmp_path: Path, webhook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("refresh.commands.Runner.run", full)
    with pytest.raises(RefreshError, match="No space left on device"):
        run(settings(tmp_path, alert={"webhook": webhook}, **SHORT))
    assert "No space left" in Told.bodies[0]["reason"]


def test_a_metrics_file_that_cannot_be_written_keeps_no_alert_back(tmp_path: Path, webhook: str) -> None:
    (tmp_path / "textfile").write_text("a file in the place of a folder")
    (tmp_path / "verdict").write_text("refuse")
    assert run(settings(tmp_path, alert={"webhook": webhook}, **SHORT)).outcome == "refused"
    assert [told["outcome"] for told in Told.bodies] == ["refused"]


def test_a_webhook_without_a_port_is_a_fault_of_the_alert_alone(tmp_path: Path) -> None:
    (tmp_path / "fail").write_text("sft")
    with pytest.raises(StepError):
        run(settings(tmp_path, alert={"webhook": "http://alerts:${UNSET_PORT}/"}, **SHORT))


def test_a_promoted_bundle_of_unknown_origin_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    config = settings(tmp_path, **SHORT)
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"model_version": "other"}')
    (tmp_path / "promoted").mkdir()
    (tmp_path / "promoted/current.json").write_text(json.dumps({"bundle": "../other"}))
    with pytest.raises(ConfigError, match="was not made by a refresh; name it as `bundle`"):
        run(config)
    assert run(settings(tmp_path, bundle="other", **SHORT)).serving["bundle_id"] == "other"


def test_two_refreshes_do_not_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refresh.files._PATIENCE_SECONDS", 0.2)
    config = settings(tmp_path)
    with locked(config.state), pytest.raises(BusyError, match=r"is being refreshed by process \d+ on"):
        run(config)
    assert steps(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- a list", "is not a mapping"),
        ("{", "cannot be read as YAML"),
        ("logs: logs", "state: Field required"),
        ('state: "redis://:secret-1@events', r"^(?!.*secret-1).*cannot be read as YAML"),
        (yaml.safe_dump(SETTINGS | {"nise": 3}), "nise: Extra inputs"),
        (yaml.safe_dump(SETTINGS | {"nice": 40}), "nice: Input should be less"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "refresh.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        load_config(path)


def test_an_embedder_of_the_build_is_kept_by_an_increment(tmp_path: Path) -> None:
    config = settings(tmp_path, embedder="build", **SHORT)
    assert plan(config, 12)[0].command[-1] == "--examples"
    build = tmp_path / "state/build"
    (build / "embedder").mkdir(parents=True)
    (build / "tables.json").write_text('{"last_day": 11}')
    assert plan(config, 12)[0].command[-2:] == ("--since", "12")
    (build / "embedder/embedder.json").write_text('{"version": "static-1"}')
    with pytest.raises(ConfigError, match="build/embedder has the embedder static-1 and the served bundle None"):
        run(config)
    (tmp_path / "first/bundle/manifest.json").write_text(
        '{"model_version": "first", "embedder": {"kind": "static", "version": "static-1"}}'
    )
    assert run(config).outcome == "promoted"


def test_an_embedder_that_is_not_served_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "embedders/new").mkdir(parents=True)
    (tmp_path / "embedders/new/embedder.json").write_text('{"version": "static-2"}')
    with pytest.raises(ConfigError, match="has the embedder static-2 and the served bundle None; promote a bundle"):
        run(settings(tmp_path, embedder="embedders/new", train={}))
    assert steps(tmp_path) == ["events", "build"]


def test_a_transformer_embedder_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "first/bundle/manifest.json").write_text(
        '{"model_version": "first", "embedder": {"kind": "transformer", "version": "transformer-1"}}'
    )
    with pytest.raises(RefreshError, match="transformer-1, which is not in it; name its folder as `embedder`"):
        plan(settings(tmp_path), 12)
    build = plan(settings(tmp_path, embedder="embedders/big"), 12)[1]
    assert build.command[-2:] == ("--embedder", str(tmp_path / "embedders/big"))
