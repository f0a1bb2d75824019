"""One trial: a fault, then a load and generations on both backends, in a forked worker."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.bundle_fuzz.mutations import MUTATIONS, WEIGHTS
from generation.bundle import Bundle, load_bundle
from generation.engine import Engine
from generation.errors import BundleError, RequestFailed
from generation.request import GenerationRequest

LIMIT_SECONDS = 60
LIMIT_BYTES = 16 << 30  # of address space; sanitizers map terabytes, and are run without a limit
BACKENDS = ("native", "onnxruntime")
SOUND = ("refused", "ran", "not a number")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial.

    result: one of SOUND, or what went wrong: "traceback", "wrong shape", "long message", "crash", "hang".
    detail: the message, or what crashed.
    """

    index: int
    mutation: str
    change: str
    result: str
    detail: str

    @property
    def sound(self) -> bool:
        """Whether the fault was handled as it must be."""
        return self.result in SOUND


def try_one(bundle: Path, scratch: Path, seed: int, index: int, backends: Sequence[str] = BACKENDS) -> Outcome:
    """Put fault number `index` of a seed into a copy of a bundle, and try to run the copy in a forked worker."""
    random = Random(f"{seed}:{index}")
    name = random.choices(list(MUTATIONS), [WEIGHTS.get(name, 1.0) for name in MUTATIONS])[0]
    with tempfile.TemporaryDirectory(dir=scratch) as own:
        folder = Path(shutil.copytree(bundle, Path(own) / "bundle"))
        change = MUTATIONS[name](folder, random)
        result, detail = _in_worker(folder, backends)
    return Outcome(index, name, change, result, detail)


def _in_worker(folder: Path, backends: Sequence[str]) -> tuple[str, str]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    worker = os.fork()
    if worker == 0:
        os.close(reading)
        os._exit(_work(folder, backends, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(worker, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return ("hang" if number == signal.SIGALRM else "crash"), signal.Signals(number).name
    if os.WEXITSTATUS(status) != 0 or not content:
        return "crash", f"exit status {os.WEXITSTATUS(status)}"
    result, detail = json.loads(content)
    return result, detail


def _work(folder: Path, backends: Sequence[str], writing: int) -> int:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_SECONDS)
    if "LD_PRELOAD" not in os.environ:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what ORT and Rust print; a sanitizer's report is to be seen
    try:
        found = _run(folder, backends)
    except BaseException as error:
        found = ("traceback", f"{type(error).__module__}.{type(error).__name__}: {str(error)[:300]}")
    os.write(writing, json.dumps(found).encode())
    os.close(writing)
    return 0


def _run(folder: Path, backends: Sequence[str]) -> tuple[str, str]:
    results = []
    try:
        bundle = load_bundle(folder)
        for backend in backends:
            engine = Engine(bundle, backend=backend)  # type: ignore[arg-type]
            for source in _sources(bundle):
                try:
                    generation = engine.generate(GenerationRequest(source, bundle.generation))
                except RequestFailed as error:
                    results.append(("not a number", str(error)))
                    continue
                wrong = _wrong(bundle, generation.hypotheses)
                results.append(("wrong shape", wrong) if wrong else ("ran", ""))
    except BundleError as error:
        message = str(error)
        return ("refused", message) if "\n" not in message and len(message) < 600 else ("long message", message[:300])
    return next((found for found in results if found[0] not in SOUND), results[-1])


def _sources(bundle: Bundle) -> list[list[int]]:
    specials, sizes = bundle.special_tokens, bundle.architecture
    random = Random(0)
    sources = []
    for length in (2, bundle.render_budgets.max_source_tokens, sizes.max_positions):
        ids = [random.randrange(sizes.vocab_size) for _ in range(max(0, length - 2))]
        sources.append([specials.bos, *ids, specials.eos])
    return sources


def _wrong(bundle: Bundle, hypotheses: Sequence[object]) -> str:
    """Return what no right generation can be; empty where all is well."""
    options = bundle.generation
    if not 0 < len(hypotheses) <= options.num_return_sequences:
        return f"{len(hypotheses)} hypotheses"
    for hypothesis in hypotheses:
        ids, score = hypothesis.token_ids, hypothesis.sum_logprobs  # type: ignore[attr-defined]
        if len(ids) > options.max_new_tokens or any(not 0 <= i < bundle.architecture.vocab_size for i in ids):
            return f"tokens {ids}"
        if not math.isfinite(score) or score > 1e-3:
            return f"a sum of log-probabilities of {score}"
        bundle.decode(ids)
    return ""
