"""The compiled parts of the project. Everything else is in pyproject.toml.

If they cannot be compiled (another processor, no compiler), the installation continues without them. ONNX Runtime then
replaces the kernels (docs/adr/0024), and Python code replaces the functions of the trie (docs/adr/0030).
Warnings are errors in `make sanitize` only: an unknown compiler may warn about sound code, and must not prevent an
installation.
"""

from __future__ import annotations

import platform
from pathlib import Path

from setuptools import Extension, setup

FOLDER = "generation/native"


def flags(name: str) -> list[str]:
    """Return the compiler's flags in a file."""
    return Path(FOLDER, f"{name}_flags.txt").read_text(encoding="ascii").split()


def kernels(instructions: str) -> Extension:
    """Return the kernels for one instruction set; generation/native/library.py chooses at run time."""
    return Extension(
        f"generation.native._kernels_{instructions}",
        sources=[f"{FOLDER}/kernels.c", f"{FOLDER}/module.c"],
        depends=sorted(map(str, Path(FOLDER).glob("*.h"))),
        define_macros=[("MODULE", f"_kernels_{instructions}")],
        extra_compile_args=[*flags("compile"), *flags(instructions)],
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

setup(ext_modules=[trie_steps, kernels("avx512"), kernels("avx2")] if x86 else [trie_steps])
