"""Environment of every test: one thread for each library, and no telemetry."""

from __future__ import annotations

import os

# Set before the libraries are imported: pytest, redis-server and the service under test may share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
