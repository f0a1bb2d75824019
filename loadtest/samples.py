"""What one call showed, as a record that goes from the load generator to the report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.checks import NO_TERMS, TermList, check_answer, check_batch
from loadtest.traffic import COLD, Call


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one answer decided; a batch has several."""

    decision: str
    reason: str | None
    degraded: tuple[str, ...]
    timings_ms: Mapping[str, float]

    @property
    def label(self) -> str:
        """The decision, with its reason where it has one."""
        return f"{self.decision}/{self.reason}" if self.reason else self.decision


@dataclass(frozen=True, slots=True)
class Sample:
    """One call.

    Attributes:
        scenario: see ``traffic.SCENARIOS``.
        due_seconds: when the call was due, since the start of the run.
        lag_ms: how much later than that it left: the load generator's own fault, and a sign that it is short of CPU.
        latency_ms: from leaving to the last byte of the answer.
        status: the HTTP status; 0 where there was no answer at all.
        faults: what is wrong with the answer, if anything.
        outcomes: one for each answer that is well-formed enough to be read.
    """

    scenario: str
    due_seconds: float
    lag_ms: float
    latency_ms: float
    status: int
    faults: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def since_due_ms(self) -> float:
        """What a caller waits: from the time at which the call was due to the last byte of the answer."""
        return self.lag_ms + self.latency_ms

    @property
    def refused(self) -> bool:
        """Whether the service said that it is overloaded."""
        return self.status == 429


def judge_call(
    call: Call, status: int, body: bytes, prohibited: TermList = NO_TERMS
) -> tuple[list[str], list[Outcome]]:
    """The faults of an answer, and what it decided. A 429 is no fault: it is counted by itself."""
    if status == 429:
        return [], []
    if status != 200:
        return [f"status {status}: {body[:200].decode('utf-8', 'replace')}"], []
    try:
        document = json.loads(body)
    except ValueError:
        return ["the body is not JSON"], []
    if call.path.endswith("/batch"):
        faults = check_batch(call.body, document, prohibited=prohibited)
        answers = [result.get("response") for result in document["results"]] if not faults else []
    else:
        faults = check_answer(call.body, document, stored=call.scenario != COLD, prohibited=prohibited)
        answers = [document] if not faults else []
    return faults, [_outcome(answer) for answer in answers]


def _outcome(answer: Mapping[str, Any]) -> Outcome:
    return Outcome(answer["decision"], answer["reason"], tuple(answer["degraded"]), answer["timings_ms"])


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples as JSON lines."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(dataclasses.asdict(sample), ensure_ascii=False) + "\n" for sample in samples)


def read_samples(path: Path) -> list[Sample]:
    """Read what ``write_samples`` wrote."""
    samples = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            outcomes = tuple(Outcome(**o | {"degraded": tuple(o["degraded"])}) for o in fields.pop("outcomes"))
            samples.append(Sample(**fields | {"faults": tuple(fields["faults"]), "outcomes": outcomes}))
    return samples


def waits_ms(samples: Iterable[Sample]) -> list[float]:
    """Return ``since_due_ms`` of the calls with status 200; a refusal is no fast answer."""
    return [sample.since_due_ms for sample in samples if sample.status == 200]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least this percentage of the values does not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("there is no percentile of nothing")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
