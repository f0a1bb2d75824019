"""Imports the service; `make closure` runs it in an environment with only the serving closure."""

from __future__ import annotations

import importlib
import sys

HEAVY = set(
    "av duckdb faiss ibis onnx optimum pandas pyarrow pyspark sentence_transformers sklearn torch transformers".split()
)

for module in (
    "service.http.app",
    "service.cli",
    "client.cli",
    "cli.main",
    "cli.serve_demo",
    "cli.doctor",
    "feature_store.cli",
):
    importlib.import_module(module)
found = sorted(HEAVY & set(sys.modules))
if found:
    sys.exit(f"the serving closure imports {', '.join(found)}; serving must not need them")
print(f"service imported with {len(sys.modules)} modules, none of {', '.join(sorted(HEAVY))}")
