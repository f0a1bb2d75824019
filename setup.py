"""The compiled parts of the project. Everything else is in pyproject.toml.

If they cannot be compiled (another processor, no compiler), the installation continues without them. ONNX Runtime then
replaces the kernels (docs/adr/0024), and Python code replaces the functions of the trie (docs/adr/0030).
"""

from __future__ import annotations

import platform

from setuptools import Extension, setup

FOLDER = "generation/native"
INSTRUCTIONS = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma"]

kernels = Extension(
    "generation.native._kernels",
    sources=[f"{FOLDER}/kernels.c"],
    depends=[f"{FOLDER}/{name}.h" for name in ("attention", "model", "product", "rows", "search")],
    extra_compile_args=["-O3", "-g0", "-std=gnu11", "-fvisibility=hidden", "-fno-math-errno", *INSTRUCTIONS],
    libraries=["m"],
    optional=True,
)
trie_steps = Extension(
    "generation.constraints._trie_steps",
    sources=["generation/constraints/trie_steps.c"],
    extra_compile_args=["-O3", "-g0", "-std=gnu11"],
    optional=True,
)
x86 = platform.machine().lower() in ("x86_64", "amd64")

setup(ext_modules=[trie_steps, kernels] if x86 else [trie_steps])
