"""Compares a bundle with everything that it must equal, for the `parity` section of the manifest.

transformers generate  ==  fp32 graphs  ==  optimum ORTModelForSeq2SeqLM      token for token
                                │
                           int8 graphs                                        as close as int8 allows
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime as ort

from generation.bundle import Bundle
from generation.engine import Engine
from model_export.checkpoint import Checkpoint
from model_export.errors import ParityError
from model_export.export import export_bundle
from model_export.parity import Comparison, compare, engine_answers, reference_answers
from model_export.pointer import pointer_difference

MAX_SCORE_DIFFERENCE = 1e-4


def measure_parity(checkpoint: Checkpoint, bundle: Bundle, sources: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Answer all sources with every implementation and compare. For int8 the fp32 graphs are exported as well.

    The graphs are compared without the pointer, whose probabilities are compared by themselves.

    Args:
        checkpoint: what `bundle` was exported from.
        bundle: fp32 or int8.
        sources: token ids of rendered inputs, of uneven length.

    Returns:
        The `parity` section of a manifest.
    """
    options = replace(checkpoint.generation, num_return_sequences=checkpoint.generation.num_beams)
    specials = checkpoint.special_tokens
    lengths = [len(source) for source in sources]
    with tempfile.TemporaryDirectory() as scratch:
        exact = bundle if bundle.precision == "fp32" else export_bundle(checkpoint, Path(scratch) / "fp32", "fp32")
        answers = engine_answers(_without_pointer(exact), sources, options)
    expected = reference_answers(checkpoint.model, sources, options, specials)
    peer = reference_answers(_optimum(checkpoint.path), sources, options, specials, "optimum")
    report: dict[str, Any] = {
        "inputs": len(sources),
        "source_tokens": {"min": min(lengths), "max": max(lengths), "distinct": len(set(lengths))},
        "options": options.to_dict(),
        "versions": {
            name: version(name) for name in ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "numpy")
        },
        "fp32_vs_transformers": compare(answers, expected).to_dict(),
        "fp32_vs_optimum": compare(answers, peer).to_dict(),
    }
    if bundle.precision == "int8":
        report["int8_vs_fp32"] = compare(engine_answers(_without_pointer(bundle), sources, options), answers).to_dict()
    if bundle.pointer is not None:
        report["pointer_difference"] = pointer_difference(checkpoint, bundle, sources)
    return report


def _without_pointer(bundle: Bundle) -> Engine:
    """Return an engine of the graphs alone, which are what transformers and optimum run too."""
    return Engine(replace(bundle, pointer=None))


def check_parity(report: dict[str, Any]) -> None:
    """Check that fp32 gives identical lists everywhere, with scores within 1e-4.

    Raises:
        ParityError: it does not.
    """
    for name in ("fp32_vs_transformers", "fp32_vs_optimum"):
        found = Comparison(**report[name])
        if found.identical_lists < 1.0 or found.max_score_difference > MAX_SCORE_DIFFERENCE:
            raise ParityError(
                f"{name}: {found.identical_lists:.2%} of {found.inputs} lists are identical and scores differ by up to "
                f"{found.max_score_difference:.2g}; all must be, within {MAX_SCORE_DIFFERENCE:g}"
            )


def _optimum(checkpoint: Path) -> Any:
    """Export a checkpoint with optimum, into a model that generates on ORT."""
    from optimum.onnxruntime import ORTModelForSeq2SeqLM  # seconds to import, and needed here only

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ORTModelForSeq2SeqLM.from_pretrained(checkpoint, export=True, session_options=options)
