"""Hashes of input files, and the arrays made of a file, cached under a hash of everything that they depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

import evidence
from evidence.render import RenderBudgets

Arrays = Mapping[str, NDArray[Any]]


def file_hash(*paths: Path) -> str:
    """Return 16 hex digits over the bytes of some files."""
    digest = hashlib.sha256()
    for path in paths:
        _update(digest, path)
    return digest.hexdigest()[:16]


def cached_arrays(
    path: Path,
    tokenizer: Tokenizer,
    budgets: RenderBudgets,
    max_target_tokens: int,
    cache: Path,
    make: Callable[[Path, Tokenizer, RenderBudgets, int], Arrays],
) -> Arrays:
    """Return the arrays that `make` makes of a file; read from `cache` if they were made before.

    Args:
        path: the file. A file of this name is read by one function only, so that its name says what the arrays are.
        tokenizer: of sources and targets.
        budgets: of the sources.
        max_target_tokens: longer targets are left out.
        cache: folder of the cached arrays; made if it is missing.
        make: renders and tokenises the file, given file, tokenizer, budgets and the most tokens of a target.
    """
    digest = hashlib.sha256()
    _update(digest, path)
    digest.update(tokenizer.to_str().encode())
    digest.update(f"{budgets}{max_target_tokens}".encode())
    # Sources change with the code that renders them.
    digest.update(file_hash(*sorted(Path(evidence.__file__).parent.glob("*.py"))).encode())
    cached = cache / f"{path.stem}-{digest.hexdigest()[:16]}.npz"
    if cached.is_file():
        with np.load(cached) as arrays:
            return dict(arrays)
    made = make(path, tokenizer, budgets, max_target_tokens)
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = cached.with_suffix(f".{os.getpid()}.partial.npz")  # processes of one run pack at the same time
    named: dict[str, Any] = dict(made)
    np.savez(unfinished, **named)
    unfinished.replace(cached)
    return made


def _update(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
