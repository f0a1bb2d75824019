"""From the environment to the tree of settings, with an error or a warning for what is wrong there."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_settings import SettingsError

from service.errors import ConfigurationError
from service.settings import PREFIX, Settings


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that look like settings and are none, each with the setting of the nearest name, if any.

    A group refuses an unknown name itself. Variables of other commands, as ONEBAR_KEY of a client, are returned too.
    """
    known = [name.upper() for name in Settings.model_fields]
    found: dict[str, str | None] = {}
    for variable in sorted(environment):
        prefix, _, rest = variable.upper().partition("_")
        name = rest.partition("__")[0]
        if f"{prefix}_" == PREFIX and name not in known:
            nearest = get_close_matches(name, known, 1)
            found[variable] = f"{PREFIX}{nearest[0]}" if nearest else None
    return found


def load_settings(**overrides: object) -> Settings:
    """Build the tree from the environment. ``overrides`` that are not None take precedence.

    Raises:
        ConfigurationError: a variable is invalid; the message names every such variable and its fault.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except SettingsError as error:
        raise ConfigurationError(f"The settings are wrong. An environment variable is not JSON: {error}.") from error
    except ValidationError as error:
        faults = [
            f"{PREFIX}{'__'.join(str(part) for part in detail['loc']).upper()}: {detail['msg']}"
            for detail in error.errors(include_url=False)
        ]
        raise ConfigurationError("The settings are wrong. " + "; ".join(faults) + ".") from error
