"""Commands: `export` makes a bundle of a checkpoint, `restore` the reverse, `record` adds an evaluation to a bundle."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from evidence.render import Renderer
from generation.bundle import PRECISIONS, load_bundle
from model_export.checkpoint import load_checkpoint
from model_export.embedder import read_bundle_embedder
from model_export.export import export_bundle
from model_export.inputs import rendered_sources
from model_export.manifest import record
from model_export.record_evaluation import read_report, record_evaluation
from model_export.restore import restore_checkpoint
from model_export.verify import check_parity, measure_parity


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("bundle", type=click.Path(file_okay=False, path_type=Path))
@click.option("--precision", type=click.Choice(PRECISIONS), default="int8", show_default=True)
@click.option(
    "--embedder",
    "embedder_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of `onebar offline embedder` that the evidence is made with. Default: the hashed embedder.",
)
@click.option(
    "--calibration-inputs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Examples table that int8 activation ranges are measured on. Default: --parity-inputs, or random tokens.",
)
@click.option(
    "--calibration-count", type=click.IntRange(min=1), default=128, show_default=True, help="Sources to calibrate on."
)
@click.option(
    "--parity-inputs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Examples table to measure parity on. Without it the manifest's parity section stays empty.",
)
@click.option(
    "--parity-count", type=click.IntRange(min=1), default=200, show_default=True, help="Sources to measure parity on."
)
def export(
    checkpoint: Path,
    bundle: Path,
    precision: str,
    embedder_folder: Path | None,
    calibration_inputs: Path | None,
    calibration_count: int,
    parity_inputs: Path | None,
    parity_count: int,
) -> None:
    """Turn CHECKPOINT, a folder that `onebar train` wrote, into BUNDLE, the folder that `onebar serve` reads.

    Two ONNX graphs are written, with the tokenizer and a manifest of hashes. With --parity-inputs, the answers of the
    graphs are compared with those of transformers and of optimum, and the result is written into the manifest. It is an
    error when the fp32 graphs do not give the same tokens as transformers.

    With --embedder, serving selects personal queries by that embedder. Give the one that made the examples and the
    evidence. A static embedder is copied into the bundle. Of a transformer only the version is written: serving then
    uses stored vectors alone.

    int8 bundles quantise the activations of the decoder by constants, measured on hypotheses for real sources.

    \b
    Example:
      onebar export build/checkpoint build/bundle \\
          --embedder build/embedder \\
          --calibration-inputs build/examples/examples_train.parquet \\
          --parity-inputs build/examples/examples_test.parquet
    """
    command = f"onebar export {checkpoint.name} {bundle.name} --precision {precision}"
    if embedder_folder:
        command += f" --embedder {embedder_folder.name}"
    if calibration_inputs:
        command += f" --calibration-inputs {calibration_inputs.name} --calibration-count {calibration_count}"
    if parity_inputs:
        command += f" --parity-inputs {parity_inputs.name} --parity-count {parity_count}"
    embedder = read_bundle_embedder(embedder_folder) if embedder_folder else None
    source = load_checkpoint(checkpoint)
    renderer = Renderer(source.tokenizer, source.render_budgets)
    table = calibration_inputs or parity_inputs
    calibration = rendered_sources(table, renderer, calibration_count) if table and precision == "int8" else []
    made = export_bundle(source, bundle, precision, command, calibration, embedder)
    size = sum(entry["bytes"] for entry in made.manifest["files"].values())
    click.echo(
        f"{bundle}: model {made.model_version}, {precision}, embedder {made.embedder.version}, {size / 1e6:.1f} MB"
    )
    if parity_inputs is None:
        return
    sources = rendered_sources(parity_inputs, renderer, parity_count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optimum exports with a tracer that warns often
        report = measure_parity(source, made, sources)
    record(bundle, "parity", report)
    _show(report)
    check_parity(report)


def _show(report: dict[str, Any]) -> None:
    click.echo(f"{'':24}{'lists':>8}{'tops':>8}{'overlap':>9}{'max score difference':>22}")
    for name in ("fp32_vs_transformers", "fp32_vs_optimum", "int8_vs_fp32"):
        if name in report:
            found = report[name]
            click.echo(
                f"{name:24}{found['identical_lists']:>8.1%}{found['identical_tops']:>8.1%}"
                f"{found['mean_overlap']:>9.1%}{found['max_score_difference']:>22.2g}"
            )


@click.command("record")
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def record_command(bundle: Path, report: Path) -> None:
    """Write what `onebar evaluate` measured (REPORT, its JSON) into the manifest of BUNDLE.

    The model version stays as it is.

    \b
    onebar evaluate build/bundle --examples build/examples --out build/evaluation
    onebar record build/bundle build/evaluation.json
    """
    record_evaluation(bundle, read_report(report))
    click.echo(f"recorded in {bundle / 'manifest.json'}")


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("checkpoint", type=click.Path(path_type=Path))
def restore(bundle: Path, checkpoint: Path) -> None:
    """Turn BUNDLE back into CHECKPOINT, a folder for --init-from of `onebar train`.

    The weights are those that serving uses, so of an int8 bundle rounded ones. A shop can train on from the shipped
    bundle this way. The bundle's embedder is its folder `embedder`.

    \b
    onebar restore demo/bundle build/start
    onebar train sft build/examples build/checkpoint --init-from build/start
    """
    restored = load_bundle(bundle)
    restore_checkpoint(restored, checkpoint)
    click.echo(f"{checkpoint}: the checkpoint of model {restored.model_version}, {restored.precision} weights")
