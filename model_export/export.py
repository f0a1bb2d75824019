"""Makes a bundle folder from a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from generation.bundle import (
    DECODER,
    EMBEDDER_FILES,
    EMBEDDER_FOLDER,
    EMBEDDINGS,
    ENCODER,
    MANIFEST,
    POINTER,
    PRECISIONS,
    TOKENIZER,
    Bundle,
    load_bundle,
)
from generation.bundle.vocabulary_blocks import whole_blocks
from model_export.calibration import activation_ranges, random_sources
from model_export.checkpoint import Checkpoint
from model_export.decoder_graph import build_decoder_step
from model_export.embedder import BundleEmbedder
from model_export.encoder_graph import build_encoder
from model_export.errors import ExportError
from model_export.layers import Embedding
from model_export.manifest import write_manifest
from model_export.pointer import pointer_bytes


def export_bundle(
    checkpoint: Checkpoint,
    destination: str | Path,
    precision: str,
    command: str = "",
    calibration: Sequence[Sequence[int]] = (),
    embedder: BundleEmbedder | None = None,
) -> Bundle:
    """Write a bundle and read it back.

    Args:
        checkpoint: what to export.
        destination: a folder that is new, empty, or a bundle already, which is then replaced.
        precision: "fp32" or "int8".
        command: how the bundle was made, for its manifest.
        calibration: token ids of rendered sources that int8 activation ranges are measured on; random ones if empty.
        embedder: that made the evidence; None for the hashed one.

    Raises:
        ExportError: the destination has other content, or the precision is unknown.
        BundleError: the written bundle does not load.
    """
    if precision not in PRECISIONS:
        raise ExportError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    folder = Path(destination)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ExportError(f"{folder} is not empty and is not a bundle; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)

    weights = {name: value.detach().numpy() for name, value in checkpoint.model.state_dict().items()}
    sizes = checkpoint.architecture
    scale = checkpoint.embedding_scale
    embedding = Embedding.make(weights["model.shared.weight"], precision, EMBEDDINGS, whole_blocks(sizes.vocab_size))
    (folder / EMBEDDINGS).write_bytes(embedding.table.tobytes())
    build_encoder(folder / ENCODER, weights, sizes, embedding, scale, precision)
    ranges = activation_ranges(checkpoint, calibration or random_sources(checkpoint)) if precision == "int8" else {}
    specials = checkpoint.special_tokens
    build_decoder_step(folder / DECODER, weights, sizes, specials, embedding, scale, precision, ranges or None)
    shutil.copyfile(checkpoint.path / TOKENIZER, folder / TOKENIZER)
    _write_embedder(folder, embedder)
    pointer = pointer_bytes(checkpoint)
    if pointer is None:
        (folder / POINTER).unlink(missing_ok=True)
    else:
        (folder / POINTER).write_bytes(pointer)
    # The manifest goes last: an export that was interrupted is refused by its hashes.
    write_manifest(folder, checkpoint, precision, command, embedder)
    return load_bundle(folder)


def _write_embedder(folder: Path, embedder: BundleEmbedder | None) -> None:
    """Write the files of the embedder; those of a bundle that is replaced are removed."""
    contents = embedder.contents if embedder else {}
    for name in EMBEDDER_FILES:
        if name in contents:
            (folder / EMBEDDER_FOLDER).mkdir(exist_ok=True)
            (folder / name).write_bytes(contents[name])
        else:
            (folder / name).unlink(missing_ok=True)
    if not contents and (folder / EMBEDDER_FOLDER).is_dir() and not any((folder / EMBEDDER_FOLDER).iterdir()):
        (folder / EMBEDDER_FOLDER).rmdir()
