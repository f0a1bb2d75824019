"""Stands for `onebar` in the tests of refresh: the same arguments, and outputs that depend only on the inputs.

`FAKE` in the environment is a folder with `calls.jsonl`, and with files that change what happens: `fail` and `kill`
name a step, `verdict` is that of the gate, `last_day` that of the build.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["FAKE"])


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def setting(name: str, default: str = "") -> str:
    path = FOLDER / name
    return path.read_text() if path.exists() else default


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main() -> None:
    group, name, *paths = sys.argv[1:]
    step = {"evidence": "publish", "bundle": "promote", "export": "export", "gate": "gate", "events": "events"}.get(
        group, name
    )
    call = {"step": step, "argv": sys.argv[1:], "nice": os.nice(0), "threads": os.environ["OMP_NUM_THREADS"],
            "store": os.environ.get("ONEBAR_STORE__URL"), "events": os.environ.get("ONEBAR_EVENTS__URL")}  # fmt: skip
    with (FOLDER / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(call) + "\n")
    if setting("kill") == step:
        (FOLDER / "kill").unlink()
        if step == "export":
            write(Path(paths[0]) / "encoder.onnx", "half of it")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)  # it ends with its parent, or the next refresh would find the lock held
    if setting("fail") == step:
        print(f"Error: {step} cannot be done today")
        sys.exit(1)
    if step == "events":
        report = {"day": int(option("--day")), "feedback": {"counted": 7, "unknown_request": 2}}
        write(Path(paths[0]) / "events_report.json", json.dumps(report))
    elif step == "build":
        write(Path(paths[1]) / "tables.json", json.dumps({"last_day": int(setting("last_day", "12"))}))
    elif group == "train":
        out = Path(paths[1])
        start = (Path(option("--init-from")) / "weights").read_text()
        write(out / "weights", f"{start} {step}:{hashlib.sha256(Path(paths[0]).name.encode()).hexdigest()[:6]}")
    elif step == "export":
        bundle = Path(paths[0])
        assert not bundle.exists()
        weights = (Path(name) / "weights").read_text()
        write(
            bundle / "manifest.json", json.dumps({"model_version": hashlib.sha256(weights.encode()).hexdigest()[:12]})
        )
    elif step == "gate":
        verdict = setting("verdict", "promote")
        measures = {"hr": {"serving": 0.4, "candidate": 0.41, "difference": 0.01, "interval": [-0.002, 0.022]}}
        reasons = [] if verdict == "promote" else ["hr is worse"]
        write(
            Path(option("--out")),
            json.dumps({"verdict": verdict, "reasons": reasons, "clicks": 1234, "measures": measures}),
        )
        sys.exit(0 if verdict == "promote" else 3)
    elif step == "promote":
        folder = Path(option("--promoted"))
        record = {"bundle": os.path.relpath(paths[0], folder), "reason": option("--reason")}
        write(folder / "current.json", json.dumps(record))


if __name__ == "__main__":
    main()
