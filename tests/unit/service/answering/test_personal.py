"""The personal queries of one request, by the embedder of the bundle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evidence.embedder import Embedder, HashedEmbedder, StoredVectors
from evidence.embedding import DIMENSION, EMBEDDING_VERSION, PERSONAL_THRESHOLD, Matrix, embed
from evidence.schema import RawText
from feature_store import Fetched, PhotoRecord, UserRecord
from service.answering.evidence_source import gather
from service.answering.personal import PersonalSelector, VectorMemory
from service.answering.request import RecommendRequest
from service.settings import PersonalSettings

CAMERA = PhotoRecord(raw=RawText(caption="travel camera"), summary="a black camera")
QUERIES = ("travel camera lens", "red dress")
HASHED = HashedEmbedder()
STORED = StoredVectors("transformer-0123456789abcdef", 2, {"personal_threshold": 0.5})
"""A space of two dimensions that no text can be embedded in."""


class Spoken(HashedEmbedder):
    """A space of two dimensions in which a text about shoes is one unit vector, and any other text the other one."""

    version = "static-0123456789abcdef"
    dimension = 2

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Matrix:
        self.embedded += texts
        return np.array([[1, 0] if {*text.split()} & {"sneaker", "runner"} else [0, 1] for text in texts], np.float32)


def select(
    fetched: Fetched, embedder: Embedder = HASHED, *, settings: PersonalSettings | None = None, **fields: object
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the personal queries of a request, and what its answer reports as degraded."""
    request = RecommendRequest.model_validate({"photo_id": "p1", **fields})
    evidence, degraded = gather(request, fetched, PersonalSelector(embedder, settings or PersonalSettings()))
    return evidence.personal, degraded


def test_past_and_recent_queries_similar_to_the_video_are_selected():
    fetched = Fetched(photo=CAMERA, user=UserRecord(QUERIES, embed(QUERIES), EMBEDDING_VERSION))
    personal, degraded = select(fetched, recent_queries=["camera tripod", "blue sofa"])
    assert set(personal) == {"travel camera lens", "camera tripod"}
    assert degraded == ()


def test_past_queries_without_vectors_are_embedded():
    fetched = Fetched(photo=CAMERA, user=UserRecord(QUERIES))
    assert select(fetched) == (("travel camera lens",), ())


def test_the_embedder_of_the_bundle_decides_what_is_similar():
    fetched = Fetched(photo=PhotoRecord(raw=RawText(caption="light runner")), user=UserRecord(("red sneaker",)))
    assert select(fetched) == ((), ())
    assert select(fetched, Spoken()) == (("red sneaker",), ())


def test_stored_queries_without_vectors_are_embedded_up_to_a_total_length():
    user = UserRecord(tuple(f"travel camera lens {number} " + "x" * 230 for number in range(64)))
    personal, _ = select(Fetched(photo=CAMERA, user=user), settings=PersonalSettings(threshold=-1.0, limit=64))
    assert 0 < len([query for query in personal if query.startswith("travel camera lens")]) <= 8


def test_a_user_of_another_embedding_version_keeps_only_recent_queries():
    fetched = Fetched(photo=CAMERA, user=UserRecord(QUERIES, None, "another-1"))
    assert select(fetched, recent_queries=["camera tripod"]) == (("camera tripod",), ("embedding_version",))


def test_a_photo_of_another_embedding_version_has_no_personal_part():
    photo = PhotoRecord(raw=CAMERA.raw, embedding_version="another-1")
    assert select(Fetched(photo=photo), recent_queries=["camera tripod"]) == ((), ("embedding_version",))


def test_a_request_with_text_ignores_the_embedding_version_of_the_photo():
    photo = PhotoRecord(raw=CAMERA.raw, embedding_version="another-1")
    given = {"recent_queries": ["camera tripod"], "evidence": {"caption": "camera for travel"}}
    assert select(Fetched(photo=photo), **given) == (("camera tripod",), ())


def test_queries_are_compared_with_the_stored_vector_of_the_photo():
    photo = PhotoRecord(raw=CAMERA.raw, embedding=embed(["red dress"])[0], embedding_version=EMBEDDING_VERSION)
    assert select(Fetched(photo=photo, user=UserRecord(QUERIES))) == (("red dress",), ())


@pytest.mark.parametrize("dimension", [DIMENSION - 1, 1])
def test_vectors_of_another_dimension_are_left_out_and_reported(dimension: int):
    photo = PhotoRecord(raw=CAMERA.raw, embedding=np.ones(dimension, np.float32), embedding_version=EMBEDDING_VERSION)
    assert select(Fetched(photo=photo), recent_queries=["camera"]) == ((), ("embedding_version",))
    user = UserRecord(QUERIES, np.ones((2, dimension), np.float32), EMBEDDING_VERSION)
    found = select(Fetched(photo=CAMERA, user=user), recent_queries=["camera"])
    assert found == (("camera",), ("embedding_version",))


def stored(embedding: Sequence[float] | None = (1.0, 0.0)) -> PhotoRecord:
    if embedding is None:
        return CAMERA
    return PhotoRecord(
        raw=CAMERA.raw, embedding=np.array(embedding, np.float32), embedding_version="transformer-0123456789abcdef"
    )


VIEWER = UserRecord(QUERIES, np.array([[0.8, 0.6], [0.4, 0.9]], np.float32), "transformer-0123456789abcdef")


def test_without_a_model_stored_vectors_are_compared_by_the_tuned_threshold():
    assert select(Fetched(photo=stored(), user=VIEWER), STORED) == (("travel camera lens",), ())


@pytest.mark.parametrize(
    ("fetched", "fields", "personal"),
    [
        (Fetched(photo=stored(), user=VIEWER), {"recent_queries": ["camera"]}, ("travel camera lens",)),
        (Fetched(photo=stored(), user=UserRecord(QUERIES)), {}, ()),
        (Fetched(photo=stored(None), user=VIEWER), {}, ()),
        (Fetched(photo=stored(), user=VIEWER), {"evidence": {"caption": "camera"}}, ()),
    ],
    ids=["a recent query", "stored queries without vectors", "a video without a vector", "an inline caption"],
)
def test_without_a_model_texts_are_left_out_and_reported(fetched, fields, personal):
    everything = PersonalSettings(threshold=-1.0, limit=1)
    assert select(fetched, STORED, settings=everything, **fields) == (personal, ("no_embedding",))


def test_the_threshold_is_the_set_one_or_the_tuned_one_or_the_default():
    def threshold(embedder: Embedder, **settings: float) -> float:
        return PersonalSelector(embedder, PersonalSettings(**settings)).threshold

    assert threshold(HASHED) == PERSONAL_THRESHOLD
    assert threshold(STORED) == 0.5
    assert threshold(STORED, threshold=0.0) == 0.0


def test_cached_vectors_equal_those_of_the_embedder():
    vectors_of = VectorMemory(HASHED)
    texts = ["travel camera lens", "red dress", "", "防晒霜"]
    first, again = vectors_of(texts), vectors_of(texts)
    assert np.array_equal(first, embed(texts))
    assert np.array_equal(again, first)
    first[:] = 0
    assert np.array_equal(vectors_of(texts), again)
    assert vectors_of([]).shape == (0, DIMENSION)


def test_the_least_recently_used_vectors_are_evicted_first():
    one, embedder = VectorMemory(Spoken()), Spoken()
    one(["a"])
    memory = VectorMemory(embedder, 2 * one.size)
    memory(["a", "b"])
    memory(["a", "c"])
    assert embedder.embedded == ["a", "b", "c"]
    memory(["a", "b"])
    assert embedder.embedded == ["a", "b", "c", "b"]
    assert np.array_equal(memory(["d", "e", "f", "d"]), embedder.embed(["d", "e", "f", "d"]))
