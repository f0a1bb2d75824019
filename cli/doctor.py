"""`onebar doctor`: check the machine, a bundle, a store and a file of API keys, and print one page."""

from __future__ import annotations

import asyncio
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import click

from feature_store import StoreUnavailable, StoreUrlError, open_store
from feature_store.redis_urls import url_warnings
from generation.backend import choose_backend
from generation.bundle import Bundle, load_bundle
from generation.cores import available_cores, quota_cores
from generation.cpu import cpu_flags
from generation.engine import Engine
from generation.errors import GenerationError
from generation.native.library import instructions, missing
from generation.request import GenerationRequest
from service.operating.keys import KeyFileError, read_keys

_FLAGS = {
    "avx2": "256-bit vectors",
    "avx512f": "512-bit vectors",
    "avx512_vnni": "int8 dot products",
    "avx_vnni": "int8 dot products",
    "avx512_bf16": "bf16 dot products (training)",
    "amx_int8": "int8 tiles",
}
_PINGS = 20
_ANSWERS = 30


@click.command()
@click.option(
    "--bundle", default="demo/bundle", show_default=True, type=click.Path(path_type=Path), help="Folder of the bundle."
)
@click.option("--store", "store_url", default="memory://", show_default=True, help="URL of the feature store.")
@click.option("--threads", default=1, show_default=True, help="Threads of ONNX Runtime for the test.")
@click.option("--keys", type=click.Path(path_type=Path), help="File of API keys that `onebar keys` wrote.")
def doctor(bundle: Path, store_url: str, threads: int, keys: Path | None) -> None:
    """Check cores, CPU features, bundle, store and API keys, and measure the time of one answer.

    Exits with 1 if the bundle, the store or the keys cannot be used.

    \b
    Example:  onebar doctor --bundle demo/bundle --store redis://localhost:6379
    """
    _machine(threads)
    healthy = _bundle(bundle, threads)
    healthy = asyncio.run(_store(store_url)) and healthy
    if keys is not None:
        healthy = _keys(keys) and healthy
    raise SystemExit(0 if healthy else 1)


def _line(name: str, value: str) -> None:
    click.echo(f"{name:<12}{value}")


def _machine(threads: int) -> None:
    quota = quota_cores()
    limit = "no limit from the control group" if quota is None else f"control group allows {quota:g}"
    _line("cores", f"{available_cores()} usable ({limit})")
    flags = cpu_flags()
    known = [f"{flag} ({meaning})" for flag, meaning in _FLAGS.items() if flag in flags]
    _line("cpu", f"{platform.machine()}: {', '.join(known) or 'no relevant vector feature reported'}")
    if flags and not flags & {"avx512_vnni", "avx_vnni", "amx_int8"}:
        _line("", "without int8 instructions a request takes about twice as long (docs/adr/0090)")
    _line("python", f"{platform.python_version()}, onnxruntime {version('onnxruntime')}")
    _line("threads", f"{threads} for generation; one is best if other processes share the cores")


def _bundle(path: Path, threads: int) -> bool:
    try:
        bundle = load_bundle(path)
        engine = Engine(bundle, threads=threads)
        engine.warm_up()
    except GenerationError as error:
        _line("bundle", f"REFUSED: {error}")
        return False
    shape = bundle.architecture
    _line("bundle", f"{path}: model {bundle.model_version}, {bundle.precision}, hashes match")
    _line(
        "",
        f"{shape.encoder_layers}+{shape.decoder_layers} layers, width {shape.d_model}, vocabulary {shape.vocab_size}",
    )
    embedder = bundle.embedder
    use = "" if embedder.embeds_texts else "; only stored vectors are compared"
    _line("embedder", f"{embedder.version}, {embedder.dimension} dimensions{use}")
    backend = choose_backend(bundle, threads)
    if backend == "native":
        _line("backend", f"native, kernels for {instructions()}")
    else:
        _line("backend", f"{backend}; native kernels: {missing() or 'int8 on one thread only'}")
    _line("answer", _time_answers(bundle, engine))
    return True


def _time_answers(bundle: Bundle, engine: Engine) -> str:
    tokens = bundle.render_budgets.max_source_tokens
    ordinary = bundle.architecture.vocab_size - 1
    source = [bundle.special_tokens.bos, *[ordinary] * (tokens - 2), bundle.special_tokens.eos]
    request = GenerationRequest(source, bundle.generation)
    seconds = []
    for _ in range(_ANSWERS):
        start = time.perf_counter()
        engine.generate(request)
        seconds.append(time.perf_counter() - start)
    median, slowest = statistics.median(seconds) * 1000, max(seconds) * 1000
    return f"{median:.1f} ms median, {slowest:.1f} ms slowest of {_ANSWERS}, for the longest source ({tokens} tokens)"


async def _store(url: str) -> bool:
    for warning in url_warnings(url):
        _line("store", f"WARNING: {warning}")
    try:
        store = await open_store(url)
    except StoreUrlError as error:
        _line("store", f"REFUSED: {error}")
        return False
    try:
        seconds = [await store.ping() for _ in range(_PINGS)]
    except StoreUnavailable as error:
        _line("store", f"UNREACHABLE: {error}")
        return False
    finally:
        await store.close()
    _line("store", f"{store.url}: {statistics.median(seconds) * 1000:.2f} ms a round trip (median of {_PINGS})")
    return True


def _keys(path: Path) -> bool:
    try:
        keys = read_keys(path)
    except KeyFileError as error:
        _line("keys", f"REFUSED: {error}")
        return False
    valid = [key for key in keys if key.is_valid(time.time())]
    explaining = sum("explain" in key.permissions for key in valid)
    if not valid:
        _line("keys", f"REFUSED: {path} has no valid key; make one with `onebar keys create {path} NAME`.")
        return False
    _line("keys", f"{path}: {len(valid)} valid, {explaining} may explain, {len(keys) - len(valid)} expired")
    return True
