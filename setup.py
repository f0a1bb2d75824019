"""The compiled parts of the project. Everything else is in pyproject.toml.

Where they cannot be compiled (another processor, no compiler) the installation goes on without them: ONNX Runtime does
the work of the kernels (docs/adr/0024), Python that of the trie (docs/adr/0030). Warnings are errors in `make sanitize`
only: a compiler that this project has not met may warn of what is sound, and must not prevent an installation.
"""

from __future__ import annotations

import platform
from pathlib import Path

from setuptools import Extension, setup

FOLDER = "generation/native"

kernels = Extension(
    "generation.native._kernels",
    sources=[f"{FOLDER}/kernels.c", f"{FOLDER}/module.c"],
    depends=[f"{FOLDER}/{name}.h" for name in ("attention", "best", "kernels", "model", "product", "rows", "search")],
    extra_compile_args=Path(FOLDER, "compile_flags.txt").read_text(encoding="ascii").split(),
    libraries=["m"],
    optional=True,
)
trie_steps = Extension(
    "generation.constraints._trie_steps",
    sources=["generation/constraints/trie_steps.c"],
    depends=[f"{FOLDER}/best.h"],
    extra_compile_args=["-O3", "-g0", "-std=gnu11"],
    optional=True,
)
x86 = platform.machine().lower() in ("x86_64", "amd64")

setup(ext_modules=[trie_steps, kernels] if x86 else [trie_steps])
