"""The evidence of one request: stored fields, fields of the request, and the viewer's past queries."""

from __future__ import annotations

import numpy as np
import pytest

from evidence.embedding import DIMENSION, EMBEDDING_VERSION, embed
from evidence.schema import RawText
from feature_store import Fetched, PhotoRecord, UserRecord
from service.answering import evidence_source
from service.answering.evidence_source import VectorMemory, evidence_version, gather, vectors_of
from service.answering.request import RecommendRequest
from service.settings import PersonalSettings

SETTINGS = PersonalSettings(threshold=0.2, limit=4)
CAMERA = PhotoRecord(
    raw=RawText(caption="travel camera", title="stored title"),
    summary="a black camera",
    anchors=("camera bag",),
    histories=("camera price",),
)
QUERIES = ("travel camera lens", "red dress")


def ask(**fields: object) -> RecommendRequest:
    return RecommendRequest.model_validate({"photo_id": "p1", **fields})


def test_stored_evidence_is_used():
    evidence, mismatch = gather(ask(), Fetched(photo=CAMERA), SETTINGS)
    assert (evidence.text, evidence.summary) == ("travel camera", "a black camera")
    assert (evidence.anchors, evidence.histories, evidence.personal) == (("camera bag",), ("camera price",), ())
    assert not mismatch


def test_a_field_of_the_request_replaces_the_stored_one_even_if_empty_but_null_does_not():
    given = {"caption": "garden hose", "anchors": [], "histories": None}
    evidence, _ = gather(ask(evidence=given), Fetched(photo=CAMERA), SETTINGS)
    assert (evidence.text, evidence.summary) == ("garden hose", "a black camera")
    assert (evidence.anchors, evidence.histories) == ((), ("camera price",))
    erased, _ = gather(ask(evidence={"caption": ""}), Fetched(photo=CAMERA), SETTINGS)
    assert erased.text == "stored title"


def test_evidence_of_an_unknown_video_is_empty_with_or_without_past_queries():
    evidence, _ = gather(ask(recent_queries=["camera"]), Fetched(user=UserRecord(QUERIES)), SETTINGS)
    assert evidence.is_empty
    assert evidence.personal == ()


def test_past_and_recent_queries_similar_to_the_video_are_kept():
    fetched = Fetched(photo=CAMERA, user=UserRecord(QUERIES, embed(QUERIES), EMBEDDING_VERSION))
    evidence, mismatch = gather(ask(recent_queries=["camera tripod", "blue sofa"]), fetched, SETTINGS)
    assert set(evidence.personal) == {"travel camera lens", "camera tripod"}
    assert not mismatch


def test_past_queries_without_vectors_are_embedded():
    evidence, mismatch = gather(ask(), Fetched(photo=CAMERA, user=UserRecord(QUERIES)), SETTINGS)
    assert evidence.personal == ("travel camera lens",)
    assert not mismatch


def test_cached_vectors_equal_those_of_the_embedder():
    texts = ["travel camera lens", "red dress", "", "防晒霜"]
    first, again = vectors_of(texts), vectors_of(texts)
    assert np.array_equal(first, embed(texts))
    assert np.array_equal(again, first)
    first[:] = 0
    assert np.array_equal(vectors_of(texts), again)
    assert vectors_of([]).shape == (0, DIMENSION)


def test_the_least_recently_used_vectors_are_evicted_first(monkeypatch):
    one = VectorMemory(100_000)
    one(["a"])
    embedded = []
    monkeypatch.setattr(evidence_source, "embed", lambda texts: embedded.extend(texts) or embed(texts))
    memory = VectorMemory(2 * one.size)
    memory(["a", "b"])
    memory(["a", "c"])
    assert embedded == ["a", "b", "c"]
    memory(["a", "b"])
    assert embedded == ["a", "b", "c", "b"]
    assert np.array_equal(memory(["d", "e", "f", "d"]), embed(["d", "e", "f", "d"]))


def test_stored_queries_without_vectors_are_embedded_up_to_a_total_length():
    user = UserRecord(tuple(f"travel camera lens {number} " + "x" * 230 for number in range(64)))
    settings = SETTINGS.model_copy(update={"threshold": -1.0, "limit": 64})
    evidence, _ = gather(ask(), Fetched(photo=CAMERA, user=user), settings)
    embedded = [query for query in evidence.personal if query.startswith("travel camera lens")]
    assert 0 < len(embedded) <= 8


def test_a_user_of_another_embedding_version_keeps_only_recent_queries():
    fetched = Fetched(photo=CAMERA, user=UserRecord(QUERIES, None, "another-1"))
    evidence, mismatch = gather(ask(recent_queries=["camera tripod"]), fetched, SETTINGS)
    assert evidence.personal == ("camera tripod",)
    assert mismatch


def test_a_photo_of_another_embedding_version_has_no_personal_part():
    photo = PhotoRecord(raw=CAMERA.raw, embedding_version="another-1")
    evidence, mismatch = gather(ask(recent_queries=["camera tripod"]), Fetched(photo=photo), SETTINGS)
    assert (evidence.text, evidence.personal) == ("travel camera", ())
    assert mismatch


def test_a_request_with_text_ignores_the_embedding_version_of_the_photo():
    photo = PhotoRecord(raw=CAMERA.raw, embedding_version="another-1")
    asked = ask(recent_queries=["camera tripod"], evidence={"caption": "camera for travel"})
    evidence, mismatch = gather(asked, Fetched(photo=photo), SETTINGS)
    assert evidence.personal == ("camera tripod",)
    assert not mismatch


def test_queries_are_compared_with_the_stored_vector_of_the_photo():
    photo = PhotoRecord(raw=CAMERA.raw, embedding=embed(["red dress"])[0], embedding_version=EMBEDDING_VERSION)
    evidence, _ = gather(ask(), Fetched(photo=photo, user=UserRecord(QUERIES)), SETTINGS)
    assert evidence.personal == ("red dress",)


@pytest.mark.parametrize("dimension", [DIMENSION - 1, 1])
def test_vectors_of_another_dimension_are_left_out_and_reported(dimension):
    photo = PhotoRecord(raw=CAMERA.raw, embedding=np.ones(dimension, np.float32), embedding_version=EMBEDDING_VERSION)
    evidence, mismatch = gather(ask(recent_queries=["camera"]), Fetched(photo=photo), SETTINGS)
    assert evidence.personal == ()
    assert mismatch
    user = UserRecord(QUERIES, np.ones((2, dimension), np.float32), EMBEDDING_VERSION)
    evidence, mismatch = gather(ask(recent_queries=["camera"]), Fetched(photo=CAMERA, user=user), SETTINGS)
    assert evidence.personal == ("camera",)
    assert mismatch


def test_the_evidence_version_changes_with_the_evidence_only():
    one, _ = gather(ask(), Fetched(photo=CAMERA), SETTINGS)
    same, _ = gather(ask(request_id="other"), Fetched(photo=CAMERA), SETTINGS)
    other, _ = gather(ask(evidence={"caption": "sofa"}), Fetched(photo=CAMERA), SETTINGS)
    moved, _ = gather(ask(evidence={"anchors": [], "histories": ["camera bag"]}), Fetched(photo=CAMERA), SETTINGS)
    assert evidence_version(one) == evidence_version(same)
    assert len({evidence_version(item) for item in (one, other, moved)}) == 3
    assert len(evidence_version(one)) == 12
