"""A running service whose engine is lost ends with status 1; one that was only paused goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from tests.fixtures.serving import bundle_path
from tests.integration.redis_servers import wait_until
from tests.integration.serve_process import serving

__all__ = ["bundle_path"]

ASK = {"photo_id": "p1", "evidence": {"caption": "red running shoes"}, "deadline_ms": 500}
# Makes every step of the native kernels and of ONNX Runtime wait as long as a file exists.
HANG = """
import os, pathlib, time
from generation import stepper
step = stepper.Stepper.step
def hung(self, *args, **kwargs):
    while pathlib.Path(os.environ["HANG_WHILE"]).exists():
        time.sleep(0.01)
    return step(self, *args, **kwargs)
stepper.Stepper.step = hung
"""


def test_a_hung_engine_fails_readiness_and_then_ends_the_process(
    bundle_path: Path, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANG)
    hang = tmp_path / "hang"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("HANG_WHILE", str(hang))
    with serving(
        bundle_path, RESULT_CACHE__MAX_BYTES="0", ENGINE_STALL_SECONDS="1", ENGINE_EXIT_SECONDS="3"
    ) as service:
        assert service.post(ASK)[0] == 200
        hang.touch()
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(service.post(ASK)[0]))
        asking.start()
        wait_until(lambda: service.get("/readyz", admin=True)[0] == 503, "the failing readiness")
        asking.join()
        assert answers == [200], "the request is answered by its deadline"
        assert service.process.wait(30) == 1
        assert any("its engine is lost" in line["message"] for line in service.lines)


def test_a_paused_process_is_not_taken_for_a_lost_engine(bundle_path: Path) -> None:
    with serving(
        bundle_path, RESULT_CACHE__MAX_BYTES="0", ENGINE_STALL_SECONDS="0.5", ENGINE_EXIT_SECONDS="1"
    ) as service:
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                service.post(ASK)

        asking = threading.Thread(target=ask)
        asking.start()
        for _ in range(3):
            service.process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            service.process.send_signal(signal.SIGCONT)
            time.sleep(0.3)
        stop.set()
        asking.join()
        assert service.process.poll() is None
        assert service.get("/readyz", admin=True)[0] == 200
