"""What holds for every test: no machine-wide thread pools, and no library that reports home."""

from __future__ import annotations

import os

# Before anything imports them: two cores are shared by pytest, redis-server and the service under test.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
