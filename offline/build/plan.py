"""The steps of a build: what each of them reads, runs and writes.

tables      checks the log tables                              tables.json
summaries   only with video files or an endpoint               summaries/
embedder    trains the static kind, unless one is given        embedder/
evidence    one row for each video                             evidence.parquet
users       the past queries of each user                      users.parquet
examples    only when asked for; safety labels, [REJECT] rows  examples/
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evidence.static_embedder import MANIFEST_FILE, TOKENIZER_FILE, VECTORS_FILE
from offline.build.contents import file_hash, table_hashes, terms_hash
from offline.build.days import TABLES_FILE, check_increment, read_report, report_of
from offline.build.graph import Step
from offline.build.shared import SharedLogs, SharedVectors, shows_progress
from offline.build.summary import FOLDER as SUMMARIES
from offline.build.summary import REPLACED, SummaryChoices, summary_step
from offline.cli_options import Source
from offline.embedder.held_out import check_held_out
from offline.evidence.examples import ExampleSettings, write_examples
from offline.evidence.examples_report import describe
from offline.evidence.safety_labels import label_videos, read_terms
from offline.evidence.store_rows import evidence_parts, user_parts, without_embeddings, write_rows

TABLES, EMBEDDER, EVIDENCE, USERS, EXAMPLES = "tables", "embedder", "evidence", "users", "examples"

_LOGS_CODE = ("offline/logs", "evidence")
_EVIDENCE_CODE = (*_LOGS_CODE, "offline/arrays", "offline/embedder", "offline/evidence", "feature_store/rows")
_ENGINE = ("duckdb", "ibis-framework", "numpy", "pyarrow", "pyspark")
_EVIDENCE_LIBRARIES = (*_ENGINE, "faiss-cpu", "tokenizers")
_TRAINING_LIBRARIES = (*_EVIDENCE_LIBRARIES, "sentence-transformers", "torch", "transformers")
_EXAMPLE_FILES = ("examples_train", "examples_valid", "examples_test", "shown_valid", "shown_test")


@dataclass(frozen=True, slots=True)
class Training:
    """How the embedder of a build is trained; the names are those of `onebar offline embedder`."""

    dimension: int = 256
    vocabulary_size: int = 8192
    max_steps: int = 1_000_000
    seed: int = 0
    all_days: bool = False


@dataclass(frozen=True, slots=True)
class BuildChoices:
    """What a build makes.

    Attributes:
        embedder: the folder of an embedder that is used as it is.
        training: how the embedder is trained where none is given; None takes the hashed one.
        summaries: where summaries come from.
        as_of_day: evidence uses the days before it; None is the day after the last one.
        embeddings: whether evidence and users have vectors.
        examples: whether training examples are made.
        terms: the list of prohibited terms; None takes that of the logs.
        since: the first day that the build before has not read; None for a whole build.
    """

    embedder: Path | None = None
    training: Training | None = None
    summaries: SummaryChoices = field(default_factory=SummaryChoices)
    as_of_day: int | None = None
    embeddings: bool = True
    examples: bool = False
    terms: Path | None = None
    since: int | None = None


def steps_of(source: Source, out: Path, choices: BuildChoices, say: Callable[[str], None]) -> list[Step]:
    """Return the steps of a build, each after those that it needs. Tables and files are hashed, not read."""
    replaced = dict.fromkeys(REPLACED, out / SUMMARIES) if choices.summaries.wanted else {}
    given = SharedLogs(source, {})
    logs = SharedLogs(source, replaced) if replaced else given
    trained = choices.embedder is None and choices.training is not None
    vectors = SharedVectors(logs, out / EMBEDDER if trained else choices.embedder)
    tables = table_hashes(source.dataset, {})
    read = {name: value for name, value in tables.items() if name not in replaced}
    before = (TABLES, SUMMARIES) if replaced else (TABLES,)

    steps = [_tables(given, tables, out, choices.since)]
    if replaced:
        steps.append(summary_step(source.dataset, choices.summaries, choices.terms, say))
    if trained and choices.training is not None:
        steps.append(_embedder(logs, read, before, choices.training, choices.since is not None, say))
        before = (*before, EMBEDDER)
    elif choices.embedder is not None:
        read["embedder"] = file_hash(choices.embedder / MANIFEST_FILE)
    steps += [_evidence(vectors, read, before, choices), _users(vectors, read, before, choices)]
    if choices.examples:
        steps.append(_examples(vectors, read, before, choices.terms))
    return steps


def _tables(shared: SharedLogs, inputs: Mapping[str, str], out: Path, since: int | None) -> Step:
    def run(folder: Path) -> Mapping[str, Any]:
        intake = shared.intake
        report = report_of(intake)
        if since is not None:
            check_increment(read_report(out), report, since)
        report.write(folder / TABLES_FILE)
        return {**report.rows, "set_aside": report.bad, "last_day": report.last_day}

    settings = {"max_bad_share": shared.source.settings.max_bad_share}
    return Step(TABLES, run, (TABLES_FILE,), inputs, (), settings, _LOGS_CODE, _ENGINE)


def _embedder(
    shared: SharedLogs,
    inputs: Mapping[str, str],
    before: tuple[str, ...],
    training: Training,
    keeps: bool,
    say: Callable[[str], None],
) -> Step:
    def run(folder: Path) -> Mapping[str, Any]:
        from offline.embedder.training import TrainingSettings, matryoshka
        from offline.train_embedder import train_embedder

        settings = TrainingSettings(
            dimensions=matryoshka(training.dimension),
            vocabulary_size=training.vocabulary_size,
            max_steps=training.max_steps,
            seed=training.seed,
        )
        report = train_embedder(
            shared.logs,
            folder / EMBEDDER,
            settings,
            all_days=training.all_days,
            say=say,
            show_progress=shows_progress(),
        )
        pairs = [sum(stage["pairs"].values()) for stage in report["stages"]]
        return {"version": report["version"], "pairs": pairs[-1], "before_day": report["before_day"]}

    settings = {
        "dimension": training.dimension,
        "vocabulary_size": training.vocabulary_size,
        "max_steps": training.max_steps,
        "seed": training.seed,
        "all_days": training.all_days,
    }
    code = (*_EVIDENCE_CODE, "offline/train_embedder")
    outputs = tuple(f"{EMBEDDER}/{name}" for name in (MANIFEST_FILE, TOKENIZER_FILE, VECTORS_FILE))
    return Step(EMBEDDER, run, outputs, inputs, before, settings, code, _TRAINING_LIBRARIES, keeps=keeps)


def _evidence(
    vectors: SharedVectors, inputs: Mapping[str, str], before: tuple[str, ...], choices: BuildChoices
) -> Step:
    def run(folder: Path) -> Mapping[str, Any]:
        embedded = vectors.embedded
        day = _day(embedded.logs.last_day, choices)
        filled: Counter[str] = Counter()

        def parts() -> Iterator[pa.Table]:
            for part in evidence_parts(embedded, day):
                for name in ("anchors", "histories"):
                    filled[name] += pc.sum(pc.greater(pc.list_value_length(part[name]), 0)).as_py() or 0
                yield part if choices.embeddings else without_embeddings(part)

        count = write_rows(parts(), folder / f"{EVIDENCE}.parquet")
        return {
            "videos": count,
            "with_anchors": filled["anchors"],
            "with_histories": filled["histories"],
            "as_of_day": day,
        }

    return Step(
        EVIDENCE,
        run,
        (f"{EVIDENCE}.parquet",),
        inputs,
        before,
        _row_settings(choices),
        _EVIDENCE_CODE,
        _EVIDENCE_LIBRARIES,
    )


def _users(vectors: SharedVectors, inputs: Mapping[str, str], before: tuple[str, ...], choices: BuildChoices) -> Step:
    def run(folder: Path) -> Mapping[str, Any]:
        embedded = vectors.embedded
        day = _day(embedded.logs.last_day, choices)
        parts = user_parts(embedded, day)
        count = write_rows(parts if choices.embeddings else map(without_embeddings, parts), folder / f"{USERS}.parquet")
        return {"users": count, "as_of_day": day}

    return Step(
        USERS,
        run,
        (f"{USERS}.parquet",),
        inputs,
        before,
        _row_settings(choices),
        _EVIDENCE_CODE,
        _EVIDENCE_LIBRARIES,
    )


def _examples(vectors: SharedVectors, inputs: Mapping[str, str], before: tuple[str, ...], terms: Path | None) -> Step:
    dataset = vectors.dataset
    settings = ExampleSettings()

    def run(folder: Path) -> Mapping[str, Any]:
        begun = time.perf_counter()
        embedded = vectors.embedded
        check_held_out(vectors.embedder, embedded.logs.last_day)
        labels = label_videos(embedded.logs, read_terms(Path(dataset), terms))
        out = folder / EXAMPLES
        counts = write_examples(embedded, labels, settings, out, show_progress=shows_progress())
        report = describe(out, embedded, labels, settings, time.perf_counter() - begun)
        (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
        rows = {name.removesuffix(".parquet"): count for name, count in counts.items()}
        return {**rows, "unsafe_by_rule": report.unsafe_by_rule, "unsafe_by_review": report.unsafe_by_review}

    return Step(
        EXAMPLES,
        run,
        tuple(f"{EXAMPLES}/{name}.parquet" for name in _EXAMPLE_FILES),
        {**inputs, **terms_hash(dataset, terms)},
        before,
        {},
        _EVIDENCE_CODE,
        _EVIDENCE_LIBRARIES,
    )


def _row_settings(choices: BuildChoices) -> dict[str, Any]:
    return {"as_of_day": choices.as_of_day, "embeddings": choices.embeddings}


def _day(last_day: int, choices: BuildChoices) -> int:
    return last_day + 1 if choices.as_of_day is None else choices.as_of_day
