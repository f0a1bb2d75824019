"""The bundle that is served, and the checkpoint that it was made from.

``current.json`` in the folder of promotions names the bundle; its form is that of ``onebar bundle promote``. A bundle
of an earlier refresh lies in the folder of its day, whose journal names the checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from refresh.config import Config
from refresh.errors import ConfigError
from refresh.files import read_json

JOURNAL = "journal.json"
_TRANSFORMER = "transformer"


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served.

    Attributes:
        bundle: its folder.
        bundle_id: its model version.
        checkpoint: what training continues from.
        embedder: of the bundle: ``hashed``, a version, or a folder.
    """

    bundle: str
    bundle_id: str
    checkpoint: str
    embedder: str


def find_serving(config: Config) -> Serving:
    """Return what is served now.

    Raises:
        ConfigError: the record, the bundle or its checkpoint is not there.
    """
    record = read_json(config.promoted / "current.json") or {}
    named = record.get("bundle")
    bundle = config.bundle if named is None else Path(os.path.normpath(config.promoted.resolve() / named))
    manifest = read_json(bundle / "manifest.json")
    if not isinstance(manifest, dict) or "model_version" not in manifest:
        raise ConfigError(f"{bundle} is served and has no manifest.json of a bundle; promote another bundle")
    journal = read_json(bundle.parent / JOURNAL)
    if isinstance(journal, dict) and "checkpoint" in journal:
        checkpoint = bundle.parent / journal["checkpoint"]
    elif bundle.resolve() == config.bundle.resolve():
        checkpoint = config.checkpoint
    else:
        raise ConfigError(
            f"{bundle} is served and was not made by a refresh; name it as `bundle`, and the checkpoint that it was"
            " exported from as `checkpoint`"
        )
    if not checkpoint.is_dir():
        raise ConfigError(f"{checkpoint}, the checkpoint of the served bundle {bundle}, is not there; restore it")
    return Serving(str(bundle), str(manifest["model_version"]), str(checkpoint), _embedder_of(bundle, manifest))


def _embedder_of(bundle: Path, manifest: dict[str, object]) -> str:
    folder = bundle / "embedder"
    if folder.is_dir():
        return str(folder)
    section = manifest.get("embedder")
    if isinstance(section, dict) and section.get("kind") == _TRANSFORMER:
        return str(section.get("version"))
    return "hashed"
