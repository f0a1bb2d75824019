"""Constraints on decoding, from the settings, the bundle and two lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.bundle import Bundle, load_bundle
from service.answering.decoding import DecodingConstraints, load_decoding_constraints
from service.errors import ConfigurationError
from service.http.app import create_app
from service.settings import Settings
from tests.fixtures.serving import admin_client, running, settings_for

TERMS = [("footwear", "shoes"), ("clothes", "dress")]
QUERIES = ("red shoes", "camera lens", "winter coat", "tent")
EVIDENCE = {"caption": "red running shoes", "anchors": ["running shoes price"]}


@pytest.fixture
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


@pytest.fixture
def query_file(tmp_path: Path) -> Path:
    path = tmp_path / "queries.txt"
    path.write_text("\n".join(QUERIES) + "\n", encoding="utf-8")
    return path


def settings(bundle: Bundle, **fields: object) -> Settings:
    return settings_for(bundle.path, **fields)


def test_without_lists_the_options_are_those_of_the_bundle(bundle):
    assert load_decoding_constraints(settings(bundle), bundle, []) == DecodingConstraints(bundle.generation)


def test_decoding_excludes_prohibited_terms_unless_switched_off(bundle):
    on = load_decoding_constraints(settings(bundle), bundle, TERMS)
    off = load_decoding_constraints(settings(bundle, decoding={"prohibited_terms": False}), bundle, TERMS)
    assert (len(on.processors), on.prohibited_phrases, len(on.version or "")) == (1, 2, 12)
    assert (off.processors, off.prohibited_phrases, off.version) == ((), 0, None)


def test_a_file_of_queries_restricts_decoding(bundle, query_file):
    confined = load_decoding_constraints(settings(bundle, query_set=query_file), bundle, [])
    assert (len(confined.processors), confined.to_wire()["query_set"]) == (1, len(QUERIES))


def test_the_version_changes_with_the_content_of_the_lists(bundle, query_file):
    def version(terms: list[tuple[str, str]], trie: Path | None) -> str | None:
        return load_decoding_constraints(settings(bundle, query_set=trie), bundle, terms).version

    versions = [version(TERMS, None), version(TERMS[:1], None), version([], query_file), version(TERMS, query_file)]
    assert len(set(versions)) == 4
    assert version(TERMS[::-1], None) == versions[0]
    query_file.write_text("red tent\n", encoding="utf-8")
    assert version(TERMS, query_file) not in versions


def test_settings_take_precedence_over_the_bundle(bundle):
    decoding = {"min_new_tokens": 3, "no_repeat_ngram_size": 2}
    options = load_decoding_constraints(settings(bundle, decoding=decoding), bundle, []).options
    assert (options.min_new_tokens, options.no_repeat_ngram_size) == (3, 2)
    assert options.num_beams == bundle.generation.num_beams


def test_options_that_contradict_the_bundle_are_an_error(bundle):
    longest = bundle.generation.max_new_tokens
    with pytest.raises(ConfigurationError, match=r"ONEBAR_DECODING__.*min_new_tokens"):
        load_decoding_constraints(settings(bundle, decoding={"min_new_tokens": longest}), bundle, [])


def test_ngrams_of_one_token_are_an_error_where_the_decoder_starts_with_the_end_token(bundle):
    with pytest.raises(ConfigurationError, match=r"no_repeat_ngram_size 1 forbids the token that ends a query.*give 0"):
        load_decoding_constraints(settings(bundle, decoding={"no_repeat_ngram_size": 1}), bundle, [])


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_an_unusable_file_of_queries_is_an_error(bundle, tmp_path, content):
    path = tmp_path / "queries.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"queries\.txt"):
        load_decoding_constraints(settings(bundle, query_set=path), bundle, [])


async def explained(chosen: Settings) -> tuple[dict, dict]:
    """Return the explanation of an answer, and /version."""
    app = create_app(chosen)
    async with running(app) as client, admin_client(app) as admin:
        body = {"photo_id": "p1", "evidence": EVIDENCE, "num_queries": 8, "explain": True}
        answer = (await client.post("/recommend", json=body)).json()
        return answer["explain"], (await admin.get("/version")).json()


async def test_a_service_with_a_query_set_generates_only_its_queries(bundle, query_file):
    explain, version = await explained(settings(bundle, query_set=query_file))
    written = {item["query"] for item in explain["hypotheses"]} - {""}  # [REJECT] has no text
    assert written
    assert written <= set(QUERIES)
    assert explain["constraints"] == version["constraints"]
    assert version["constraints"]["query_set"] == len(QUERIES)
    assert len(version["constraints_version"]) == 12


async def test_safe_queries_take_the_place_of_prohibited_ones_in_the_beam(bundle, query_file, tmp_path):
    terms = tmp_path / "terms.tsv"
    terms.write_text("".join("\t".join(pair) + "\n" for pair in TERMS), encoding="utf-8")
    lists = {"query_set": query_file, "prohibited_terms": terms}
    afterwards, _ = await explained(settings(bundle, **lists, decoding={"prohibited_terms": False}))
    beforehand, version = await explained(settings(bundle, **lists))

    def written(explain: dict) -> set[str]:
        return {item["query"] for item in explain["hypotheses"]} - {""}

    assert written(afterwards) == set(QUERIES)
    assert written(beforehand) == set(QUERIES) - {"red shoes"}
    assert version["constraints"]["prohibited_phrases"] == len(TERMS)


async def test_options_reach_the_engine(bundle):
    decoding = {"min_new_tokens": bundle.generation.max_new_tokens - 1}
    explain, version = await explained(settings(bundle, decoding=decoding))
    assert version["constraints"]["min_new_tokens"] == decoding["min_new_tokens"]
    assert explain["hypotheses"]
