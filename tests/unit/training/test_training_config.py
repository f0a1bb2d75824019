from __future__ import annotations

from pathlib import Path

import pytest

from training.config import CONFIG_FOLDER, PretrainConfig, SftConfig, from_dict, load_config, to_dict
from training.errors import ConfigError


def config_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_shipped_configurations_load() -> None:
    assert load_config(PretrainConfig, CONFIG_FOLDER / "pretrain.yaml").model.encoder_layers == 3
    assert load_config(SftConfig, CONFIG_FOLDER / "sft.yaml").model.decoder_layers == 2


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_config(SftConfig, config_file(tmp_path, "")) == SftConfig()


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = config_file(tmp_path, "optim: {batch_size: 8, seed: 3}")
    config = load_config(SftConfig, path, ["optim.batch_size=16", "reject_weight=2", "optim.max_minutes=null"])
    assert (config.optim.batch_size, config.optim.seed, config.reject_weight) == (16, 3, 2.0)


def test_a_configuration_survives_json(tmp_path: Path) -> None:
    config = load_config(SftConfig, CONFIG_FOLDER / "sft.yaml")
    assert from_dict(SftConfig, to_dict(config)) == config


def test_yaml_reads_1e_3_as_text_and_it_still_is_a_number(tmp_path: Path) -> None:
    assert load_config(SftConfig, config_file(tmp_path, "optim: {learning_rate: 1e-3}")).optim.learning_rate == 0.001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim: {lr: 1}", r"unknown key optim\.lr; the keys there are learning_rate"),
        ("optim: 3", "optim must be a mapping"),
        ("optim: {batch_size: many}", r"optim\.batch_size must be int"),
        ("optim: {batch_size: true}", r"optim\.batch_size must be int"),
        ("optim: {learning_rate: fast}", r"optim\.learning_rate must be float"),
        ("runtime: {precision: fp8}", r"runtime\.precision must be one of 'auto', 'fp32', 'bf16'"),
        ("optim: {epochs: 0}", r"optim\.epochs must be over 0, got 0"),
        ("optim: {max_steps: 0}", r"optim\.max_steps must be over 0, got 0; leave it out for no limit"),
        ("optim: {max_minutes: 0}", r"optim\.max_minutes must be over 0"),
        ("runtime: {save_every_steps: 0}", r"runtime\.save_every_steps must be over 0"),
        ("runtime: {log_every_steps: 0}", r"runtime\.log_every_steps must be over 0"),
        ("validation: {every_steps: 0}", r"validation\.every_steps must be over 0"),
        ("[1]", "must be a mapping of sections"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(SftConfig, config_file(tmp_path, text))


@pytest.mark.parametrize("override", ["optim.batch_size", "reject_weight.x=1", "optim.schedule=[cosine"])
def test_wrong_overrides_are_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load_config(SftConfig, config_file(tmp_path, "reject_weight: 1.0"), [override])
