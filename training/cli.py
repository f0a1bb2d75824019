"""`onebar train`: tokenizer, pretrain, sft, average, preference, piopd, calibrate."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from training.config import CONFIG_FOLDER, PretrainConfig, SftConfig, load_config
from training.policy_config import PiopdConfig, PreferenceConfig

if TYPE_CHECKING:
    from training.run_state import Progress

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

ENVIRONMENT = {
    # OpenMP threads that spin while they wait halve the speed when other work runs on the machine.
    "OMP_WAIT_POLICY": "PASSIVE",
    # oneDNN compiles a kernel for each shape of a bf16 product and keeps 1,024 of them; torch keeps as many
    # descriptions of them. Batches of many lengths fill both caches with 1.2 GB. A step uses about 40 kernels.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",
}

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_VALIDATE_ON = click.option(
    "--validate-on", type=_FOLDER, required=True, help="Examples whose validation day is measured."
)
_CACHE = click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), help="Packed examples [EXAMPLES/.packed]."
)


@click.group()
def train() -> None:
    """Train the tokenizer and the generator.

    \b
    onebar train tokenizer logs build/tokenizer.json
    onebar train pretrain build/examples build/pretrained --tokenizer build/tokenizer.json --logs logs
    onebar train sft build/examples build/checkpoint --init-from build/pretrained
    onebar train average build/foundation build/checkpoint build/averaged --validate-on build/examples
    onebar train preference build/lists build/aligned --init-from build/checkpoint --validate-on build/examples
    onebar train piopd build/examples build/policy --init-from build/aligned
    onebar train calibrate build/policy build/calibrated --validate-on build/examples
    """
    # torch reads these variables when it is imported or first used, which no subcommand has done yet.
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


_START_NEW = (
    click.option("--tokenizer", type=_FILE, help="tokenizer.json, for a new model."),
    click.option("--init-from", type=_FOLDER, help="A checkpoint of this project, or any local BART checkpoint."),
)
_CONTINUE = (click.option("--init-from", type=_FOLDER, required=True, help="The checkpoint to continue."),)


def _stage_options(
    default_config: str, several: bool = False, data: str = "examples_dir", starts_new: bool = True
) -> Callable[[CommandT], CommandT]:
    options = [
        click.argument(data, type=_FOLDER, nargs=-1 if several else 1, required=True),
        click.argument("out", type=click.Path(file_okay=False, path_type=Path)),
        click.option(
            "--config",
            type=_FILE,
            default=CONFIG_FOLDER / default_config,
            help="YAML file.",
            show_default=default_config,
        ),
        click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one value."),
        *(_START_NEW if starts_new else _CONTINUE),
        click.option(
            "--cache", type=click.Path(file_okay=False, path_type=Path), help="Packed examples [EXAMPLES_DIR/.packed]."
        ),
        click.option("--resume", is_flag=True, help="Continue the run in OUT."),
    ]

    def decorate(command: CommandT) -> CommandT:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _report_choice(name: str, best: float, measured: Mapping[float, Mapping[str, float]], out: Path) -> None:
    for tried, figures in measured.items():
        click.echo(f"{name} {tried:.2f}: " + ", ".join(f"{figure} {value:.4f}" for figure, value in figures.items()))
    click.echo(f"{name} {best:.2f} is in {out}")


def _report(progress: Progress, out: Path) -> None:
    click.echo(
        f"{progress.step} steps, {progress.samples} samples in {progress.seconds:.0f} s; "
        f"the best, of step {progress.best_step}, is in {out}"
    )


@train.command()
@click.argument("logs", type=_FOLDER, nargs=-1, required=True)
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--size", default=8192, show_default=True, help="Entries, special tokens and bytes included.")
@click.option("--lowercase/--keep-case", default=True, show_default=True, help="Fold case, in evidence and queries.")
def tokenizer(logs: tuple[Path, ...], out: Path, size: int, lowercase: bool) -> None:
    """Learn a byte-level BPE tokenizer from the texts and queries of the training days of LOGS.

    With the logs of several shops, words that fewer than a third of them have (mostly names of brands) are left out.

    \b
    Example:  onebar train tokenizer logs build/tokenizer.json
    """
    from training.tokenizer import shared_texts, train_tokenizer

    trained = train_tokenizer(shared_texts(logs), size, lowercase)
    out.parent.mkdir(parents=True, exist_ok=True)
    trained.save(str(out))
    click.echo(f"{trained.get_vocab_size()} entries in {out}")


@train.command()
@_stage_options("pretrain.yaml")
@click.option("--logs", type=_FOLDER, help="Folder of log tables: learn from every query searched on training days.")
def pretrain(
    examples_dir: Path,
    out: Path,
    config: Path,
    overrides: tuple[str, ...],
    tokenizer: Path | None,
    init_from: Path | None,
    cache: Path | None,
    resume: bool,
    logs: Path | None,
) -> None:
    """Stage 0: denoise the text of the logs, so that the model learns to copy.

    \b
    Example:  onebar train pretrain build/examples build/pretrained \\
                  --tokenizer build/tokenizer.json --logs logs --set optim.max_minutes=12
    """
    from training import pretrain as stage

    settings = load_config(PretrainConfig, config, overrides)
    progress = stage.pretrain(
        examples_dir,
        out,
        settings,
        tokenizer=tokenizer,
        init_from=init_from,
        logs=logs,
        cache=cache or examples_dir / ".packed",
        resume=resume,
    )
    _report(progress, out)


@train.command()
@_stage_options("sft.yaml", several=True)
@click.option("--validate-on", type=_FOLDER, help="Examples whose validation day is measured [the first EXAMPLES_DIR].")
def sft(
    examples_dir: tuple[Path, ...],
    out: Path,
    config: Path,
    overrides: tuple[str, ...],
    tokenizer: Path | None,
    init_from: Path | None,
    cache: Path | None,
    resume: bool,
    validate_on: Path | None,
) -> None:
    """Stage I: learn clicked queries, and [REJECT] for videos that are known to be unsafe.

    With the examples of several shops the model learns to read the evidence instead of remembering one shop.

    \b
    Example:  onebar train sft build/examples build/checkpoint --init-from build/foundation
    From nothing:  onebar train sft build/examples build/checkpoint --tokenizer build/tokenizer.json
    Many shops:    onebar train sft shop1 shop2 shop3 build/foundation --tokenizer tokenizer.json --validate-on shop4
    """
    from training import sft as stage

    settings = load_config(SftConfig, config, overrides)
    progress = stage.finetune(
        examples_dir,
        out,
        settings,
        tokenizer=tokenizer,
        init_from=init_from,
        validate_on=validate_on,
        cache=cache,
        resume=resume,
    )
    _report(progress, out)


@train.command()
@click.argument("foundation", type=_FOLDER)
@click.argument("adapted", type=_FOLDER)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@_VALIDATE_ON
@click.option(
    "--share",
    "shares",
    type=click.FloatRange(0, 1),
    multiple=True,
    default=(1.0, 0.75, 0.5),
    show_default=True,
    help="Share of ADAPTED to try; may be given again.",
)
@_CACHE
def average(
    foundation: Path, adapted: Path, out: Path, validate_on: Path, shares: tuple[float, ...], cache: Path | None
) -> None:
    """Average a foundation and its adaptation: the shop keeps what many shops have taught.

    The share with the best HR@8 on the validation day is written.

    \b
    Example:  onebar train average build/foundation build/checkpoint build/averaged --validate-on build/examples
    """
    from training import averaging

    best, measured = averaging.average(foundation, adapted, out, shares, validate_on=validate_on, cache=cache)
    _report_choice("share", best, measured, out)


@train.command()
@click.argument("checkpoint", type=_FOLDER)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@_VALIDATE_ON
@click.option(
    "--shift",
    "shifts",
    type=click.FloatRange(-20, 20),
    multiple=True,
    default=(0.0, -0.5, -1.0, -1.5, -2.0),
    show_default=True,
    help="Shift of the log-odds of generating, to try; may be given again.",
)
@_CACHE
def calibrate(checkpoint: Path, out: Path, validate_on: Path, shifts: tuple[float, ...], cache: Path | None) -> None:
    """Calibrate the choice between composing and pointing on clicks that the checkpoint was not trained on.

    The shift with the best HR@8 on the validation day is written. Below 0 the entries of the source gain.

    \b
    Example:  onebar train calibrate build/foundation build/calibrated --validate-on unseen/examples
    """
    from training import calibration

    best, measured = calibration.calibrate(checkpoint, out, shifts, validate_on=validate_on, cache=cache)
    _report_choice("shift", best, measured, out)


@train.command()
@_stage_options("preference.yaml", several=True, data="lists_dir", starts_new=False)
@_VALIDATE_ON
def preference(
    lists_dir: tuple[Path, ...],
    out: Path,
    config: Path,
    overrides: tuple[str, ...],
    init_from: Path,
    cache: Path | None,
    resume: bool,
    validate_on: Path,
) -> None:
    """Stage II: prefer what users clicked and engaged with to what they did not, by behaviour lists.

    \b
    Example:  onebar offline lists logs build/lists
              onebar train preference build/lists build/aligned --init-from build/checkpoint \\
                  --validate-on build/examples
    """
    from training.preference import stage

    settings = load_config(PreferenceConfig, config, overrides)
    progress = stage.align(
        lists_dir, out, settings, init_from=init_from, validate_on=validate_on, cache=cache, resume=resume
    )
    _report(progress, out)


@train.command()
@_stage_options("piopd.yaml", several=True, starts_new=False)
@click.option("--validate-on", type=_FOLDER, help="Examples whose validation day is measured [the first EXAMPLES_DIR].")
def piopd(
    examples_dir: tuple[Path, ...],
    out: Path,
    config: Path,
    overrides: tuple[str, ...],
    init_from: Path,
    cache: Path | None,
    resume: bool,
    validate_on: Path | None,
) -> None:
    """Stage III: distil a teacher that knows the clicked queries, on trajectories that the student samples.

    \b
    Example:  onebar train piopd build/examples build/policy --init-from build/aligned
    """
    from training.piopd import stage

    settings = load_config(PiopdConfig, config, overrides)
    progress = stage.distill(
        examples_dir, out, settings, init_from=init_from, validate_on=validate_on, cache=cache, resume=resume
    )
    _report(progress, out)
