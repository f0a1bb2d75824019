"""The bundle: the folder that serving runs from, its manifest, and the checks before anything of it is believed.

    bundle/
    ├── manifest.json     what it is, how it was made, the hash of every other file
    ├── tokenizer.json    Hugging Face `tokenizers`
    ├── embeddings.bin    the token embedding, shared by both graphs (ONNX external data)
    ├── encoder.onnx      source ids -> cross-attention keys and values of every decoder layer
    └── decoder.onnx      one step for the beams of several requests, ending in their best continuations

`model_export` writes it, this module owns the format; `docs/bundle_format.md` describes it for others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from evidence.errors import RenderError
from evidence.render import RenderBudgets
from generation.beam import Hypothesis
from generation.errors import BundleError, OptionsError
from generation.options import GenerationOptions

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
EMBEDDINGS = "embeddings.bin"
ENCODER = "encoder.onnx"
DECODER = "decoder.onnx"
FILES = (TOKENIZER, EMBEDDINGS, ENCODER, DECODER)
PRECISIONS = ("fp32", "int8")
_EXPORT_AGAIN = "export it again with `onebar export`"
_COPY_AGAIN = "copy the bundle again from where it was exported"


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids that the search and the policy treat apart. `decoder_start` is what a decoder is first fed."""

    bos: int
    pad: int
    eos: int
    unk: int
    mask: int
    sep: int
    reject: int
    decoder_start: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the model. max_positions counts tokens of a source, and of a target."""

    d_model: int
    encoder_layers: int
    decoder_layers: int
    attention_heads: int
    vocab_size: int
    max_positions: int

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.attention_heads


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, ready to be given to an Engine. Sharing it between threads is safe.

    model_version: 12 hex digits, a hash of what decides the answers.
    manifest: the whole of manifest.json, for reports and `/version`.
    """

    path: Path
    manifest: Mapping[str, Any]
    model_version: str
    precision: str
    special_tokens: SpecialTokens
    architecture: Architecture
    render_budgets: RenderBudgets
    generation: GenerationOptions
    reject_threshold: float
    tokenizer: Tokenizer

    @property
    def encoder_path(self) -> Path:
        """The encoder graph; embeddings.bin must stay beside it."""
        return self.path / ENCODER

    @property
    def decoder_path(self) -> Path:
        """The decoder graph; embeddings.bin must stay beside it."""
        return self.path / DECODER

    @property
    def graph_bytes(self) -> int:
        """Size of the weights that a session reads, about."""
        return sum(int(self.manifest["files"][name]["bytes"]) for name in (ENCODER, DECODER, EMBEDDINGS))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of a hypothesis, special tokens left out and outer spaces stripped."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text.strip()

    def is_reject(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis says "show nothing": [REJECT] anywhere in it makes it no query."""
        return self.special_tokens.reject in hypothesis.token_ids


def content_version(manifest: Mapping[str, Any]) -> str:
    """Return the model version of a manifest: 12 hex digits over what decides the answers, and over nothing else.

    Metrics, parity and training notes may be written later without making another model of it.
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
    canonical = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def load_bundle(path: str | Path) -> Bundle:
    """Verify a bundle folder and read its manifest and tokenizer; the graphs are not loaded yet.

    Raises:
        BundleError: the folder is incomplete, altered, or of another schema version.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    _verify_files(folder, manifest)
    try:
        bundle = Bundle(
            path=folder,
            manifest=manifest,
            model_version=manifest["model_version"],
            precision=manifest["precision"],
            special_tokens=SpecialTokens(**_whole_numbers(manifest, "special_tokens", SpecialTokens)),
            architecture=Architecture(**_whole_numbers(manifest, "architecture", Architecture)),
            render_budgets=RenderBudgets.from_dict(manifest["render"]),
            generation=GenerationOptions.from_dict(manifest["generation"]),
            reject_threshold=float(manifest["reject"]["threshold"]),
            tokenizer=_read_tokenizer(folder / TOKENIZER),
        )
        expected_version = content_version(manifest)
    except KeyError as error:
        raise BundleError(f"{folder / MANIFEST} lacks {error}; {_EXPORT_AGAIN}") from error
    except (OptionsError, RenderError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST} cannot be used ({error}); {_EXPORT_AGAIN}") from error
    if bundle.model_version != expected_version:
        raise BundleError(
            f"{folder / MANIFEST} was edited: its content is model {expected_version} but it names itself "
            f"{bundle.model_version}; {_EXPORT_AGAIN}"
        )
    if bundle.precision not in PRECISIONS:
        raise BundleError(f"{folder / MANIFEST} names the precision {bundle.precision!r}; {_EXPORT_AGAIN}")
    if bundle.tokenizer.get_vocab_size() > bundle.architecture.vocab_size:
        raise BundleError(
            f"{folder / TOKENIZER} has {bundle.tokenizer.get_vocab_size()} entries and the model only "
            f"{bundle.architecture.vocab_size}; {_EXPORT_AGAIN}"
        )
    return bundle


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"there is no {MANIFEST} in {folder}; give the folder that `onebar export` wrote") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); {_COPY_AGAIN}") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{path} is not a JSON object; {_COPY_AGAIN}")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version!r} and this release reads {SCHEMA_VERSION}; "
            "export the checkpoint again with `onebar export` of this release"
        )
    return manifest


def _verify_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) != set(FILES):
        raise BundleError(f"{folder / MANIFEST} must list exactly the files {', '.join(FILES)}; {_EXPORT_AGAIN}")
    for name in FILES:
        path = folder / name
        try:
            size, digest = int(listed[name]["bytes"]), str(listed[name]["sha256"])
        except (KeyError, TypeError, ValueError):
            raise BundleError(f"{folder / MANIFEST} gives no size and hash of {name}; {_EXPORT_AGAIN}") from None
        if not path.is_file():
            raise BundleError(f"{path} is missing; {_COPY_AGAIN}")
        if path.stat().st_size != size:
            raise BundleError(f"{path} has {path.stat().st_size} bytes and its manifest says {size}; {_COPY_AGAIN}")
        if file_sha256(path) != digest:
            raise BundleError(f"{path} is not the file that was exported (its SHA-256 differs); {_COPY_AGAIN}")


def _whole_numbers(manifest: Mapping[str, Any], section: str, target: type[Any]) -> dict[str, int]:
    values = manifest[section]
    names = {field.name for field in fields(target)}
    if not isinstance(values, dict) or set(values) != names:
        raise ValueError(f"{section} must have exactly the keys {sorted(names)}")
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values.values()):
        raise ValueError(f"{section} must hold whole numbers")
    return values


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(f"{TOKENIZER} is not readable: {error}") from error
