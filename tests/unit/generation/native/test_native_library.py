"""The structures that Python fills in are those that the kernels were compiled with, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from generation.errors import BackendError
from generation.native import library
from generation.native.library import NEEDED_FLAGS, STRUCTURES, Encoder, check_layout, instructions, load


@pytest.fixture
def unloaded() -> Iterator[None]:
    load.cache_clear()
    yield
    load.cache_clear()


def test_every_field_of_every_structure_is_compared(kernels: ModuleType) -> None:
    compared = {(structure, field) for structure, field, _, _ in kernels.layout()}
    expected = {(s.__name__, field) for s in STRUCTURES for field in ("", *(name for name, *_ in s._fields_))}
    assert compared == expected
    check_layout(kernels.layout())


@pytest.mark.parametrize("change", ["offset", "size", "missing", "added", "swapped"])
def test_a_field_in_another_place_is_refused_and_named(kernels: ModuleType, change: str) -> None:
    layout = kernels.layout()
    index = next(i for i, place in enumerate(layout) if place[:2] == ("Embedding", "scale"))
    structure, field, offset, size = layout[index]
    if change == "offset":
        layout[index] = (structure, field, offset + 8, size)
    elif change == "size":
        layout[index] = (structure, field, offset, size // 2)
    elif change == "missing":
        del layout[index]
    elif change == "added":
        layout.insert(index, (structure, "more", offset, size))
    else:
        layout[index], layout[index + 1] = layout[index + 1], layout[index]
    with pytest.raises(BackendError, match=r"place Embedding\.scale elsewhere .* install the project again"):
        check_layout(layout)


@pytest.mark.parametrize(
    ("flags", "compiled", "chosen"),
    [
        (NEEDED_FLAGS["avx512"] | NEEDED_FLAGS["avx2"], {"avx512", "avx2"}, "avx512"),
        (NEEDED_FLAGS["avx512"] | NEEDED_FLAGS["avx2"], {"avx2"}, "avx2"),
        (NEEDED_FLAGS["avx2"] | {"avx512f"}, {"avx512", "avx2"}, "avx2"),
        ({"sse2"}, {"avx512", "avx2"}, None),
    ],
)
def test_the_fastest_instructions_that_are_there_are_chosen(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], compiled: set[str], chosen: str | None
) -> None:
    monkeypatch.setattr(library, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(library, "find_spec", lambda name: name if name.rpartition("_")[2] in compiled else None)
    assert instructions() == chosen


@pytest.mark.usefixtures("unloaded")
def test_kernels_of_another_release_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "import_module", lambda name: SimpleNamespace(encode=None))
    with pytest.raises(BackendError, match="not those of this release"):
        load()


def test_structures_of_another_size_are_refused(kernels: ModuleType) -> None:
    with pytest.raises(TypeError, match="the encoder has 8 bytes"):
        kernels.encode_scratch(np.zeros(8, np.uint8), 1)


def test_memory_that_is_too_small_is_refused(kernels: ModuleType) -> None:
    model = Encoder(width=32, heads=2, feed_forward=64, layers=0, decoder_layers=1)
    model.embedding.tokens, model.embedding.places = 10, 8
    needed = kernels.encode_scratch(model, 4)
    ids, cross = np.zeros(4, np.int64), [np.zeros(4 * 32, np.float32) for _ in range(2)]
    with pytest.raises(ValueError, match=f"scratch memory has {needed - 1} bytes and needs {needed}"):
        kernels.encode(model, ids, cross, np.zeros(needed - 1, np.uint8))
    with pytest.raises(ValueError, match="a cross-attention array has 508 bytes and needs 512"):
        kernels.encode(model, ids, [cross[0], cross[1][:-1]], np.zeros(needed, np.uint8))
    with pytest.raises(ValueError, match="a list of 2 cross-attention arrays"):
        kernels.encode(model, ids, cross[:1], np.zeros(needed, np.uint8))


@pytest.mark.parametrize(
    ("shape", "packed", "sums", "message"),
    [
        ((6, 32), 192, 32, "inputs must be a multiple of 4"),
        ((8, 33), 8 * 64 - 1, 64, "packed has 511 bytes and needs 512"),
        ((8, 33), 8 * 64, 63, "column sums has 252 bytes and needs 256"),
    ],
)
def test_weights_are_packed_only_into_memory_that_holds_them(
    kernels: ModuleType, shape: tuple[int, int], packed: int, sums: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kernels.pack(np.zeros(shape, np.int8), np.zeros(packed, np.int8), np.zeros(sums, np.int32))
