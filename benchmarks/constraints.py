"""What do constraints cost: loading them, and each decoder step under them?

    python -m benchmarks.constraints demo/bundle --output build/constraints.json
    python -m benchmarks.constraints demo/bundle --queries queries.txt --terms terms.tsv

Without files, a million queries and 100,000 terms are made from the words of the tokenizer's vocabulary. Sources are
drawn from the queries, as anchors and histories. The contenders take turns at the same source; a step is a request's
decoding time (CPU) over its steps, and its cost the median of the ratios to the same source without constraints.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
from tqdm import tqdm

from evidence.render import Renderer
from evidence.schema import Evidence
from evidence.term_list import load_terms
from generation.bundle import Bundle, load_bundle
from generation.constraints.prohibited import ProhibitedPhrases
from generation.constraints.query_file import load_query_set
from generation.constraints.query_set import QuerySet
from generation.engine import Engine
from generation.logits_processors import LogitsProcessor
from generation.request import GenerationRequest
from loadtest.machine import begin_result, finish_result

QUERIES, TERMS = 1_000_000, 100_000


def words_of(bundle: Bundle) -> list[str]:
    """Return the vocabulary's words: entries of three letters or more that begin with a space."""
    texts = (bundle.tokenizer.decode([token]) for token in range(bundle.tokenizer.get_vocab_size()))
    return sorted({text.strip() for text in texts if text.startswith(" ") and text.strip().isalnum() and len(text) > 3})


def made_phrases(words: Sequence[str], count: int, lengths: Sequence[int], seed: int) -> list[str]:
    """Return different random phrases, common words oftener than rare ones, as in queries."""
    generator = np.random.default_rng(seed)
    phrases: dict[str, None] = {}
    while len(phrases) < count:
        ranks = (len(words) * generator.random((100_000, max(lengths))) ** 2).astype(int)
        sizes = generator.choice(lengths, len(ranks))
        phrases |= {" ".join(words[i] for i in row[:size]): None for row, size in zip(ranks, sizes, strict=True)}
    return list(phrases)[:count]


def load_times(path: Path, bundle: Bundle) -> tuple[QuerySet, dict[str, Any]]:
    """Load the set without and with the trie beside it; return it, and the seconds of both."""
    path.with_name(path.name + ".trie.npz").unlink(missing_ok=True)
    seconds = []
    for _ in range(2):
        before = time.perf_counter()
        query_set = load_query_set(path, bundle)
        seconds.append(round(time.perf_counter() - before, 2))
    cache_megabytes = path.with_name(path.name + ".trie.npz").stat().st_size / 1e6
    return query_set, {
        "queries": len(query_set), "first_load_s": seconds[0], "next_load_s": seconds[1],
        "cache_mb": round(cache_megabytes, 1),
    }  # fmt: skip


def step_costs(
    bundle: Bundle, sources: Sequence[Sequence[int]], contenders: dict[str, tuple[LogitsProcessor, ...]]
) -> dict[str, dict[str, float]]:
    """Answer every source under each contender by turns; the first is the reference of the others."""
    # CPU time: the same on an idle machine, and not another process's on a busy one.
    engine = Engine(bundle, clock=time.thread_time)
    engine.warm_up()
    steps: dict[str, list[float]] = {name: [] for name in contenders}
    for place, source in enumerate(tqdm(sources, desc="sources")):
        names = list(contenders)
        for name in names[place % len(names) :] + names[: place % len(names)]:
            answer = engine.generate(GenerationRequest(source, bundle.generation, processors=contenders[name]))
            steps[name].append(answer.decode_seconds / max(1, answer.steps - 1))  # the first belongs to encoding
    baseline = np.array(next(iter(steps.values())))
    return {
        name: {
            "step_us_p50": round(float(np.median(taken)) * 1e6, 1),
            "step_us_p99": round(float(np.quantile(taken, 0.99)) * 1e6, 1),
            "over_unconstrained": round(float(np.median(np.array(taken) / baseline)) - 1, 4),
        }
        for name, taken in steps.items()
    }


@click.command()
@click.argument("bundle_path", type=click.Path(exists=True, path_type=Path))
@click.option("--queries", "query_path", type=click.Path(exists=True, path_type=Path), help="Queries, one a line.")
@click.option("--terms", "terms_path", type=click.Path(exists=True, path_type=Path), help="category<TAB>term lines.")
@click.option("--requests", default=300, show_default=True, help="Sources that are answered under each constraint.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON file for the figures.")
def main(
    bundle_path: Path, query_path: Path | None, terms_path: Path | None, requests: int, output: Path | None
) -> None:
    """Measure loading and stepping under constraints."""
    result = begin_result("constraints", "numpy", "onnxruntime")
    bundle = load_bundle(bundle_path)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queries.txt"
        if query_path is not None:
            path.write_bytes(query_path.read_bytes())
        else:
            path.write_text("\n".join(made_phrases(words_of(bundle), QUERIES, (2, 3, 4, 5), 0)), encoding="utf-8")
        query_set, loading = load_times(path, bundle)
        drawn = np.random.default_rng(1).choice(path.read_text(encoding="utf-8").splitlines(), (requests, 8))
    terms = load_terms(terms_path) if terms_path else [
        ("made", phrase) for phrase in made_phrases(words_of(bundle), TERMS, (2, 3), 2)
    ]  # fmt: skip
    before = time.perf_counter()
    phrases = ProhibitedPhrases.of_bundle(terms, bundle)
    compiling = {"terms": len(phrases), "compile_s": round(time.perf_counter() - before, 2)}
    renderer = Renderer(bundle.tokenizer, bundle.render_budgets)
    sources = [
        renderer.render(Evidence(row[0], "", tuple(row[1:5]), tuple(row[5:]))).token_ids for row in drawn.tolist()
    ]
    contenders: dict[str, tuple[LogitsProcessor, ...]] = {
        "unconstrained": (), "phrases": (phrases,), "query set": (query_set,), "both": (query_set, phrases),
    }  # fmt: skip
    result |= {
        "model_version": bundle.model_version,
        "architecture": {"d_model": bundle.architecture.d_model, "vocab_size": bundle.architecture.vocab_size},
        "query_set": loading,
        "phrases": compiling,
        "steps": step_costs(bundle, sources, contenders),
    }
    click.echo(finish_result(result, output))


if __name__ == "__main__":
    main()
