"""Look for known vulnerabilities in a lock with pip-audit: `python deploy/audit.py deploy/locks/serving.txt`.

pip-audit alone ends with status 0 where the index has no advisories for a package, which is the case of many mirrors.
Here the status is 0 only if every package was looked up and is clean, 1 for a vulnerability, and 2 if the audit could
not be done.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def judge(output: str, error: str) -> tuple[int, str]:
    """Return the exit status and what to print.

    Args:
        output: the JSON report of pip-audit, or something else where it failed.
        error: its standard error.
    """
    try:
        dependencies: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        lines = error.strip().splitlines() or ["no report"]
        return 2, f"The audit could not be done: pip-audit did not reach its advisory service ({lines[-1][:200]})."
    unknown = [entry["name"] for entry in dependencies if "skip_reason" in entry]
    found = [
        f"{entry['name']} {entry['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
        for entry in dependencies
        for flaw in entry.get("vulns", [])
    ]
    if found:
        return 1, "\n".join(found)
    if unknown or not dependencies:
        return 2, (
            f"The audit could not be done: the package index has no advisories for {len(unknown)} of "
            f"{len(dependencies)} packages; run it where pypi.org can be reached."
        )
    return 0, f"{len(dependencies)} packages, no known vulnerability."


def main() -> None:
    """Audit the lock that the command line names."""
    (lock,) = sys.argv[1:]
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", lock]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    status, text = judge(done.stdout, done.stderr)
    print(text)
    sys.exit(status)


if __name__ == "__main__":
    main()
