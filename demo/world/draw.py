"""Draws what does not change over the days of a world: its shop, its users and its videos, without their texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from demo.errors import WorldError
from demo.world.behaviour import World
from demo.world.catalogue import make_catalogue
from demo.world.spec import Rates, WorldSpec
from demo.world.truth import Truth, read_truth
from demo.world.users import make_users
from demo.world.videos import make_trends, make_videos
from demo.world.wording import Wording, make_type_habits


def draw_world(spec: WorldSpec, rng: np.random.Generator) -> World:
    """Draw the world of a spec; `rng` is `default_rng([spec.seed, 0])` before anything else was drawn from it."""
    catalogue = make_catalogue(spec, rng)
    users = make_users(spec.users, catalogue, rng)
    videos = make_videos(spec, catalogue, make_trends(spec, catalogue, rng), rng)
    wording = Wording(catalogue, users, make_type_habits(len(catalogue.types), rng))
    return World(spec, catalogue, users, videos, wording)


def redraw_world(folder: Path) -> tuple[World, Truth]:
    """Return the world that was written into a folder, drawn again from its spec, and its latent variables.

    The folder does not hold how often a video is watched; only the drawing knows it.

    Raises:
        WorldError: the folder holds no world, or the drawing does not give its videos: it was made by another version.
    """
    truth = read_truth(folder)
    plain = dict(truth.spec)
    rates, departments = Rates(**plain.pop("rates")), tuple(plain.pop("departments", ()))
    spec = WorldSpec(**plain, departments=departments, rates=rates)
    world = draw_world(spec, np.random.default_rng([spec.seed, 0]))
    videos = world.videos
    if not (
        np.array_equal(videos.created_day, truth.created_day)
        and np.array_equal(videos.triggers.product, truth.triggers.product)
        and np.array_equal(videos.unsafe.term >= 0, truth.unsafe)
    ):
        raise WorldError(f"{folder} was made by another version of the world; make it anew with onebar world")
    return world, truth
