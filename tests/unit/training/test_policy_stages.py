"""Stages II and III on a tiny shop: they continue a checkpoint, learn what they are for, and resume exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from training.augmentation import Alphabet
from training.batches import PackedBatches, plan_batches
from training.checkpoint import load_checkpoint, load_meta
from training.config import SftConfig, from_dict
from training.errors import CheckpointError, DataError
from training.model import encode
from training.piopd.diagnostics import compare_distributions, gold_outside
from training.piopd.objective import piopd_loss
from training.piopd.posterior import PosteriorBatch, PosteriorBatches
from training.piopd.rollouts import sample_rollouts
from training.piopd.stage import distill
from training.policy import load_policy
from training.policy_config import PiopdConfig, PreferenceConfig
from training.preference.lists import list_batches, load_lists
from training.preference.stage import align, preference_loss
from training.sft import finetune, open_epoch
from training.tokenizer import special_token_ids

RUNTIME = {"device": "cpu", "precision": "fp32", "log_every_steps": 2, "save_every_steps": 4}
MODEL = {
    "encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "ffn_dim": 64, "attention_heads": 2, "dropout": 0.0,
}  # fmt: skip
VALIDATION = {"every_steps": 100, "click_examples": 8, "reject_examples": 4, "patience": 3}


def optim(steps: int, rate: float = 1e-3) -> dict[str, Any]:
    return {"learning_rate": rate, "warmup_steps": 2, "batch_size": 8, "epochs": 1000, "max_steps": steps}


def piopd_config(steps: int, **changes: Any) -> PiopdConfig:
    values = {"runtime": RUNTIME, "optim": optim(steps), "validation": VALIDATION, "diagnostic_examples": 8}
    return from_dict(PiopdConfig, values | changes)


def preference_config(steps: int, **changes: Any) -> PreferenceConfig:
    return from_dict(PreferenceConfig, {"runtime": RUNTIME, "optim": optim(steps), "validation": VALIDATION} | changes)


@pytest.fixture(scope="module")
def checkpoint(
    tokenizer: Any,
    example: Callable[..., dict[str, Any]],
    write_examples: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A checkpoint of Stage I, the same for all tests."""
    config = from_dict(
        SftConfig,
        {"model": MODEL, "runtime": RUNTIME, "optim": optim(30, 6e-3), "validation": VALIDATION,
         "generation": {"max_new_tokens": 12}},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("stage_one")
    rows = [example(n) for n in range(40)] + [example(n, "reject") for n in range(8)]
    for split in ("train", "valid"):
        write_examples(folder / f"examples_{split}.parquet", rows)
    tokenizer.save(str(folder / "tokenizer.json"))
    finetune([folder], folder / "sft", config, tokenizer=folder / "tokenizer.json", init_from=None)
    return folder / "sft"


@pytest.fixture
def lists_dir(tmp_path: Path, write_lists: Callable[[Path], Path]) -> Path:
    return write_lists(tmp_path / "lists")


def evaluations(folder: Path) -> list[dict[str, float]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{"step": record["step"], **record["evaluation"]} for record in records if "evaluation" in record]


def test_stage_two_widens_the_margin_of_clicked_queries(
    checkpoint: Path, lists_dir: Path, examples_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "aligned"
    config = preference_config(20, beta=0.5, sft_weight=0.1)
    progress = align([lists_dir], out, config, init_from=checkpoint, validate_on=examples_dir)
    assert progress.step == 20
    first, last = evaluations(out)
    assert (first["step"], last["step"]) == (0, 20)
    assert first["lists_preference"] > last["lists_preference"]
    assert first["lists_wins"] == 0.0  # policy and reference are still equal
    assert last["lists_wins"] > 0.7
    meta = load_checkpoint(out).meta
    assert meta.training["stage"] == "preference"
    assert meta.training["init_from"] == "sft sft"
    assert meta.render == load_meta(checkpoint).render


def test_the_loss_of_stage_two_is_that_of_its_lists(checkpoint: Path, lists_dir: Path, tmp_path: Path) -> None:
    policy = load_policy(checkpoint, 0.0, preference_config(1).runtime)
    lists = load_lists(lists_dir / "lists_valid.parquet", policy.tokenizer, policy.meta.render, 12, tmp_path)
    batch = list_batches(lists, special_token_ids(policy.tokenizer), 4, np.random.default_rng(0))[0]
    reference = policy.frozen_copy()
    with torch.no_grad():
        loss, figures = preference_loss(policy.model, reference, batch, preference_config(1, sft_weight=0.0))
    # Equal models: every log-ratio is 0, so each anchor has a third of the mass of its three candidates.
    assert loss.item() == pytest.approx(np.log(3), abs=1e-5)
    assert figures["clicked_log_ratio"].item() == pytest.approx(0.0, abs=1e-5)


def test_lists_are_rendered_once(checkpoint: Path, lists_dir: Path, tmp_path: Path) -> None:
    policy = load_policy(checkpoint, 0.0, preference_config(1).runtime)
    path = lists_dir / "lists_valid.parquet"
    first, again = (load_lists(path, policy.tokenizer, policy.meta.render, 12, tmp_path / "cache") for _ in range(2))
    (cached,) = (tmp_path / "cache").iterdir()
    assert cached.name.startswith("lists_valid-")
    for name, array in first.arrays().items():
        assert array.tolist() == again.arrays()[name].tolist(), name


def test_lists_without_a_comparison_are_refused(checkpoint: Path, lists_dir: Path, tmp_path: Path) -> None:
    policy = load_policy(checkpoint, 0.0, preference_config(1).runtime)
    table = pq.read_table(lists_dir / "lists_train.parquet")
    levels = pa.array([[5, 6, 6]] * table.num_rows, type=pa.list_(pa.int64()))
    path = tmp_path / "lists.parquet"
    pq.write_table(table.set_column(table.schema.get_field_index("levels"), "levels", levels), path)
    with pytest.raises(DataError, match="no list with a clicked candidate"):
        load_lists(path, policy.tokenizer, policy.meta.render, 12, tmp_path)
    with pytest.raises(DataError, match="onebar offline lists"):
        load_lists(tmp_path / "none.parquet", policy.tokenizer, policy.meta.render, 12, tmp_path)
    pq.write_table(table.drop_columns(["levels"]), path)
    with pytest.raises(DataError, match="no column levels"):
        load_lists(path, policy.tokenizer, policy.meta.render, 12, tmp_path)


@pytest.fixture
def batch(checkpoint: Path, examples_dir: Path) -> tuple[Any, PosteriorBatch]:
    """Return a policy, and a batch of its training clicks with the teacher's sources."""
    policy = load_policy(checkpoint, 0.0, piopd_config(1).runtime)
    examples = policy.load_examples(examples_dir / "examples_train.parquet", None)
    clicks = examples.subset(np.flatnonzero(~examples.is_reject)[:12])
    special = special_token_ids(policy.tokenizer)
    plan = plan_batches(clicks.sources.lengths, clicks.targets.lengths, 12, np.random.default_rng(0))
    packed = PackedBatches(clicks.sources, clicks.targets, plan, special["pad"], special["eos"])
    teacher = piopd_config(1).teacher
    return policy, PosteriorBatches(packed, teacher, Alphabet.of(policy.tokenizer), 128, (0,))[0]


def test_the_teacher_of_a_part_reads_the_clicked_queries_and_leaves_rejected_sources(
    checkpoint: Path, examples_dir: Path
) -> None:
    """Rows of a part of the examples have numbers of their own."""
    policy = load_policy(checkpoint, 0.0, piopd_config(1).runtime)
    examples = policy.load_examples(examples_dir / "examples_train.parquet", None)
    alphabet = Alphabet.of(policy.tokenizer)
    reject = alphabet.special["reject"]
    values = {"optim": optim(1), "epoch_examples": len(examples) // 3, "weak_evidence": 0.0}
    seen = set()
    for epoch in range(3):
        packed = open_epoch(examples, from_dict(SftConfig, values), alphabet, epoch)
        batches = PosteriorBatches(packed, piopd_config(1).teacher, alphabet, 128, (epoch,))
        assert packed.targets_of is not None
        for index, rows in enumerate(packed.plan):
            for place, row in enumerate(rows.tolist()):
                rejected = packed.targets[int(packed.targets_of[row][0])].tolist()[0] == reject
                source = packed.sources[row].tolist()
                read = batches[index].posterior[place, : len(source)].tolist()
                assert (read == source) == rejected
                seen.add(rejected)
    assert seen == {True, False}


def test_rollouts_follow_the_distribution_of_the_student(batch: tuple[Any, PosteriorBatch]) -> None:
    policy, step = batch
    model = policy.model.eval()
    x = step.student
    states = encode(model, x.source, x.source_mask)
    torch.manual_seed(3)
    rollouts = sample_rollouts(model, x, states, 12, 1.0)
    eos = model.config.eos_token_id
    for tokens, counts in zip(rollouts.tokens.tolist(), rollouts.counts.tolist(), strict=True):
        length = sum(counts)
        assert counts == [True] * length + [False] * (len(counts) - length)
        assert eos not in tokens[: length - 1]
        assert tokens[length - 1] == eos or length == 12
    assert (rollouts.decoder_input[:, 0] == model.config.decoder_start_token_id).all()
    torch.testing.assert_close(rollouts.decoder_input[:, 1:], rollouts.tokens[:, :-1])
    # Nearly no temperature leaves the most likely token, as greedy search without a cache finds it: the new pointer
    # prefers to generate.
    cold = sample_rollouts(model, x, states, 12, 1e-4)
    logits = model(input_ids=x.source, attention_mask=x.source_mask, decoder_input_ids=cold.decoder_input).logits
    torch.testing.assert_close(logits.argmax(dim=-1)[cold.counts], cold.tokens[cold.counts])


def test_the_objective_is_the_weighted_sum_of_its_terms(batch: tuple[Any, PosteriorBatch]) -> None:
    policy, step = batch
    config = piopd_config(1)
    torch.manual_seed(0)
    total, terms = piopd_loss(policy.model, policy.frozen_copy(), step, config, 12)
    assert set(terms) == {"forward_kl", "reverse_kl", "sft", "entropy", "r_drop", "fgm"}
    by_hand = sum(getattr(config.weights, name) * value.item() for name, value in terms.items())
    assert total.item() == pytest.approx(by_hand, rel=1e-5)
    assert terms["fgm"] > terms["sft"]  # the step goes where the loss rises


@pytest.mark.parametrize(("objective", "names"), [("jsd", {"jsd", "sft"}), ("ckd", {"ckd", "sft"})])
def test_terms_without_weight_are_not_computed(batch: Any, objective: str, names: set[str]) -> None:
    policy, step = batch
    off = {"entropy": 0.0, "r_drop": 0.0, "fgm": 0.0}
    _, terms = piopd_loss(
        policy.model, policy.frozen_copy(), step, piopd_config(1, objective=objective, weights=off), 12
    )
    assert set(terms) == names


def test_every_weight_of_the_student_gets_a_gradient_under_bf16(batch: tuple[Any, PosteriorBatch]) -> None:
    policy, step = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = piopd_loss(policy.model, policy.frozen_copy(), step, piopd_config(1), 12)
    loss.backward()
    without = [name for name, p in policy.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [name for name in without if "k_proj.bias" not in name]  # softmax ignores a shift of all keys


def test_stage_three_moves_the_student_to_its_teacher(checkpoint: Path, examples_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    weights_off = {"sft": 0.0, "entropy": 0.0, "r_drop": 0.0, "fgm": 0.0, "reverse_kl": 0.0, "forward_kl": 1.0}
    progress = distill([examples_dir], out, piopd_config(24, weights=weights_off), init_from=checkpoint)
    assert progress.step == 24
    first, last = evaluations(out)
    assert first["step"] == 0
    assert {"teacher_hr@8", "teacher_entropy", "student_top1_mass", "support_overlap", "gold_outside"} <= set(last)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    kl = [record["forward_kl"] for record in records if "forward_kl" in record]
    assert sum(kl[-3:]) < sum(kl[:3])
    assert load_meta(out).training["stage"] == "piopd"


def test_a_resumed_stage_three_ends_where_an_unbroken_one_does(
    checkpoint: Path, examples_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = piopd_config(9, teacher={"ema_every_steps": 2, "ema_decay": 0.5})
    distill([examples_dir], tmp_path / "unbroken", config, init_from=checkpoint)
    step, steps = torch.optim.AdamW.step, 0

    def power_cut(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 7:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", power_cut)
        with pytest.raises(KeyboardInterrupt):
            distill([examples_dir], tmp_path / "broken", config, init_from=checkpoint)
    distill([examples_dir], tmp_path / "broken", config, init_from=checkpoint, resume=True)
    states = [torch.load(tmp_path / name / "training_state.pt") for name in ("unbroken", "broken")]
    for kind in ("model", "companion"):
        for name, value in states[0][kind].items():
            torch.testing.assert_close(value, states[1][kind][name], rtol=0, atol=0)
    start = load_file(checkpoint / "model.safetensors")["model.shared.weight"]
    assert not torch.equal(states[0]["companion"]["model.shared.weight"], start)  # the teacher has moved


def test_only_a_checkpoint_of_this_project_can_be_continued(examples_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is missing; give a folder"):
        distill([examples_dir], tmp_path / "out", piopd_config(1), init_from=tmp_path / "empty")


def test_diagnostics_of_two_known_distributions() -> None:
    teacher = torch.log(torch.tensor([[0.5, 0.5 - 1e-6, 1e-6]]))
    student = torch.log(torch.tensor([[0.98, 0.01, 0.01]]))
    figures = compare_distributions(teacher, student)
    assert figures["teacher_entropy"] == pytest.approx(np.log(2), abs=1e-4)
    assert figures["student_top1_mass"] == pytest.approx(0.98)
    assert figures["teacher_tail_mass"] == pytest.approx(0.0, abs=1e-6)
    # Of 20 tokens the teacher's best 16 are the first ones, the student's the last ones.
    falling = torch.log_softmax(-torch.arange(20.0)[None], dim=-1)
    rising = falling.flip(1)
    figures = compare_distributions(falling, rising)
    assert figures["support_overlap"] == pytest.approx(12 / 16)
    assert figures["student_mass_outside"] == pytest.approx(rising[0, 16:].exp().sum().item())
    assert gold_outside(falling, rising, torch.tensor([19])) == 1.0
    assert gold_outside(falling, rising, torch.tensor([10])) == 0.0
