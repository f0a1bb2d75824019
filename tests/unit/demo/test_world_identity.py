"""The rows of a world are fixed by its arguments: a change of the simulator must not change the worlds of today.

Bundles, evidence and figures in the documentation come from worlds of the default departments. The digests below were
taken before worlds could choose departments and before they could have a million videos.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demo.world.build import build_world
from demo.world.spec import WorldSpec

WORLDS = {
    "tiny": WorldSpec(seed=1, videos=300, users=60, days=3, impressions_per_day=300),
    "many products": WorldSpec(seed=5, videos=8000, users=200, days=3, impressions_per_day=500),
}
DIGESTS = {
    "tiny": {
        "exposures.parquet": "1a04206b1f6749eb",
        "impressions.parquet": "0de007db930f67ea",
        "prohibited_terms.tsv": "2afa5783c1678e38",
        "reviews.parquet": "cfa887da2307b43a",
        "search_clicks.parquet": "e410a2de7d996f8c",
        "searches.parquet": "c8f92bbddaf3c719",
        "safety.parquet": "9d609a6e72eb1622",
        "targets.parquet": "c2b473064ba3f6b8",
        "world.json": "5ce039539b52f97a",
        "users.parquet": "883f350d2f8a8c28",
        "videos.parquet": "0e039c3092e219e8",
    },
    "many products": {
        "exposures.parquet": "26c5f22aa11f4edd",
        "impressions.parquet": "6aece17ea19d40ac",
        "prohibited_terms.tsv": "d701ee8aee549e41",
        "reviews.parquet": "eb046b840d65715d",
        "search_clicks.parquet": "49e175ed22aaacca",
        "searches.parquet": "b08b9bb88c88ec02",
        "safety.parquet": "0a4119d8168182ed",
        "targets.parquet": "e3bbc6b3dd58d547",
        "world.json": "b3f81e0dd757e5cc",
        "users.parquet": "404fa3233ca2c535",
        "videos.parquet": "ff85c2d6e085a598",
    },
}


def digest(path: Path) -> str:
    """Return a digest of the values of a file, whatever the version of Parquet; floats count to six digits."""
    if path.suffix != ".parquet":
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    hashed = hashlib.sha256()
    for name, column in pq.read_table(path).to_pydict().items():
        hashed.update(name.encode())
        for value in column:
            hashed.update((f"{value:.6g}" if isinstance(value, float) else repr(value)).encode() + b"\n")
    return hashed.hexdigest()[:16]


@pytest.mark.parametrize("name", WORLDS)
def test_the_rows_of_a_world_do_not_change(tmp_path, name):
    build_world(tmp_path, WORLDS[name])
    files = [*tmp_path.glob("*.parquet"), tmp_path / "prohibited_terms.tsv", tmp_path / "truth" / "targets.parquet"]
    files += [tmp_path / "truth" / "safety.parquet", tmp_path / "truth" / "world.json"]
    assert {path.name: digest(path) for path in sorted(files)} == DIGESTS[name]
