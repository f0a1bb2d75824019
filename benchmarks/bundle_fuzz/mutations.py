"""The random faults: in the manifest, in the tokenizer, and in the bytes and links of files.

A fault is a function of a bundle folder and a source of random numbers. It changes the folder, writes the hashes anew
and returns what it did, for the report. Faults within the graphs are in graph_mutations.py.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.bundle_fuzz.graph_mutations import GRAPH_MUTATIONS
from benchmarks.bundle_fuzz.restate import read_manifest, restate
from generation.bundle import EMBEDDER_FILES, EMBEDDINGS, FILES, MANIFEST, POINTER, TOKENIZER

Mutation = Callable[[Path, Random], str]
SECTIONS = ("special_tokens", "architecture", "render", "generation", "reject", "files", "precision", "schema_version")
VALUES: tuple[Any, ...] = (
    -1, 0, 1, 2, 3, 7, 16, 64, 255, 4096, 65_536, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 10**30, -(2**63), 0.5,
    1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, True, False, None, "", "4", "\ud800", [], [1], {}, {"a": 1},
)  # fmt: skip


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in _leaves(value[key], (*path, key))] or [path]
    if isinstance(value, list):
        return [leaf for index in range(len(value)) for leaf in _leaves(value[index], (*path, index))] or [path]
    return [path]


def _holder(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


def _another(value: Any, random: Random) -> Any:
    """Return a value near a number, or any of VALUES."""
    if isinstance(value, int | float) and not isinstance(value, bool) and random.random() < 0.5:
        return random.choice((value + 1, value - 1, value * 2, value // 2, -value, value * 1000, float(value)))
    return random.choice(VALUES)


def _change_leaf(document: Any, paths: list[tuple[Any, ...]], random: Random) -> str:
    path = random.choice(paths)
    holder = _holder(document, path)
    value = _another(holder[path[-1]], random)
    holder[path[-1]] = value
    return f"{'.'.join(map(str, path))} = {value!r}"[:120]


def _change_form(document: Any, paths: list[tuple[Any, ...]], random: Random) -> str:
    path = random.choice(paths)
    path = path[: random.randint(1, len(path))]
    holder, key = _holder(document, path), path[-1]
    kind = random.choice(("delete", "replace", "rename", "add", "nest"))
    if kind == "delete":
        del holder[key]
    elif kind == "replace":
        holder[key] = random.choice(VALUES)
    elif kind == "rename" and isinstance(holder, dict):
        holder[str(key) + "_"] = holder.pop(key)
    elif kind == "add" and isinstance(holder, dict):
        holder["added"] = random.choice(VALUES)
    else:
        for _ in range(random.choice((1, 3, 500))):
            holder[key] = [holder[key]]
    return f"{kind} {'.'.join(map(str, path))}"[:120]


def manifest_number(folder: Path, random: Random) -> str:
    """Change one value of the manifest."""
    manifest = read_manifest(folder)
    told = _change_leaf(manifest, [p for p in _leaves(manifest) if p[0] in SECTIONS], random)
    restate(folder, manifest, files=not told.startswith("files"))
    return told


def manifest_form(folder: Path, random: Random) -> str:
    """Delete, rename, replace or nest a part of the manifest."""
    manifest = read_manifest(folder)
    told = _change_form(manifest, [p for p in _leaves(manifest) if p[0] in SECTIONS], random)
    restate(folder, manifest)
    return told


def manifest_bytes(folder: Path, random: Random) -> str:
    """Change bytes of the manifest; what still is JSON gets the model version that follows."""
    content = bytearray((folder / MANIFEST).read_bytes())
    told = _change_bytes(content, random, len(content))
    (folder / MANIFEST).write_bytes(content)
    with contextlib.suppress(ValueError, RecursionError):
        restate(folder, json.loads(content))
    return told


def tokenizer_value(folder: Path, random: Random) -> str:
    """Change one value of the tokenizer."""
    return _change_tokenizer(folder, random, _change_leaf)


def tokenizer_form(folder: Path, random: Random) -> str:
    """Delete, rename, replace or nest a part of the tokenizer."""
    return _change_tokenizer(folder, random, _change_form)


def _change_tokenizer(folder: Path, random: Random, change: Callable[[Any, list[tuple[Any, ...]], Random], str]) -> str:
    path = folder / TOKENIZER
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    leaves = _leaves(tokenizer)
    # Nearly all leaves are entries of the vocabulary: look as often at everything else.
    others = [leaf for leaf in leaves if leaf[:2] not in (("model", "vocab"), ("model", "merges"))]
    told = change(tokenizer, others if random.random() < 0.6 else leaves, random)
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    restate(folder, read_manifest(folder))
    return told


def files_of(folder: Path) -> list[str]:
    """Return the files of a whole bundle, those of a pointer and of a static embedder among them if it has these."""
    return [*FILES, *(name for name in (POINTER, *EMBEDDER_FILES) if (folder / name).is_file())]


def file_bytes(folder: Path, random: Random) -> str:
    """Change bytes anywhere in a file."""
    name = random.choice(files_of(folder))
    content = bytearray((folder / name).read_bytes())
    told = _change_bytes(content, random, len(content))
    (folder / name).write_bytes(content)
    restate(folder, read_manifest(folder))
    return f"{name}: {told}"


def file_length(folder: Path, random: Random) -> str:
    """Cut, empty, extend or replace a file."""
    name = random.choice(files_of(folder))
    content = (folder / name).read_bytes()
    kind = random.choice(("cut", "cut a little", "empty", "extend", "zeros", "noise", "another file"))
    changes: dict[str, Callable[[], bytes]] = {
        "cut": lambda: content[: random.randrange(len(content))],
        "cut a little": lambda: content[: -random.randint(1, 64)],
        "empty": lambda: b"",
        "extend": lambda: content + random.randbytes(random.randint(1, 64)),
        "zeros": lambda: bytes(len(content)),
        "noise": lambda: random.randbytes(min(len(content), 100_000)),
        "another file": lambda: (folder / random.choice(files_of(folder))).read_bytes(),
    }
    (folder / name).write_bytes(changes[kind]())
    restate(folder, read_manifest(folder))
    return f"{name}: {kind}"


def file_link(folder: Path, random: Random) -> str:
    """Replace a file by a link, a folder or nothing."""
    name = random.choice(files_of(folder))
    path = folder / name
    target = random.choice(("/etc/passwd", "/dev/zero", "/proc/self/mem", name, "missing", "a folder", *FILES))
    path.unlink()
    if target == "a folder":
        path.mkdir()
    elif target != "missing":
        path.symlink_to(target)
    manifest = read_manifest(folder)
    if target.startswith("/dev") or target == name:
        (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    else:
        restate(folder, manifest)
    return f"{name} -> {target}"


def embedding_far_away(folder: Path, _: Random) -> str:
    """Move the embedding out of the folder and leave a link to it, with the right hash."""
    outside = folder.with_name("outside.bin")
    os.replace(folder / EMBEDDINGS, outside)
    (folder / EMBEDDINGS).symlink_to(outside)
    restate(folder, read_manifest(folder))
    return "embeddings.bin is a link out of the folder"


def _change_bytes(content: bytearray, random: Random, end: int) -> str:
    count = random.choice((1, 1, 2, 8, 64))
    places = [random.randrange(end) for _ in range(count)]
    for place in places:
        content[place] = random.choice(
            (0, 255, 127, 128, content[place] ^ (1 << random.randrange(8)), random.randrange(256))
        )
    return f"{count} bytes from {min(places)}"


MUTATIONS: Mapping[str, Mutation] = {
    function.__name__: function
    for function in (
        manifest_number, manifest_form, manifest_bytes, tokenizer_value, tokenizer_form, file_bytes, file_length,
        file_link, embedding_far_away, *GRAPH_MUTATIONS,
    )
}  # fmt: skip
WEIGHTS: Mapping[str, float] = {"manifest_number": 4.0, "embedding_far_away": 0.1, "file_link": 0.3}
