"""The static embedder that serving loads: its vectors, the bound on its work, and the files that it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from evidence.embedding import MAX_EMBEDDED_CHARACTERS, filter_personal
from evidence.errors import EmbedderError
from evidence.static_embedder import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    VECTORS_FILE,
    StaticEmbedder,
    content_version,
    file_entry,
    load_static_embedder,
)

WORDS = {"red": 0, "dress": 1, "drill": 2, "unused": 3, "红": 4}
WHOLE = np.array([[127, 0], [0, 127], [-127, 0], [0, 0], [127, 127]], np.int8)
SCALES = np.array([1 / 127, 2 / 127, 1 / 127, 0, 1 / 127], "<f4")


def word_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="unused"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = {TOKENIZER_FILE: word_tokenizer().to_str().encode(), VECTORS_FILE: WHOLE.tobytes() + SCALES.tobytes()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    manifest = {
        "format": 1,
        "kind": "static",
        "version": content_version("static", 2, list(contents.values())),
        "dimension": 2,
        "vocabulary_size": 5,
        "tuned": {"personal_threshold": 0.3},
        "files": {name: file_entry(content) for name, content in contents.items()},
    }
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")
    return tmp_path


@pytest.fixture
def embedder(folder: Path) -> StaticEmbedder:
    return load_static_embedder(folder)


def test_a_vector_is_the_normalised_mean_of_the_token_vectors(embedder: StaticEmbedder) -> None:
    vectors = embedder.embed(["red", "Red dress", "红"])
    expected = np.array([[1, 0], [1, 2] / np.sqrt(5), [1, 1] / np.sqrt(2)])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert (vectors.dtype, embedder.dimension, embedder.tuned) == (np.float32, 2, {"personal_threshold": 0.3})


@pytest.mark.parametrize("text", ["", "   ", "unused", "\ud800", "red drill"])
def test_a_text_of_which_nothing_is_known_is_zero(embedder: StaticEmbedder, text: str) -> None:
    np.testing.assert_array_equal(embedder.embed([text]), np.zeros((1, 2)))


def test_a_text_has_the_same_vector_alone_and_among_many(embedder: StaticEmbedder) -> None:
    texts = ["red dress", "", "drill", "红 dress red"] * 30
    together = embedder.embed(texts)
    np.testing.assert_array_equal(together, np.concatenate([embedder.embed([text]) for text in texts]))
    assert embedder.embed([]).shape == (0, 2)


def test_only_the_beginning_of_a_text_is_read(embedder: StaticEmbedder) -> None:
    long = "red " * MAX_EMBEDDED_CHARACTERS + "dress"
    np.testing.assert_array_equal(embedder.embed([long]), embedder.embed(["red"]))


def test_truncation_and_padding_of_the_tokenizer_file_are_ignored() -> None:
    tokenizer = word_tokenizer()
    tokenizer.enable_truncation(1)
    tokenizer.enable_padding(length=5)
    table = np.eye(5, 2, dtype=np.float32)
    vectors = StaticEmbedder(tokenizer, table, "v", {}).embed(["red dress"])
    np.testing.assert_allclose(vectors, [[0.5**0.5, 0.5**0.5]], atol=1e-6)


def test_it_selects_personal_queries(embedder: StaticEmbedder) -> None:
    queries = ["drill", "red dress", "red"]
    trigger = embedder.embed(["red"])[0]
    assert filter_personal(trigger, queries, embedder.embed_queries(queries)) == ("red", "red dress")


def edit(**values: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / MANIFEST_FILE
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")

    return apply


def rewrite(name: str, content: bytes) -> Callable[[Path], None]:
    """Replace a file, and name its size and hash in the manifest as a writer of such a file would."""

    def apply(folder: Path) -> None:
        (folder / name).write_bytes(content)
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        manifest["files"][name] = file_entry(content)
        contents = [(folder / file).read_bytes() for file in (TOKENIZER_FILE, VECTORS_FILE)]
        manifest["version"] = content_version("static", 2, contents)
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / MANIFEST_FILE).unlink(), "cannot be read"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("{"), "is not JSON"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("[" * 100_000), "is not JSON"),
        (lambda folder: (folder / MANIFEST_FILE).write_bytes(b" " * (1 << 21)), "is longer than"),
        (edit(format=2), "not of format 1"),
        (edit(kind="transformer"), "of the kind 'transformer'"),
        (edit(tuned={"personal_threshold": 7}), "from -1 to 1"),
        (edit(tuned=None), "must have tuned"),
        (edit(dimension=0), "dimension must be a whole number from 1"),
        (edit(dimension=True), "dimension must be a whole number from 1"),
        (edit(dimension=1 << 40), "dimension must be a whole number from 1"),
        (edit(dimension=3), "must not have 30 bytes"),
        (edit(vocabulary_size=6), "must not have 30 bytes"),
        (edit(version="static-0000"), "names the version"),
        (edit(files={}), "does not name tokenizer.json"),
        (lambda folder: (folder / VECTORS_FILE).unlink(), "cannot be read"),
        (lambda folder: (folder / VECTORS_FILE).write_bytes(b"\0" * 30), "is not the file that the manifest names"),
        (lambda folder: (folder / VECTORS_FILE).write_bytes(b"\0" * 31), "is not the file that the manifest names"),
        (rewrite(TOKENIZER_FILE, b"{}"), "is not a tokenizer"),
        (rewrite(VECTORS_FILE, WHOLE.tobytes() + np.full(5, np.nan, "<f4").tobytes()), "not finite"),
        (rewrite(VECTORS_FILE, WHOLE.tobytes() + np.full(5, -1, "<f4").tobytes()), "negative"),
        (rewrite(VECTORS_FILE, WHOLE.tobytes() + np.full(5, 1e30, "<f4").tobytes()), r"over 1e\+06"),
        (rewrite(TOKENIZER_FILE, Tokenizer(models.WordLevel({"red": 0})).to_str().encode()), "is not a tokenizer"),
        (
            rewrite(TOKENIZER_FILE, Tokenizer(models.WordLevel({"red": 9}, unk_token="red")).to_str().encode()),
            "has ids from 5 on",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(EmbedderError, match=message):
        load_static_embedder(folder)
