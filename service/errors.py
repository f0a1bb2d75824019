"""The root of the exceptions of this package, and the errors that prevent a start.

ServiceError
├── ConfigurationError      settings, lists or files that the service cannot start with (exit code 2)
│   └── RulesError          a rules file, with every fault and its line
└── RequestRefused          a request that is refused (service/answering/errors.py, service/http/errors.py)
"""

from __future__ import annotations

from collections.abc import Sequence


class ServiceError(Exception):
    """The root of all exceptions that this package raises."""


class ConfigurationError(ServiceError):
    """The service cannot start as configured. The message is one sentence for the operator."""


class RulesError(ConfigurationError):
    """A rules file is wrong. ``problems`` has one line for each fault, with its line number and the correction."""

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}{problem}" for problem in problems))
