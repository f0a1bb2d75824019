from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from cli.main import main
from training.checkpoint import load_checkpoint, load_meta
from training.config import PretrainConfig, SftConfig, from_dict
from training.errors import CheckpointError
from training.optimizer import learning_rate_factor
from training.pretrain import pretrain
from training.sft import finetune

MODEL = {
    "encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "ffn_dim": 64, "attention_heads": 2, "dropout": 0.1,
}  # fmt: skip
NO_DROPOUT = dict.fromkeys(("text", "summary", "anchors", "histories", "personal", "all_but_text"), 0.0)
RUNTIME = {"device": "cpu", "precision": "fp32", "log_every_steps": 2, "save_every_steps": 4}


def sft_config(steps: int, every: int = 100, **changes: object) -> SftConfig:
    values = {
        "model": MODEL,
        "runtime": RUNTIME,
        "optim": {"learning_rate": 3e-3, "warmup_steps": 3, "batch_size": 8, "epochs": 1000, "max_steps": steps},
        "validation": {"every_steps": every, "click_examples": 8, "reject_examples": 4, "patience": 3},
        "generation": {"max_new_tokens": 12},
    }
    return from_dict(SftConfig, values | changes)


def pretrain_config(steps: int) -> PretrainConfig:
    values = {
        "model": MODEL,
        "runtime": RUNTIME,
        "optim": {"learning_rate": 3e-3, "warmup_steps": 3, "batch_size": 8, "epochs": 1000, "max_steps": steps},
        "epoch_documents": 64,
        "validation_documents": 16,
    }
    return from_dict(PretrainConfig, values)


def run_sft(examples: Path, out: Path, config: SftConfig, start: Path, resume: bool = False):  # type: ignore[no-untyped-def]
    from_nothing = start.suffix == ".json"
    where = {"tokenizer": start if from_nothing else None, "init_from": None if from_nothing else start}
    return finetune([examples], out, config, cache=examples / ".packed", resume=resume, **where)


def test_the_rate_warms_up_and_decays_to_zero() -> None:
    assert learning_rate_factor(0, 0.0, 10, "linear") == pytest.approx(0.1)
    assert learning_rate_factor(50, 0.25, 10, "linear") == pytest.approx(0.75)
    assert learning_rate_factor(50, 0.5, 10, "cosine") == pytest.approx(0.5)
    assert learning_rate_factor(50, 1.2, 10, "cosine") == pytest.approx(0.0)


def test_stage_zero_then_stage_one_leave_whole_checkpoints(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    pretrained, tuned = tmp_path / "pretrained", tmp_path / "tuned"
    progress = pretrain(
        examples_dir, pretrained, pretrain_config(6), tokenizer=tokenizer_file, init_from=None, logs=None,
        cache=tmp_path / "cache", resume=False,
    )  # fmt: skip
    assert progress.step == 6
    assert load_meta(pretrained).training["stage"] == "pretrain"
    run_sft(examples_dir, tuned, sft_config(4), pretrained)
    meta = load_checkpoint(tuned).meta
    assert meta.training["init_from"] == "pretrain pretrained"
    assert meta.training["steps"] == 4
    assert meta.training["samples"] == pytest.approx(32, abs=8)  # batches are cut between sources
    assert set(meta.training["data"]) == {"train", "valid"}
    assert {"hr@8", "mrr@8", "reject_recall"} <= set(meta.metrics["validation"])
    assert meta.special_tokens["reject"] == 6
    records = [json.loads(line) for line in (tuned / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [2, 4, 4]
    assert records[0]["samples"] == pytest.approx(16, abs=5)


def test_clicked_queries_and_rejection_are_learnt(examples_dir: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    optim = {"learning_rate": 6e-3, "warmup_steps": 20, "batch_size": 8, "epochs": 1000, "max_steps": 300}
    model = MODEL | {"dropout": 0.0}
    config = sft_config(300, every=300, field_dropout=NO_DROPOUT, optim=optim, model=model)
    run_sft(examples_dir, tmp_path / "out", config, tokenizer_file)
    metrics = load_meta(tmp_path / "out").metrics["validation"]
    assert metrics["mrr@8"] >= 0.8
    assert metrics["reject_recall"] == 1.0
    assert metrics["reject_precision"] == 1.0


def test_a_resumed_run_ends_where_an_unbroken_one_does(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sft_config(10)
    run_sft(examples_dir, tmp_path / "unbroken", config, tokenizer_file)

    steps = 0
    step = torch.optim.AdamW.step

    def power_cut(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        nonlocal steps
        steps += 1
        if steps == 7:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", power_cut)
        with pytest.raises(KeyboardInterrupt):
            run_sft(examples_dir, tmp_path / "broken", config, tokenizer_file)
    progress = run_sft(examples_dir, tmp_path / "broken", config, tokenizer_file, resume=True)
    assert progress.step == 10
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("unbroken", "broken"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=0)


def test_a_finished_run_is_not_run_again(examples_dir: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    config = sft_config(4)
    run_sft(examples_dir, tmp_path / "out", config, tokenizer_file)
    written = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    assert run_sft(examples_dir, tmp_path / "out", config, tokenizer_file, resume=True).step == 4
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == written


def test_a_stage_0_that_is_resumed_after_an_evaluation_continues(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    def run(resume: bool) -> int:
        return pretrain(
            examples_dir, tmp_path / "out", pretrain_config(6), tokenizer=tokenizer_file, init_from=None, logs=None,
            cache=tmp_path / "cache", resume=resume,
        ).step  # fmt: skip

    assert (run(resume=False), run(resume=True)) == (6, 6)


def test_a_run_is_neither_overwritten_nor_resumed_with_another_configuration(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    run_sft(examples_dir, tmp_path / "out", sft_config(4), tokenizer_file)
    with pytest.raises(CheckpointError, match="--resume"):
        run_sft(examples_dir, tmp_path / "out", sft_config(4), tokenizer_file)
    with pytest.raises(CheckpointError, match="another configuration"):
        run_sft(examples_dir, tmp_path / "out", sft_config(5), tokenizer_file, resume=True)


def test_a_run_that_no_longer_gets_better_stops(examples_dir: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    optim = {"learning_rate": 0.0, "batch_size": 8, "epochs": 1000, "max_steps": 100}
    progress = run_sft(examples_dir, tmp_path / "out", sft_config(100, every=2, optim=optim), tokenizer_file)
    # The first evaluation is the best; three more do not beat it.
    assert (progress.best_step, progress.step, progress.finished) == (2, 8, True)


def test_a_budget_in_minutes_ends_the_run(examples_dir: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    optim = {"batch_size": 8, "epochs": 1000, "max_minutes": 1e-6}
    progress = run_sft(examples_dir, tmp_path / "out", sft_config(100, optim=optim), tokenizer_file)
    assert progress.step == 1
    assert (tmp_path / "out" / "onebar.json").is_file()


def test_the_command_line_says_what_is_wrong_in_one_sentence(examples_dir: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["train", "sft", str(examples_dir), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.output == "Error: give either --init-from (a checkpoint includes its tokenizer) or --tokenizer\n"
    result = CliRunner().invoke(
        main, ["train", "sft", str(examples_dir), str(tmp_path / "out"), "--set", "optim.speed=9"]
    )
    assert "unknown key optim.speed" in result.output


@pytest.mark.parametrize("command", ["tokenizer", "pretrain", "sft"])
def test_help_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(main, ["train", command, "--help"])
    assert f"onebar train {command}" in " ".join(result.output.split()) or "Example:" in result.output


def test_an_unreadable_state_is_named(examples_dir: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "training_state.pt").write_bytes(b"\x80\x02}q\x00K\x01.")
    with pytest.raises(CheckpointError, match=r"training_state\.pt cannot be read"):
        run_sft(examples_dir, tmp_path / "out", sft_config(2), tokenizer_file, resume=True)
