"""Makes a whole world: draws it, simulates its days, writes its tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from demo.world.behaviour import Watching, World, browse, draw_intents, misspell, watch
from demo.world.draw import draw_world
from demo.world.fields import FIELDS, Fields, make_fields
from demo.world.ids import author_ids, named, photo_ids, user_ids
from demo.world.logs import SOURCES, Logs
from demo.world.policy import LoggingPolicy
from demo.world.registry import UNSAFE, QueryRegistry
from demo.world.safety import TERMS, listed_terms, reviewed
from demo.world.spec import WorldSpec
from demo.world.truth import write_truth
from demo.world.wording import GROUP_OF_FORM, GROUPS, IS_PERSONAL, SPECIFIC, Triggers
from offline.logs.tables import write_table

_BROWSING_PER_USER_DAY = 0.7
_WARM_UP_ROUNDS = 3
_OWN_HABIT_BOOST = IS_PERSONAL * np.float32(1.3)
_SPECIFIC_BOOST = SPECIFIC * np.float32(3.0)
_MEANS_ONE_PRODUCT = np.isin(GROUP_OF_FORM, [GROUPS.index("brand"), GROUPS.index("model")])


def build_world(out: Path | str, spec: WorldSpec, progress: Callable[[int, str], None] | None = None) -> dict[str, int]:
    """Write a world into a folder.

    Args:
        out: the folder, created when it is missing; tables of the same names are replaced.
        spec: seed and sizes; the same spec gives byte-identical files.
        progress: called with (steps done, name of the next step); there are `spec.days + 2` steps.

    Returns:
        The number of rows of each behaviour table.
    """
    out = Path(out)
    report = progress or (lambda _done, _next: None)
    report(0, "catalogue, videos and users")
    world = _draw(out, spec)
    registry = QueryRegistry()
    logs = Logs(world, registry, out)
    catalogue = world.catalogue
    policy = LoggingPolicy(len(catalogue.types), len(catalogue.product_type), world.videos.count)
    rng = np.random.default_rng([spec.seed, 1])
    for _ in range(_WARM_UP_ROUNDS):
        _browse_day(world, registry, policy, -1, spec.impressions_per_day // 2, rng)
    for day in range(spec.days):
        report(day + 1, f"day {day}")
        _play_day(world, registry, policy, logs, day, np.random.default_rng([spec.seed, 2, day]))
        logs.end_day()
    report(spec.days + 1, "closing the files")
    rows = logs.close()
    report(spec.days + 2, "done")
    return rows


def _draw(out: Path, spec: WorldSpec) -> World:
    """Draw and write everything that is fixed before the first day; the texts are not kept in memory."""
    rng = np.random.default_rng([spec.seed, 0])
    world = draw_world(spec, rng)
    videos = world.videos
    texts = make_fields(spec, world.catalogue, videos, rng)
    listed, seen_by_reviewers = listed_terms(spec, rng), reviewed(spec, videos.unsafe, rng)
    write_truth(out / "truth", spec.to_dict(), world.wording, videos, texts)
    _write_still_tables(out, world, texts, listed, seen_by_reviewers)
    return world


def _write_still_tables(
    out: Path,
    world: World,
    texts: Fields,
    listed: tuple[tuple[str, str], ...],
    seen_by_reviewers: NDArray[np.bool_],
) -> None:
    """Write what no day changes: videos, users, reviews and the rule list."""
    videos, catalogue = world.videos, world.catalogue
    departments = pa.array([department.name for department in catalogue.departments])
    department = catalogue.type_department[catalogue.product_type[videos.triggers.product]]
    write_table(
        out,
        "videos",
        {
            "photo_id": photo_ids(np.arange(videos.count)),
            "created_day": videos.created_day,
            "author_id": author_ids(videos.author),
            "category": named(departments, department),
            **{name: texts.texts[name] for name in FIELDS},
        },
    )
    write_table(out, "users", {"user_id": user_ids(np.arange(world.spec.users)), "activity": world.users.activity})
    rows = np.flatnonzero(seen_by_reviewers)
    term = videos.unsafe.term[rows]
    write_table(
        out,
        "reviews",
        {
            "photo_id": photo_ids(rows),
            "day": np.maximum(videos.created_day[rows], 0),
            "verdict": named(pa.array(["safe", "unsafe"]), (term >= 0).astype(np.int32)),
            "policy_category": named(pa.array([category for category, _ in TERMS]), term),
        },
    )
    lines = ["# The platform's rule list: policy category, prohibited term.\n"]
    lines += [f"{category}\t{term}\n" for category, term in listed]
    (out / "prohibited_terms.tsv").write_text("".join(lines), encoding="utf-8")


def _play_day(
    world: World,
    registry: QueryRegistry,
    policy: LoggingPolicy,
    logs: Logs,
    day: int,
    rng: np.random.Generator,
) -> None:
    """Simulate and log one day: impressions, then the four kinds of searches, then the videos that they led to."""
    seen = watch(world, registry, policy, day, rng)
    engaged, order = logs.impressions(day, seen, rng)
    product = world.videos.triggers.product[seen.video]
    after = seen.second + 4 + rng.exponential(15.0, len(seen.second))
    bar, typed = np.flatnonzero(seen.clicked >= 0), np.flatnonzero(seen.typed)
    clicked = seen.candidates[bar, seen.clicked[bar]]
    logs.searches(
        day, after[bar], seen.user[bar], clicked, registry.forms(clicked), product[bar], 0, rng,
        video=seen.video[bar], engaged=engaged[bar], order=order[bar],
    )  # fmt: skip
    query, form = seen.typed_query[typed], seen.intents.form[typed]
    logs.searches(day, after[typed], seen.user[typed], query, form, product[typed], 1, rng, video=seen.video[typed])
    count = int(world.spec.users * _BROWSING_PER_USER_DAY)
    user, triggers, boxed, box_form, box_second = _browse(world, registry, day, count, rng)
    logs.searches(day, box_second, user, boxed, box_form, triggers.product, 2, rng)
    _reformulate(world, registry, logs, day, seen, typed, rng)
    logs.search_clicks(day, world.videos.created_day <= day, _MEANS_ONE_PRODUCT, rng)
    kind = world.catalogue.product_type
    shown = np.concatenate([seen.video[bar], seen.video[typed], np.full(count, -1)])
    products = np.concatenate([product[bar], product[typed], triggers.product])
    queries = np.concatenate([clicked, query, boxed])
    policy.observe(kind[products], products, shown, queries, registry.forms(queries) != UNSAFE)


def _browse(
    world: World, registry: QueryRegistry, day: int, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Triggers, NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Return searches not related to a video: (user, triggers, query, form, second), each of length `count`."""
    user, triggers = browse(world, count, day, rng)
    intents = draw_intents(world, registry, triggers, user, rng, boost=_OWN_HABIT_BOOST)
    query = misspell(registry, intents, world.spec.rates.typo, rng)
    return user, triggers, query, intents.form, np.sort(rng.random(count)) * 86_000


def _browse_day(
    world: World, registry: QueryRegistry, policy: LoggingPolicy, day: int, count: int, rng: np.random.Generator
) -> None:
    """Simulate a day before the log starts, without logging it, so that the bar is not empty on the first day."""
    user, triggers = browse(world, count, day, rng)
    query = draw_intents(world, registry, triggers, user, rng).query
    kinds = world.catalogue.product_type[triggers.product]
    everything_safe = np.ones(count, dtype=np.bool_)
    policy.observe(kinds, triggers.product, np.full(count, -1), query, everything_safe)


def _reformulate(
    world: World,
    registry: QueryRegistry,
    logs: Logs,
    day: int,
    seen: Watching,
    typed: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Some users who typed a general query search again, more specifically."""
    form = seen.intents.form[typed]
    general = (form >= 0) & ~SPECIFIC[np.maximum(form, 0)]
    rows = typed[general & (rng.random(len(typed)) < world.spec.rates.reformulates)]
    triggers = world.videos.triggers.take(seen.video[rows])
    intents = draw_intents(world, registry, triggers, seen.user[rows], rng, boost=_SPECIFIC_BOOST)
    second = seen.second[rows] + 60 + rng.exponential(30.0, len(rows))
    logs.searches(
        day, second, seen.user[rows], intents.query, intents.form, triggers.product, SOURCES.index("reformulation"),
        rng, previous=seen.typed_query[rows],
    )  # fmt: skip
