"""The built-in similarity of short texts: hashed words and character n-grams, no training, no model file.

Without another embedder it decides which videos are neighbours (offline), and which of a viewer's past queries resemble
the video (offline and online, so that training and serving select the same ones). Vectors of another EMBEDDING_VERSION
are never compared with these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evidence.cleaning import MAX_CLEAN_CHARACTERS

EMBEDDING_VERSION = "hashed-ngrams-1"
DIMENSION = 256
PERSONAL_THRESHOLD = 0.2
"""A past query whose cosine with the video is greater becomes personal evidence."""
PERSONAL_LIMIT = 6
MAX_EMBEDDED_CHARACTERS = 2 * MAX_CLEAN_CHARACTERS + 1
"""Characters of one text that are embedded: the longest text and the longest summary, a space between them."""

_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?")
_CJK_START = "\u2e80"
_STOP_WORDS = frozenset(
    "a an and are at be best buy by cheap for from good how i in is it my new of on or our price review sale that the "
    "this to top under video vs we what with you your".split()
)
_STOP_WEIGHT = 0.15
_GRAM_WEIGHT = 0.4
_TEXTS_AT_ONCE = 1 << 14
"""Texts whose features exist as Python numbers at the same time."""
_SIGN_BIT = np.uint32(1 << 31)

Matrix = NDArray[np.float32]


def _features(text: str) -> dict[str, float]:
    """Return the words and n-grams of a text with their weights, of its first `MAX_EMBEDDED_CHARACTERS`."""
    features: dict[str, float] = {}
    for word in _WORD.findall(text[:MAX_EMBEDDED_CHARACTERS].casefold()):
        if word[0] >= _CJK_START:  # scripts without spaces: characters and pairs of them carry the words
            pairs = [word[i : i + 2] for i in range(len(word) - 1)] or [word]
            features.update(dict.fromkeys(pairs, 1.0))
            continue
        weight = _STOP_WEIGHT if word in _STOP_WORDS else 1.0
        if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
            word = word[:-1]  # a plural is the same thing
        features[word] = weight
        if len(word) > 3 and weight == 1.0:
            padded = f"<{word}>"
            grams = ["~" + padded[i : i + 3] for i in range(len(padded) - 2)]
            features.update(dict.fromkeys(grams, _GRAM_WEIGHT))
    return features


def embed(texts: Sequence[str]) -> Matrix:
    """Return float32 [n, DIMENSION], each row of length 1, or all zeros where a text has no word."""
    vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        _add_features(vectors[start : start + _TEXTS_AT_ONCE], texts[start : start + _TEXTS_AT_ONCE])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, norms, out=vectors, where=norms > 0)
    return vectors


def _add_features(vectors: Matrix, texts: Sequence[str]) -> None:
    """Add the weights of each text's features to its row."""
    codes: list[int] = []
    weights: list[float] = []
    sizes: list[int] = []
    for text in texts:
        features = _features(text)
        codes += [crc32(feature.encode("utf-8", "ignore")) for feature in features]
        weights += features.values()
        sizes.append(len(features))
    code = np.array(codes, np.uint32)  # [features of all texts]
    weight = np.array(weights, np.float32)
    row = np.repeat(np.arange(len(texts)), sizes)
    np.add.at(vectors, (row, code % DIMENSION), np.where(code & _SIGN_BIT, weight, -weight))


def trigger_text(text: str, summary: str) -> str:
    """Return what is embedded for a video: its text and its summary."""
    return f"{text} {summary}".strip()


def filter_personal(
    trigger_vector: Matrix,
    queries: Sequence[str],
    query_vectors: Matrix | None = None,
    threshold: float = PERSONAL_THRESHOLD,
    limit: int = PERSONAL_LIMIT,
) -> tuple[str, ...]:
    """Return P: the past queries whose cosine with the trigger is over the threshold, most similar first.

    Args:
        trigger_vector: float32 [d], length 1.
        queries: newest first; of equally similar ones the newest comes first.
        query_vectors: float32 [len(queries), d], length 1 a row; embedded here when None.
        threshold: cosine, in -1 to 1.
        limit: the most queries returned.
    """
    if not queries:
        return ()
    vectors = embed(queries) if query_vectors is None else query_vectors
    similarity = vectors @ trigger_vector  # [n]
    order = np.argsort(-similarity, kind="stable")
    return tuple(queries[i] for i in order[:limit] if similarity[i] > threshold)
