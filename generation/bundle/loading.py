"""A bundle folder, checked whole and read into one object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tokenizers import Tokenizer

from evidence.embedder import Embedder
from evidence.errors import RenderError
from evidence.render import RenderBudgets
from generation.beam import Hypothesis
from generation.bundle.architecture import Architecture, SpecialTokens, check_architecture
from generation.bundle.embedder import check_embedder_section, read_embedder
from generation.bundle.files import (
    DECODER,
    EMBEDDINGS,
    ENCODER,
    EXPORT_AGAIN,
    MANIFEST,
    TOKENIZER,
    content_version,
    one_line,
    read_file,
    read_manifest,
)
from generation.bundle.graph_checks import check_decoder, check_encoder, embedding_array, embedding_bytes
from generation.bundle.graph_file import Constants, parse_graph
from generation.bundle.manifest import (
    read_generation_options,
    read_precision,
    read_reject_threshold,
    read_render_budgets,
    whole_numbers,
)
from generation.bundle.pointer import check_pointer_section, read_pointer
from generation.bundle.tokenizer import read_tokenizer
from generation.errors import BundleError, OptionsError
from generation.options import GenerationOptions
from generation.pointer import Pointer


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that passed every check, ready to be given to an Engine. Threads may share it.

    model_version: 12 hex digits, a hash of what decides the answers.
    manifest: the whole of manifest.json, for reports and `/version`.
    embedder: of the stored vectors that go with this model; the hashed one if the bundle has none of its own.
    pointer: to the entries of a source; None if the model has none.
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
    embedder: Embedder
    pointer: Pointer | None

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
        """Approximate size of the weights that a session reads."""
        return sum(int(self.manifest["files"][name]["bytes"]) for name in (ENCODER, DECODER, EMBEDDINGS))

    def read(self, name: str) -> bytes:
        """Return the content of one of the files, unchanged since it was checked.

        Raises:
            BundleError: it was changed or removed.
        """
        return read_file(self.path, name, self.manifest)

    def embedding(self) -> NDArray[Any]:
        """Return the token embedding [rows, d_model], int8 or float32. Raises BundleError as `read` does."""
        return embedding_array(self.read(EMBEDDINGS), self.architecture, int8=self.precision == "int8")

    def constants(self, name: str) -> Constants:
        """Return the constants of a graph by name. Raises BundleError as `read` does."""
        return parse_graph(self.read(name)).constants(self.embedding())

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of a hypothesis, without special tokens and outer spaces."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text.strip()

    def is_reject(self, hypothesis: Hypothesis) -> bool:
        """Return whether a hypothesis says "show nothing": it has [REJECT] anywhere."""
        return self.special_tokens.reject in hypothesis.token_ids


def load_bundle(path: str | Path) -> Bundle:
    """Check a bundle folder whole: manifest, files, tokenizer and graphs. Both backends run only what passed.

    The graphs are read again when an engine loads them; files that were changed in between are refused then.

    Raises:
        BundleError: the folder is incomplete, altered, of another schema version, or contradicts itself.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    with _blame(folder / MANIFEST):
        if not isinstance(manifest["model_version"], str):
            raise BundleError("model_version must be a text")
        version = content_version(manifest)
        if manifest["model_version"] != version:
            raise BundleError(f"it was edited, as its content is that of model {version}")
        int8 = read_precision(manifest) == "int8"
        sizes = Architecture(**whole_numbers(manifest, "architecture", Architecture))
        specials = SpecialTokens(**whole_numbers(manifest, "special_tokens", SpecialTokens))
        check_architecture(sizes, specials, int8=int8)
        budgets = read_render_budgets(manifest, sizes)
        options = read_generation_options(manifest, sizes)
        threshold = read_reject_threshold(manifest)
        check_embedder_section(manifest)
        check_pointer_section(manifest, sizes)
        if manifest["files"][EMBEDDINGS]["bytes"] != embedding_bytes(sizes, int8=int8):
            raise BundleError(f"{EMBEDDINGS} of this architecture has {embedding_bytes(sizes, int8=int8)} bytes")
    content = read_file(folder, TOKENIZER, manifest)
    with _blame(folder / TOKENIZER):
        tokenizer = read_tokenizer(content, sizes, specials)
    embedding = embedding_array(read_file(folder, EMBEDDINGS, manifest), sizes, int8=int8)
    for name, check in ((ENCODER, check_encoder), (DECODER, check_decoder)):
        content = read_file(folder, name, manifest)
        with _blame(folder / name):
            check(content, embedding, EMBEDDINGS, sizes, specials, int8=int8)
    return Bundle(
        path=folder,
        manifest=manifest,
        model_version=version,
        precision=manifest["precision"],
        special_tokens=specials,
        architecture=sizes,
        render_budgets=budgets,
        generation=options,
        reject_threshold=threshold,
        tokenizer=tokenizer,
        embedder=read_embedder(folder, manifest),
        pointer=read_pointer(folder, manifest, sizes, specials, tokenizer),
    )


@contextmanager
def _blame(path: Path) -> Iterator[None]:
    """Turn what a check found into one sentence that names the file and the remedy."""
    try:
        yield
    except KeyError as error:
        raise BundleError(f"{path} lacks {error}; {EXPORT_AGAIN}") from error
    except (BundleError, OptionsError, RenderError) as error:
        raise BundleError(f"{path} cannot be used: {one_line(error)}; {EXPORT_AGAIN}") from error
