"""The evidence of one request: stored fields, fields of the request, and the viewer's past queries."""

from __future__ import annotations

from evidence.embedder import HashedEmbedder
from evidence.schema import RawText
from feature_store import Fetched, PhotoRecord, UserRecord
from service.answering.evidence_source import evidence_version, gather
from service.answering.personal import PersonalSelector
from service.answering.request import RecommendRequest
from service.settings import PersonalSettings

PERSONAL = PersonalSelector(HashedEmbedder(), PersonalSettings())
CAMERA = PhotoRecord(
    raw=RawText(caption="travel camera", title="stored title"),
    summary="a black camera",
    anchors=("camera bag",),
    histories=("camera price",),
)


def ask(**fields: object) -> RecommendRequest:
    return RecommendRequest.model_validate({"photo_id": "p1", **fields})


def test_stored_evidence_is_used():
    evidence, degraded = gather(ask(), Fetched(photo=CAMERA), PERSONAL)
    assert (evidence.text, evidence.summary) == ("travel camera", "a black camera")
    assert (evidence.anchors, evidence.histories, evidence.personal) == (("camera bag",), ("camera price",), ())
    assert degraded == ()


def test_a_field_of_the_request_replaces_the_stored_one_even_if_empty_but_null_does_not():
    given = {"caption": "garden hose", "anchors": [], "histories": None}
    evidence, _ = gather(ask(evidence=given), Fetched(photo=CAMERA), PERSONAL)
    assert (evidence.text, evidence.summary) == ("garden hose", "a black camera")
    assert (evidence.anchors, evidence.histories) == ((), ("camera price",))
    erased, _ = gather(ask(evidence={"caption": ""}), Fetched(photo=CAMERA), PERSONAL)
    assert erased.text == "stored title"


def test_evidence_of_an_unknown_video_is_empty_with_or_without_past_queries():
    evidence, _ = gather(ask(recent_queries=["camera"]), Fetched(user=UserRecord(("travel camera lens",))), PERSONAL)
    assert evidence.is_empty
    assert evidence.personal == ()


def test_the_evidence_version_changes_with_the_evidence_only():
    one, _ = gather(ask(), Fetched(photo=CAMERA), PERSONAL)
    same, _ = gather(ask(request_id="other"), Fetched(photo=CAMERA), PERSONAL)
    other, _ = gather(ask(evidence={"caption": "sofa"}), Fetched(photo=CAMERA), PERSONAL)
    moved, _ = gather(ask(evidence={"anchors": [], "histories": ["camera bag"]}), Fetched(photo=CAMERA), PERSONAL)
    assert evidence_version(one) == evidence_version(same)
    assert len({evidence_version(item) for item in (one, other, moved)}) == 3
    assert len(evidence_version(one)) == 12
