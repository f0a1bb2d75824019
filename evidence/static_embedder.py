"""The static kind of embedder: the mean of trained token vectors, normalised. NumPy and `tokenizers` only.

It gives offline jobs and serving the same vectors, in microseconds for a query. `onebar offline embedder` trains it and
writes its folder (docs/embedder.md):

    embedder.json    format, kind, dimension, version, sizes and hashes of the other files, tuned settings
    tokenizer.json   text to token ids
    vectors.bin      int8 [vocabulary, d], then float32 [vocabulary], the scale of each row; little-endian

A row that training never used is zero, so an unknown word adds nothing. Sizes, hashes and shapes are checked before
the first byte is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from evidence.embedding import MAX_EMBEDDED_CHARACTERS, Matrix
from evidence.errors import EmbedderError

FORMAT = 1
KIND = "static"
MANIFEST_FILE, TOKENIZER_FILE, VECTORS_FILE = "embedder.json", "tokenizer.json", "vectors.bin"
MAX_DIMENSION = 4096
MAX_VOCABULARY = 1 << 20

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_TOKENIZER_BYTES = 1 << 26
_MAX_SCALE = 1e6  # so that no sum and no norm of a text overflows
_PROBE = "Red shoes 2024, 防晒霜 é 🙂 \ue000"
_FEW_TEXTS = 64  # the most that one request brings: threads for them would take the cores of its generation
_TOKENS_AT_ONCE = 1 << 16  # 64 MiB of vectors at 256 dimensions
_TEXTS_AT_ONCE = 1 << 12


class StaticEmbedder:
    """Token vectors and the tokenizer that they belong to."""

    embeds_texts: bool = True

    def __init__(self, tokenizer: Tokenizer, table: Matrix, version: str, tuned: Mapping[str, float]) -> None:
        """Keep the parts of an embedder.

        Args:
            tokenizer: its ids are rows of `table`.
            table: float32 [vocabulary, d]; it is not copied.
            version: the name of the vector space.
            tuned: settings of the evidence that were chosen for this space, by name (docs/embedder.md).
        """
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._table = table
        self.version = version
        self.tuned = dict(tuned)

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, d]: rows of length 1, all zeros where a text has no known token.

        Only the first `MAX_EMBEDDED_CHARACTERS` of a text are read, which bounds the time of one.
        """
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            ids = self._token_ids(texts[start : start + _TEXTS_AT_ONCE])
            self._add(vectors[start : start + len(ids)], ids)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    def embed_queries(self, queries: Sequence[str]) -> Matrix:
        """Return the same as `embed`: videos and queries are read alike."""
        return self.embed(queries)

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        read = [_readable(text) for text in texts]
        if len(read) <= _FEW_TEXTS:
            return [self._tokenizer.encode(text, add_special_tokens=False).ids if text else [] for text in read]
        return [encoded.ids for encoded in self._tokenizer.encode_batch_fast(read, add_special_tokens=False)]

    def _add(self, vectors: Matrix, ids: list[list[int]]) -> None:
        """Write the sum of each text's token vectors into its row; the mean has the same direction."""
        rows = [row for row, found in enumerate(ids) if found]
        first = 0
        while first < len(rows):
            last, tokens = first, 0
            while last < len(rows) and (tokens == 0 or tokens + len(ids[rows[last]]) <= _TOKENS_AT_ONCE):
                tokens += len(ids[rows[last]])
                last += 1
            part = rows[first:last]
            flat = np.concatenate([np.array(ids[row], np.int64) for row in part])  # [tokens]
            starts = np.cumsum([0, *(len(ids[row]) for row in part[:-1])])
            vectors[part] = np.add.reduceat(self._table[flat], starts, axis=0)
            first = last


def load_static_embedder(folder: Path | str) -> StaticEmbedder:
    """Read the folder of a static embedder.

    Raises:
        EmbedderError: a file is missing, or is not what the manifest says.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest["kind"] != KIND:
        raise EmbedderError(
            f"{folder} has an embedder of the kind {manifest['kind']!r}; here only {KIND!r} can be used"
        )
    vocabulary = _whole(manifest, "vocabulary_size", folder, MAX_VOCABULARY)
    dimension = _whole(manifest, "dimension", folder, MAX_DIMENSION)
    tokenizer_bytes = _read(folder, TOKENIZER_FILE, manifest, None)
    vector_bytes = _read(folder, VECTORS_FILE, manifest, vocabulary * (dimension + 4))
    version = content_version(KIND, dimension, [tokenizer_bytes, vector_bytes])
    if manifest["version"] != version:
        raise EmbedderError(f"{folder} names the version {manifest['version']!r}, but its files are {version}")
    tokenizer = _tokenizer(folder / TOKENIZER_FILE, tokenizer_bytes, vocabulary)
    whole = np.frombuffer(vector_bytes, np.int8, vocabulary * dimension).reshape(vocabulary, dimension)
    scales = np.frombuffer(vector_bytes, "<f4", vocabulary, offset=vocabulary * dimension)
    if not np.all((scales >= 0) & (scales <= _MAX_SCALE)):
        raise EmbedderError(f"{folder / VECTORS_FILE} has a scale that is negative, not finite or over {_MAX_SCALE:g}")
    table = whole.astype(np.float32)
    table *= scales[:, None]
    return StaticEmbedder(tokenizer, table, version, manifest["tuned"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an embedder of any kind, with the keys that every kind has.

    Raises:
        EmbedderError: it is missing or of another form.
    """
    path = folder / MANIFEST_FILE
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise EmbedderError(
            f"{path} cannot be read: {error.strerror}; make it with `onebar offline embedder`"
        ) from error
    if len(text) > _MAX_MANIFEST_BYTES:
        raise EmbedderError(f"{path} is longer than {_MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EmbedderError(f"{path} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise EmbedderError(f"{path} is not of format {FORMAT}; make it again with `onebar offline embedder`")
    for key, kind in (("kind", str), ("version", str), ("files", dict), ("tuned", dict)):
        if not isinstance(manifest.get(key), kind):
            raise EmbedderError(f"{path} must have {key}, {'an object' if kind is dict else 'a text'}")
    if not is_tuned(manifest["tuned"]):
        raise EmbedderError(f"{path}: each value of tuned must be a number from -1 to 1")
    return manifest


def is_tuned(value: object) -> bool:
    """Return whether a value of JSON can be the tuned settings of an embedder: numbers from -1 to 1 by name."""
    return isinstance(value, dict) and all(
        type(number) in (int, float) and -1 <= number <= 1 for number in value.values()
    )


def content_version(kind: str, dimension: int, contents: Sequence[bytes]) -> str:
    """Return the version of an embedder: its kind, and 16 hex digits that depend on every byte of its files."""
    digest = hashlib.sha256(f"{kind} {dimension} {FORMAT}".encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return f"{kind}-{digest.hexdigest()[:16]}"


def file_entry(content: bytes) -> dict[str, Any]:
    """Return what the manifest says about a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _tokenizer(path: Path, content: bytes, vocabulary: int) -> Tokenizer:
    """Return the tokenizer, tried once; each of its ids is below `vocabulary`."""
    try:
        tokenizer = Tokenizer.from_buffer(content)
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        ids = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises a bare Exception, and a panic of Rust is no Exception
        raise EmbedderError(f"{path} is not a tokenizer: {error}") from error
    if max(largest, *ids, 0) >= vocabulary:
        raise EmbedderError(f"{path} has ids from {vocabulary} on; {VECTORS_FILE} has no row for them")
    return tokenizer


def _readable(text: str) -> str:
    text = text[:MAX_EMBEDDED_CHARACTERS].strip()
    return text if text.isascii() else text.encode("utf-8", "ignore").decode()  # half a surrogate pair is no text


def _whole(manifest: Mapping[str, Any], key: str, folder: Path, most: int) -> int:
    value = manifest.get(key)
    if type(value) is not int or not 1 <= value <= most:
        raise EmbedderError(f"{folder / MANIFEST_FILE}: {key} must be a whole number from 1 to {most}")
    return value


def _read(folder: Path, name: str, manifest: Mapping[str, Any], needed: int | None) -> bytes:
    """Return a file whose size and hash are those of the manifest, and whose size is `needed` where that is known."""
    path, entry = folder / name, manifest["files"].get(name)
    if not isinstance(entry, dict) or type(entry.get("bytes")) is not int:
        raise EmbedderError(f"{folder / MANIFEST_FILE} does not name {name} with its bytes and sha256")
    size = entry["bytes"]
    if not 0 <= size <= (_MAX_TOKENIZER_BYTES if needed is None else needed) or needed not in (None, size):
        raise EmbedderError(
            f"{path} must not have {size} bytes, as the manifest says; {needed or 'fewer'} are expected"
        )
    try:
        with path.open("rb") as file:
            content = file.read(size + 1)
    except OSError as error:
        raise EmbedderError(f"{path} cannot be read: {error.strerror}") from error
    if file_entry(content) != {"bytes": size, "sha256": entry.get("sha256")}:
        raise EmbedderError(f"{path} is not the file that the manifest names; copy the whole folder again")
    return content
