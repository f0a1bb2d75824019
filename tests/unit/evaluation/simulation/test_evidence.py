"""What the systems read on a simulated day, with each kind of embedder."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from demo.world.behaviour import World
from evaluation.errors import InputError
from evaluation.simulation.evidence import EvidenceOfTraffic
from evaluation.simulation.traffic import Traffic
from evidence.embedder import Embedder, HashedEmbedder, StoredVectors
from offline.evidence.store_rows import without_embeddings
from tests.fixtures.tiny_embedder import TRANSFORMER_VERSION, build_tiny_embedder
from tests.unit.evaluation.simulation.conftest import USERS, VIDEOS, Tables, written

HASHED = HashedEmbedder()


def personal(folder: Path, traffic: Traffic, world: World, embedder: Embedder) -> list[tuple[str, ...]]:
    evidence = EvidenceOfTraffic(folder, traffic, world.videos.created_day)
    return [example.personal for example in evidence.examples(embedder)]


def with_version(tables: Tables, version: str) -> Tables:
    return {
        name: table.set_column(
            table.schema.get_field_index("embedding_version"), "embedding_version", pa.array([version] * len(table))
        )
        for name, table in tables.items()
    }


def test_a_space_whose_model_is_not_here_has_the_personal_queries_of_the_stored_vectors(
    tables: Tables, traffic: Traffic, world: World, tmp_path: Path
) -> None:
    stored = StoredVectors(TRANSFORMER_VERSION, HASHED.dimension, {})
    found = personal(written(with_version(tables, stored.version), tmp_path), traffic, world, stored)
    assert any(found)
    assert found == personal(tmp_path, traffic, world, HASHED)


def test_the_threshold_is_that_of_the_space(tables: Tables, traffic: Traffic, world: World, tmp_path: Path) -> None:
    strict = StoredVectors(HASHED.version, HASHED.dimension, {"personal_threshold": 0.99})
    assert not any(personal(written(tables, tmp_path), traffic, world, strict))


@pytest.mark.parametrize("name", [VIDEOS, USERS])
def test_files_without_vectors_are_refused_if_the_model_is_not_here(
    tables: Tables, traffic: Traffic, world: World, tmp_path: Path, name: str
) -> None:
    written({**tables, name: without_embeddings(tables[name])}, tmp_path)
    assert any(personal(tmp_path, traffic, world, HASHED))
    stored = StoredVectors(HASHED.version, HASHED.dimension, {})
    with pytest.raises(InputError, match=rf"{name} has no vectors, and .* without --no-embeddings"):
        personal(tmp_path, traffic, world, stored)


def test_files_of_another_embedder_are_refused_if_the_model_is_not_here(
    tables: Tables, traffic: Traffic, world: World, tmp_path: Path
) -> None:
    stored = StoredVectors(TRANSFORMER_VERSION, HASHED.dimension, {})
    with pytest.raises(
        InputError, match=rf"{VIDEOS} has vectors of {HASHED.version}, and the bundle those of {TRANSFORMER_VERSION}"
    ):
        personal(written(tables, tmp_path), traffic, world, stored)


def test_a_bundle_that_embeds_texts_has_its_own_personal_queries_with_any_files(
    tables: Tables, traffic: Traffic, world: World, tmp_path: Path
) -> None:
    """Both arms of an experiment read the same files; each has the personal queries of its own embedder."""
    nouns = [kind.noun for kind in world.catalogue.types]
    static = build_tiny_embedder(tmp_path / "embedder", list(dict.fromkeys(" ".join(nouns).split())))
    evidence = EvidenceOfTraffic(written(tables, tmp_path), traffic, world.videos.created_day)
    first, second = evidence.examples(static), evidence.examples(HASHED)
    assert any(example.personal for example in first)
    assert [example.personal for example in first] != [example.personal for example in second]
    assert [example.evidence().anchors for example in first] == [example.evidence().anchors for example in second]


def test_only_rows_of_the_traffic_become_python_objects(
    tables: Tables, traffic: Traffic, world: World, tmp_path: Path
) -> None:
    copies = 100
    many = {}
    for name, table in tables.items():
        ids = table.column_names[0]
        others = pa.array([f"{copy} {row}" for copy in range(copies) for row in table[ids].to_pylist()])
        many[name] = pa.concat_tables([table, pa.concat_tables([table] * copies).set_column(0, ids, others)])
    expected = personal(written(tables, tmp_path), traffic, world, HASHED)
    peaks = []
    for files in (tables, many):
        written(files, tmp_path)
        tracemalloc.start()
        try:
            assert personal(tmp_path, traffic, world, HASHED) == expected
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_evidence_of_another_world_is_refused(tables: Tables, traffic: Traffic, world: World, tmp_path: Path) -> None:
    written({**tables, VIDEOS: tables[VIDEOS].slice(0, 10)}, tmp_path)
    with pytest.raises(InputError, match=f"{VIDEOS} has no row for .* is it of this world"):
        personal(tmp_path, traffic, world, HASHED)


@pytest.mark.parametrize("name", [VIDEOS, USERS])
def test_a_missing_file_is_named_with_the_commands_that_make_it(
    tables: Tables, traffic: Traffic, world: World, tmp_path: Path, name: str
) -> None:
    (written(tables, tmp_path) / name).unlink()
    with pytest.raises(InputError, match=rf"{name} is missing; .*`onebar offline evidence .*`onebar offline users`"):
        personal(tmp_path, traffic, world, HASHED)
