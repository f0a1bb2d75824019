"""The transformer kind: any folder of sentence-transformers. A small one of random token vectors stands for it here."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the imported packages
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from evidence.errors import EmbedderError
from evidence.static_embedder import MANIFEST_FILE, load_static_embedder
from offline.embedder.build import TransformerTrainee, build_embedder
from offline.embedder.folder import load_embedder
from offline.embedder.relations import QUERY_QUERY, QUERY_VIDEO, VIDEO_QUERY, Events, Relations
from offline.embedder.tokenizer import learn_tokenizer
from offline.embedder.training import TrainingSettings
from offline.embedder.transformer import open_model, write_transformer
from offline.errors import SettingsError

TEXTS = ["red running shoe", "steel kettle", "find: steel kettle"]
SETTINGS = TrainingSettings(dimensions=(8, 4), batch_size=16, learning_rate=0.1, epochs=(2.0, 1.0))


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    weights = np.random.default_rng(2).normal(size=(300, 16)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(learn_tokenizer(TEXTS, 300), weights)], device="cpu")
    model.save(str(tmp_path / "local"), create_model_card=False)
    return tmp_path / "local"


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    write_transformer(tmp_path / "out", open_model(model_folder, 8), 8, "find: ", {})
    return tmp_path / "out"


def test_vectors_are_the_first_numbers_of_the_models_own_normalised(folder: Path, model_folder: Path) -> None:
    vectors = load_embedder(folder).embed([TEXTS[0], "", TEXTS[1], TEXTS[0]])
    own = SentenceTransformer(str(model_folder)).encode(TEXTS[:2])[:, :8]
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, [own[0], np.zeros(8), own[1], own[0]], atol=1e-6)
    assert vectors.dtype == np.float32


def test_queries_are_read_after_the_prompt(folder: Path) -> None:
    embedder = load_embedder(folder)
    np.testing.assert_allclose(embedder.embed_queries([TEXTS[1]]), embedder.embed([TEXTS[2]]), atol=1e-6)
    assert embedder.embed([]).shape == (0, 8)


def test_the_version_depends_on_model_dimension_and_prompt(folder: Path, model_folder: Path, tmp_path: Path) -> None:
    versions = {
        load_embedder(folder).version,
        write_transformer(tmp_path / "same", open_model(model_folder, 8), 8, "find: ", {}).version,
        write_transformer(tmp_path / "short", open_model(model_folder, 4), 4, "find: ", {}).version,
        write_transformer(tmp_path / "plain", open_model(model_folder, 8), 8, "", {}).version,
    }
    assert len(versions) == 3


def test_training_changes_the_model_and_its_version(folder: Path, model_folder: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    events = Events(np.zeros(400, np.int64), generator.integers(0, 30, 400), generator.integers(0, 30, 400))
    names = [f"kettle {number}" for number in range(30)]
    relations = Relations({QUERY_VIDEO: events, VIDEO_QUERY: events, QUERY_QUERY: events}, names, names)

    def new() -> TransformerTrainee:
        return TransformerTrainee(open_model(model_folder, 8), 8, "find: ")

    tuned, report = build_embedder(relations, new, tmp_path / "tuned", 1, SETTINGS)
    assert tuned.version != load_embedder(folder).version
    assert tuned.version == load_embedder(tmp_path / "tuned").version
    assert len(report["stages"]) == 2
    frozen, report = build_embedder(relations, new, tmp_path / "frozen", 1, SETTINGS, frozen=True)
    assert (frozen.version, report["stages"]) == (load_embedder(folder).version, [])


def test_a_model_with_too_few_dimensions_is_refused(model_folder: Path) -> None:
    with pytest.raises(SettingsError, match="have 16 dimensions; give --dimension 16 or less"):
        open_model(model_folder, 32)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no model of sentence-transformers"):
        open_model(tmp_path, 8)


def test_a_changed_file_is_named(folder: Path) -> None:
    (folder / "model" / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EmbedderError, match=r"model/tokenizer.json is not the file that the manifest names"):
        load_embedder(folder)


def test_a_changed_manifest_is_refused(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"query_prompt": "?"}), encoding="utf-8")
    with pytest.raises(EmbedderError, match="names the version"):
        load_embedder(folder)


def test_serving_refuses_this_kind(folder: Path) -> None:
    with pytest.raises(EmbedderError, match="only 'static' can be used"):
        load_static_embedder(folder)
