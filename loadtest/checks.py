"""What a right answer looks like. An answer with status 200 that breaks the contract is a failure, not a success.

Pure functions: the request as sent, the body as received, a list of faults as sentences. Nothing here is shared with
the service, so that a mistake there is not excused by the same mistake here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ABSTAIN_REASONS = frozenset({"model_reject", "no_evidence", "all_filtered", "deadline"})
STAGES = ("feature_store", "render", "queue", "encode", "decode", "policy", "total")
FIELDS = {
    "request_id": str, "photo_id": str, "decision": str, "reason": (str, type(None)), "queries": list,
    "model_version": str, "evidence_version": (str, type(None)), "degraded": list, "timings_ms": dict,
}  # fmt: skip
OPTIONAL_FIELDS = {"explain": dict, "search": (dict, type(None))}
STORE_LOSSES = ("feature_store_", "photo_field_")
"""How the names of those degradations begin that may cost an answer its stored evidence."""
MARKUP = re.compile(r"\[(?:SEP|REJECT)\]|</?s>|<(?:pad|unk|mask)>")
BROKEN = "\N{REPLACEMENT CHARACTER}"
VERSION = re.compile(r"[0-9a-f]{12}")
DEFAULT_QUERIES = 3
# Each stage is rounded by itself, so their sum may pass the total by a little.
ROUNDING_MS = 0.5


class TermList:
    """Prohibited terms as runs of words; slow and plain on purpose, to check a fast one."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms = {f" {' '.join(_words(term))} ": term for term in terms if _words(term)}

    @classmethod
    def read(cls, path: Path | None) -> TermList:
        """The terms of a file of ``category<TAB>term`` lines; none where there is no file."""
        lines = path.read_text(encoding="utf-8").splitlines() if path else []
        return cls(line.split("\t", 1)[-1] for line in lines if line.strip() and not line.lstrip().startswith("#"))

    def find(self, query: str) -> str | None:
        """The first term that stands in the query as whole words, or None."""
        padded = f" {' '.join(_words(query))} "
        return next((term for key, term in self._terms.items() if key in padded), None)


NO_TERMS = TermList(())


def check_answer(
    request: Mapping[str, Any], answer: Any, *, stored: bool, prohibited: TermList = NO_TERMS
) -> list[str]:
    """Hold one answer of ``/recommend`` against the contract.

    Args:
        request: the request as it was sent.
        answer: the decoded body.
        stored: whether the video's evidence was loaded into the store before.
        prohibited: terms that no query may have.
    """
    faults = _shape_faults(answer)
    if faults:
        return faults
    for name in ("request_id", "photo_id"):
        if name in request and answer[name] != request[name]:
            faults.append(f"{name} is {answer[name]!r}, not the one that was sent")
    faults += _decision_faults(request, answer, stored)
    faults += _query_faults(request, answer["queries"], prohibited)
    faults += _timing_faults(answer["timings_ms"])
    if not VERSION.fullmatch(answer["model_version"]):
        faults.append(f"model_version {answer['model_version']!r} is not 12 hex digits")
    if bool(answer.get("explain")) != bool(request.get("explain")):
        faults.append("explain is there without having been asked for, or the other way round")
    return faults


def check_batch(request: Mapping[str, Any], body: Any, *, prohibited: TermList = NO_TERMS) -> list[str]:
    """Hold an answer of ``/recommend/batch``, all of whose videos are stored, against the contract."""
    results = body.get("results") if isinstance(body, Mapping) else None
    sent = request["requests"]
    if not isinstance(results, list) or len(results) != len(sent):
        return [f"a batch of {len(sent)} requests did not get {len(sent)} results"]
    faults = []
    for index, (single, result) in enumerate(zip(sent, results, strict=True)):
        if not isinstance(result, Mapping) or result.get("status") != 200:
            faults.append(f"result {index} is {str(result)[:200]}")
            continue
        inner = check_answer(single, result.get("response"), stored=True, prohibited=prohibited)
        faults += [f"result {index}: {fault}" for fault in inner]
    return faults


def _shape_faults(answer: Any) -> list[str]:
    if not isinstance(answer, Mapping):
        return [f"the body is {type(answer).__name__}, not an object"]
    faults = [f"{name} is missing" for name in FIELDS if name not in answer]
    faults += [f"there is an unknown field {name!r}" for name in answer if name not in FIELDS | OPTIONAL_FIELDS]
    faults += [
        f"{name} is {type(answer[name]).__name__}"
        for name, kinds in FIELDS.items()
        if name in answer and not isinstance(answer[name], kinds)  # type: ignore[arg-type]
    ]
    return faults


def _decision_faults(request: Mapping[str, Any], answer: Mapping[str, Any], stored: bool) -> list[str]:
    decision, reason, queries = answer["decision"], answer["reason"], answer["queries"]
    degraded = set(map(str, answer["degraded"]))
    lost = any(name.startswith(STORE_LOSSES) for name in degraded)
    faults = []
    if decision == "recommend":
        if reason is not None:
            faults.append(f"a recommendation has the reason {reason!r}")
        if not queries:
            faults.append("a recommendation has no queries")
        if not VERSION.fullmatch(answer["evidence_version"] or ""):
            faults.append(f"a recommendation has the evidence_version {answer['evidence_version']!r}")
    elif decision == "abstain":
        if reason not in ABSTAIN_REASONS:
            faults.append(f"an abstention has the reason {reason!r}")
        if queries:
            faults.append("an abstention has queries")
    else:
        faults.append(f"the decision is {decision!r}")
    if reason == "no_evidence" and (request.get("evidence") or (stored and not lost)):
        faults.append("no_evidence, although there is evidence")
    if reason == "deadline" and "deadline" not in degraded:
        faults.append("the deadline is the reason and not among what is degraded")
    if len(degraded) != len(answer["degraded"]):
        faults.append("degraded names something twice")
    return faults


def _query_faults(request: Mapping[str, Any], queries: Sequence[Any], prohibited: TermList) -> list[str]:
    faults = []
    limit = request.get("num_queries", DEFAULT_QUERIES)
    if len(queries) > limit:
        faults.append(f"there are {len(queries)} queries, and {limit} were asked for")
    seen: set[str] = set()
    last_score = math.inf
    for expected_rank, item in enumerate(queries, 1):
        if not isinstance(item, Mapping) or item.keys() != {"rank", "query", "score"}:
            faults.append(f"query {expected_rank} is {item!r}")
            continue
        rank, query, score = item["rank"], item["query"], item["score"]
        if rank != expected_rank:
            faults.append(f"rank {rank!r} stands at place {expected_rank}")
        if not isinstance(score, int | float) or not math.isfinite(score) or score > last_score:
            faults.append(f"score {score!r} at rank {expected_rank} is not a number that falls with the rank")
        else:
            last_score = score
        faults += _text_faults(query, seen, prohibited)
    return faults


def _text_faults(query: Any, seen: set[str], prohibited: TermList) -> list[str]:
    if not isinstance(query, str) or not query.strip():
        return [f"the query {query!r} is empty"]
    faults = []
    if query != query.strip() or any(unicodedata.category(c) == "Cc" or c == BROKEN for c in query):
        faults.append(f"the query {query!r} has control characters, broken UTF-8, or blanks around it")
    if MARKUP.search(query):
        faults.append(f"the query {query!r} has a special token")
    key = "".join(_words(query)) or query
    if key in seen:
        faults.append(f"the query {query!r} stands twice")
    seen.add(key)
    if term := prohibited.find(query):
        faults.append(f"the query {query!r} has the prohibited term {term!r}")
    return faults


def _timing_faults(timings: Mapping[str, Any]) -> list[str]:
    if set(timings) != set(STAGES):
        return [f"timings_ms has the stages {sorted(timings)}"]
    faults = [
        f"timings_ms.{stage} is {value!r}"
        for stage, value in timings.items()
        if not isinstance(value, int | float) or not math.isfinite(value) or value < 0
    ]
    if not faults and sum(timings[stage] for stage in STAGES[:-1]) > timings["total"] + ROUNDING_MS:
        faults.append("the stages take longer than the total")
    return faults


def _words(text: str) -> list[str]:
    # + and $ carry meaning ("c++", "$5"); other punctuation only parts words.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.findall(r"[\w+$]+", folded)
