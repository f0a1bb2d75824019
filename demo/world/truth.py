"""The latent variables of a world, stored with its logs for tests and for the oracle; training never reads them.

`truth/world.json` holds the spec, `truth/{catalogue,type_habits,users,videos}.parquet` the arrays of the dataclasses,
`truth/targets.parquet` the intent of each user who acted, and `truth/safety.parquet` (photo_id, unsafe, category) the
labels that an evaluation of `[REJECT]` reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demo.errors import WorldError
from demo.world.catalogue import Catalogue
from demo.world.fields import FIELDS, Fields
from demo.world.ids import named, photo_ids
from demo.world.safety import TERMS
from demo.world.users import Users
from demo.world.videos import Videos
from demo.world.vocabulary import Department, ProductType, departments
from demo.world.wording import FORMS, Triggers, Wording

FORMAT = 1
_ROWS_A_GROUP = 1 << 18


@dataclass(frozen=True, slots=True)
class Truth:
    """The latent variables of a world.

    Attributes:
        spec: the arguments of the world, plain values.
        wording: the true distribution.
        triggers: what each video shows, one row a video.
        created_day: int32[V]. unsafe: bool[V].
        masks: field name to int32[V], what each text names (`demo.world.fields.PARTS`).
        present: field name to bool[V], whether the text is there.
    """

    spec: dict[str, Any]
    wording: Wording
    triggers: Triggers
    created_day: np.ndarray[Any, np.dtype[np.int32]]
    unsafe: np.ndarray[Any, np.dtype[np.bool_]]
    masks: dict[str, np.ndarray[Any, np.dtype[np.int32]]]
    present: dict[str, np.ndarray[Any, np.dtype[np.bool_]]]


def write_truth(out: Path, spec: dict[str, Any], wording: Wording, videos: Videos, texts: Fields) -> None:
    """Write everything but `targets.parquet`."""
    out.mkdir(parents=True, exist_ok=True)
    forms = [form.pattern for form in FORMS]
    (out / "world.json").write_text(json.dumps({"format": FORMAT, "spec": spec, "forms": forms}, indent=1) + "\n")
    triggers = videos.triggers
    # The spec names the departments.
    catalogue = {name: value for name, value in _plain(wording.catalogue).items() if name != "departments"}
    _write(out / "catalogue.parquet", {"catalogue": [json.dumps(catalogue)]})
    term = videos.unsafe.term
    _write(
        out / "safety.parquet",
        {
            "photo_id": photo_ids(np.arange(videos.count)),
            "unsafe": term >= 0,
            "category": named(pa.array([category for category, _ in TERMS]), term).cast(pa.string()),
        },
    )
    _write(out / "users.parquet", {f.name: _column(getattr(wording.users, f.name)) for f in fields(Users)})
    _write(out / "type_habits.parquet", {"habit": _column(wording.type_habit)})
    _write(
        out / "videos.parquet",
        {
            "created_day": videos.created_day,
            "author": videos.author,
            "unsafe_term": videos.unsafe.term,
            "product": triggers.product,
            "aspect": triggers.aspect,
            "leading": named(pa.array(triggers.leading_words), triggers.leading).cast(pa.string()),
            "trending": triggers.trending,
            "swapped": triggers.swapped,
            "habit": _column(triggers.habit),
            **{f"{name}_mask": texts.masks[name] for name in FIELDS},
            **{f"{name}_present": texts.texts[name].is_valid() for name in FIELDS},
        },
    )


def read_truth(world_dir: Path | str) -> Truth:
    """Read the latent variables of a world.

    Raises:
        WorldError: the folder holds no world, or one that was made by another version of the simulator.
    """
    folder = Path(world_dir) / "truth"
    try:
        about = json.loads((folder / "world.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorldError(f"{world_dir} is not a world; make one: onebar world {world_dir}") from error
    if (
        not isinstance(about, dict)
        or about.get("format") != FORMAT
        or about["forms"] != [form.pattern for form in FORMS]
    ):
        raise WorldError(f"{folder} was made by another version of the world; make it anew with onebar world")
    stored = json.loads(pq.read_table(folder / "catalogue.parquet")["catalogue"][0].as_py())
    catalogue = _catalogue(stored, departments(about["spec"].get("departments", ())))
    people = pq.read_table(folder / "users.parquet")
    users = Users(**{f.name: _array(people[f.name]) for f in fields(Users)})
    videos = pq.read_table(folder / "videos.parquet")
    leading = videos["leading"].combine_chunks().dictionary_encode()
    triggers = Triggers(
        product=_array(videos["product"]),
        aspect=_array(videos["aspect"]),
        leading=leading.indices.to_numpy(zero_copy_only=False),
        leading_words=tuple(leading.dictionary.to_pylist()),
        trending=_array(videos["trending"]),
        swapped=_array(videos["swapped"]),
        habit=_array(videos["habit"]),
    )
    return Truth(
        spec=about["spec"],
        wording=Wording(catalogue, users, _array(pq.read_table(folder / "type_habits.parquet")["habit"])),
        triggers=triggers,
        created_day=_array(videos["created_day"]),
        unsafe=_array(videos["unsafe_term"]) >= 0,
        masks={name: _array(videos[f"{name}_mask"]) for name in FIELDS},
        present={name: _array(videos[f"{name}_present"]) for name in FIELDS},
    )


def _write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=_ROWS_A_GROUP)


def _column(values: np.ndarray[Any, Any]) -> pa.Array:
    """Return a flat Arrow array, or fixed-size lists for the rows of a matrix."""
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _array(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return the NumPy array of a `_column`."""
    chunk = column.combine_chunks()
    if pa.types.is_fixed_size_list(chunk.type):
        return np.asarray(chunk.flatten().to_numpy().reshape(-1, chunk.type.list_size))
    return np.asarray(chunk.to_numpy(zero_copy_only=False))


def _plain(value: Any) -> Any:
    """Return the JSON values of a dataclass of arrays and tuples."""
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "values": value.tolist()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _catalogue(plain: dict[str, Any], shop: tuple[Department, ...]) -> Catalogue:
    """Return the catalogue of `_plain` values; `shop` are its departments."""

    def revive(value: Any) -> Any:
        if isinstance(value, dict):
            if "dtype" in value:
                return np.array(value["values"], dtype=value["dtype"])
            return ProductType(**{key: revive(item) for key, item in value.items()})
        return tuple(revive(item) for item in value) if isinstance(value, list) else value

    return Catalogue(departments=shop, **{key: revive(value) for key, value in plain.items()})
