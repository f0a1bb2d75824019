"""The files of a bundle folder: their names, bounds on their sizes, and reading them only as they were exported.

bundle/
├── manifest.json     what the bundle is, how it was made, the hash of every other file
├── tokenizer.json    Hugging Face `tokenizers`
├── embeddings.bin    the token embedding, shared by both graphs (ONNX external data)
├── encoder.onnx      source ids -> cross-attention keys and values of every decoder layer
├── decoder.onnx      one step for the beams of several requests, ending in their best continuations
├── pointer.bin       of a model with a pointer alone: its weights, float32
└── embedder/         of a static embedder alone: embedder.json, tokenizer.json, vectors.bin
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from evidence import static_embedder
from generation.errors import BundleError

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
EMBEDDINGS = "embeddings.bin"
ENCODER = "encoder.onnx"
DECODER = "decoder.onnx"
FILES = (TOKENIZER, EMBEDDINGS, ENCODER, DECODER)
"""The files of every bundle, beside its manifest."""
POINTER = "pointer.bin"
"""Of a bundle with a pointer, beside those."""
EMBEDDER_FOLDER = "embedder"
EMBEDDER_FILES = tuple(
    f"{EMBEDDER_FOLDER}/{name}"
    for name in (static_embedder.MANIFEST_FILE, static_embedder.TOKENIZER_FILE, static_embedder.VECTORS_FILE)
)
"""The files of a bundle with a static embedder, beside those."""
EXPORT_AGAIN = "export it again with `onebar export`"
COPY_AGAIN = "copy the bundle again from where it was exported"

MOST_MANIFEST_BYTES = 16 << 20
# Of each file. A file of Protocol Buffers cannot be larger than 2 GiB.
MOST_BYTES = {
    TOKENIZER: 256 << 20,
    EMBEDDINGS: 64 << 30,
    ENCODER: (2 << 30) - 1,
    DECODER: (2 << 30) - 1,
    POINTER: 1 << 30,
    # In memory the vectors take four times as much.
    **dict(zip(EMBEDDER_FILES, (1 << 20, 64 << 20, 256 << 20), strict=True)),
}


def content_version(manifest: Mapping[str, Any]) -> str:
    """Return the model version of a manifest: 12 hex digits over what decides the answers, and over nothing else.

    Metrics, parity and training notes may be written later without changing the version.
    """
    deciding = {
        "schema_version": manifest["schema_version"],
        "precision": manifest["precision"],
        "files": {name: entry["sha256"] for name, entry in manifest["files"].items()},
        "special_tokens": manifest["special_tokens"],
        "architecture": manifest["architecture"],
        "render": manifest["render"],
        "generation": manifest["generation"],
        "reject": manifest["reject"],
    }
    deciding |= {section: manifest[section] for section in ("embedder", "pointer") if section in manifest}
    canonical = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a bundle folder and check that it is of this schema version and lists the bundle's files.

    Raises:
        BundleError: it is missing, unreadable, too large, or of another schema version.
    """
    path = folder / MANIFEST
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MOST_MANIFEST_BYTES:
            raise BundleError(f"{path} must be a file of at most {MOST_MANIFEST_BYTES} bytes; {COPY_AGAIN}")
        with path.open("rb") as handle:
            content = handle.read(MOST_MANIFEST_BYTES + 1)
        manifest = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise BundleError(f"there is no {MANIFEST} in {folder}; give the folder that `onebar export` wrote") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, or a number too long
        raise BundleError(f"{path} cannot be read ({one_line(error)}); {COPY_AGAIN}") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{path} is not a JSON object; {COPY_AGAIN}")
    version = manifest.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or version != SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {reprlib.repr(version)} and this release reads {SCHEMA_VERSION}; "
            "export the checkpoint again with `onebar export` of this release"
        )
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) - {POINTER} not in (set(FILES), {*FILES, *EMBEDDER_FILES}):
        raise BundleError(
            f"{path} must list exactly the files {', '.join(FILES)}, with an embedder its three, and with a pointer "
            f"{POINTER}; {EXPORT_AGAIN}"
        )
    for name in listed:
        entry = listed[name]
        given = isinstance(entry, dict) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)
        if not given or not 0 <= entry["bytes"] <= MOST_BYTES[name]:
            raise BundleError(f"{path} gives no size and hash that {name} can have; {EXPORT_AGAIN}")
    return manifest


def read_file(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """Read a file of a bundle; what is returned has the size and the hash that the manifest states.

    Raises:
        BundleError: the file is missing, altered, or a link that leads out of the folder.
    """
    path, entry = folder / name, manifest["files"][name]
    size = entry["bytes"]
    try:
        if not path.is_file():
            raise BundleError(f"{path} is missing; {COPY_AGAIN}")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{path} is a link that leads out of the bundle; {COPY_AGAIN}")
        found = path.stat().st_size
        if found != size:
            raise BundleError(f"{path} has {found} bytes and its manifest says {size}; {COPY_AGAIN}")
        with path.open("rb") as handle:
            content = handle.read(size + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        raise BundleError(f"{path} cannot be read ({one_line(error)}); {COPY_AGAIN}") from error
    if len(content) != size or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise BundleError(f"{path} is not the file that was exported (its SHA-256 differs); {COPY_AGAIN}")
    return content


def one_line(error: BaseException) -> str:
    """Return an error's message, short enough and without the line breaks that would split a sentence."""
    return " ".join(str(error).split())[:200]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
