"""Training the static kind: it learns, it is deterministic, and serving loads the vectors that were trained."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the imported packages
    from sentence_transformers import SentenceTransformer

from evidence.embedder import HashedEmbedder
from evidence.static_embedder import load_static_embedder
from offline.embedder.build import Trainee, build_embedder, new_static
from offline.embedder.folder import load_embedder, quantise_rows, write_static_embedder, write_tuned
from offline.embedder.relations import QUERY_QUERY, QUERY_VIDEO, VIDEO_QUERY, Events, Relations
from offline.embedder.tokenizer import learn_tokenizer
from offline.embedder.training import TrainingSettings, new_static_model, stage_columns, train_stage
from offline.errors import SettingsError

QUICK = TrainingSettings(
    dimensions=(32, 16), vocabulary_size=600, batch_size=32, learning_rate=0.05, epochs=(6.0, 3.0), seed=3
)
# Words that share no letters of meaning: only clicks tell that they belong together.
TOPICS = [("sneaker", "running shoe"), ("kettle", "tea boiler"), ("sofa", "couch bed"), ("cellphone", "mobile device")]
TAILS = ["red", "small", "cheap", "new", "pro", "mini", "for two", "deluxe"]


def shop_relations() -> Relations:
    """Four topics: queries use one name of a thing, videos the other. Day 0 to 5, equally many events a day."""
    generator = np.random.default_rng(5)
    videos = [f"{TOPICS[n % 4][1]} {TAILS[n // 4]}" for n in range(32)]
    queries = [f"{TOPICS[n % 4][0]} {TAILS[n // 4]}" for n in range(32)]

    def events(count: int) -> Events:
        left = generator.integers(0, 32, count)
        right = (left % 4) + 4 * generator.integers(0, 8, count)
        return Events(np.arange(count) % 6, left, right)

    return Relations({QUERY_VIDEO: events(900), VIDEO_QUERY: events(900), QUERY_QUERY: events(300)}, videos, queries)


def build(relations: Relations, folder: Path, measured_day: int | None = None) -> dict[str, Any]:
    def new() -> Trainee:
        return new_static(relations, 4, QUICK)

    return build_embedder(relations, new, folder, 4, QUICK, measured_day=measured_day)[1]


@pytest.fixture(scope="module")
def relations() -> Relations:
    return shop_relations()


@pytest.fixture(scope="module")
def built(relations: Relations, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("embedder")
    return folder, build(relations, folder, 5)


def test_clicks_bring_words_together_that_share_no_letters(built: tuple[Path, dict[str, Any]]) -> None:
    query, near, far = load_static_embedder(built[0]).embed(["sneaker cheap", "running shoe red", "tea boiler red"])
    assert query @ near > query @ far + 0.3


def test_each_stage_is_measured_beside_the_hashed_embedder(built: tuple[Path, dict[str, Any]]) -> None:
    report = built[1]
    stages = report["stages"]
    assert [list(stage["pairs"]) for stage in stages] == [[QUERY_VIDEO], [QUERY_VIDEO, VIDEO_QUERY, QUERY_QUERY]]
    before, after = report["hashed"][QUERY_VIDEO]["all"], stages[-1]["retrieval"][QUERY_VIDEO]["all"]
    assert before["pairs"] == after["pairs"] > 50
    assert after["recall@10"] > before["recall@10"] + 0.3


def test_the_same_seed_gives_the_same_files(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    build(shop_relations(), tmp_path)
    for name in ("tokenizer.json", "vectors.bin"):
        assert (tmp_path / name).read_bytes() == (built[0] / name).read_bytes()


def test_numpy_and_sentence_transformers_give_the_same_vectors(relations: Relations, tmp_path: Path) -> None:
    texts = [*relations.video_texts, *relations.query_texts, "SNEAKER　ｆｏｒ two", "a sofa\tunheard of"]
    tokenizer = learn_tokenizer(texts, 400)
    model = new_static_model(tokenizer, QUICK)
    train_stage(model, stage_columns(relations, [QUERY_VIDEO], 4), 0, QUICK)
    weights = model[0].embedding.weight.detach().numpy()
    served = write_static_embedder(tmp_path, tokenizer, weights, {}).embed(texts)
    assert isinstance(model, SentenceTransformer)
    cosines = np.einsum("nd,nd->n", served, model.encode(texts, show_progress_bar=False))
    assert cosines.min() > 0.999


def test_a_token_that_training_never_used_adds_nothing(built: tuple[Path, dict[str, Any]]) -> None:
    known, with_unknown, unknown = load_static_embedder(built[0]).embed(["sofa", "sofa ζζζ", "ζζζ"])
    np.testing.assert_array_equal(known, with_unknown)
    assert not unknown.any()


def test_too_few_pairs_are_refused_with_their_number(relations: Relations) -> None:
    with pytest.raises(SettingsError, match=r"have 0 pairs of query_video; an embedder needs at least 100"):
        stage_columns(relations, [QUERY_VIDEO], 0)


def test_tuned_settings_are_written_without_another_version(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(built[0], folder)
    write_tuned(folder, {"personal_threshold": 0.25})
    write_tuned(folder, {"query_weight": 0.5})
    embedder = load_embedder(folder)
    assert embedder.tuned == {"personal_threshold": 0.25, "query_weight": 0.5}
    assert embedder.version == load_embedder(built[0]).version


def test_without_a_folder_the_embedder_is_the_hashed_one() -> None:
    assert isinstance(load_embedder(None), HashedEmbedder)


def test_int8_rows_are_within_half_a_step() -> None:
    weights = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32) * np.logspace(-3, 3, 50)[:, None]
    weights[7] = 0
    whole, scales = quantise_rows(weights.astype(np.float32))
    assert np.all(np.abs(whole * scales[:, None] - weights) <= scales[:, None] * 0.5001)
    assert scales[7] == 0
