"""Tells people of a refresh that failed, or of a candidate that was refused: by a command, by a webhook, or both."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import urllib.request
from collections.abc import Mapping
from typing import Any

from refresh.config import AlertSection

_HOOK_SECONDS = 60.0
_WEBHOOK_SECONDS = 10.0


def send(section: AlertSection, message: Mapping[str, Any]) -> list[str]:
    """Send an alert.

    Args:
        section: whom to tell.
        message: `day`, `outcome`, `step` and `reason`. The webhook gets it as JSON; the command gets each field as an
            environment variable such as ONEBAR_REFRESH_DAY.

    Returns:
        One sentence for each way that failed. An alert that cannot be sent does not change the outcome of a refresh.
    """
    faults = []
    if section.command:
        fields = {
            f"ONEBAR_REFRESH_{name.upper()}": "" if value is None else str(value) for name, value in message.items()
        }
        try:
            subprocess.run(section.command, env=os.environ | fields, timeout=_HOOK_SECONDS, check=True)
        except OSError as error:
            faults.append(f"the alert command failed: {error}")
        # The texts of the next two have the arguments, which may be secret.
        except subprocess.CalledProcessError as error:
            faults.append(f"the alert command failed with status {error.returncode}")
        except subprocess.TimeoutExpired:
            faults.append(f"the alert command did not end in {_HOOK_SECONDS:g} seconds")
    if section.webhook:
        body = json.dumps(message).encode()
        try:
            request = urllib.request.Request(
                os.path.expandvars(section.webhook), body, {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=_WEBHOOK_SECONDS):
                pass
        except OSError as error:
            faults.append(f"the alert webhook failed: {error}")
        except (ValueError, http.client.HTTPException) as error:  # their texts have the URL, which may be secret
            faults.append(f"the alert webhook failed ({type(error).__name__}): check its URL")
    return faults
