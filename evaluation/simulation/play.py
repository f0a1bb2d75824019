"""A whole simulation: the days are played, and the two systems are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.world.behaviour import World
from demo.world.draw import redraw_world
from evaluation.cascade.stages import CascadeTraining, train_cascade
from evaluation.grounding import Shop
from evaluation.inputs import Example
from evaluation.predict import BundlePredictor
from evaluation.shop_logs import ShopLogs
from evaluation.simulation.arms import Arm, Bar, BundleArm, CascadeArm
from evaluation.simulation.bad_cases import BadCaseRules, BadCases, bad_case_report
from evaluation.simulation.evidence import EvidenceOfTraffic, days_of
from evaluation.simulation.experiment import by_slice, compare, coverage, split_comparison
from evaluation.simulation.exposure import ctr_at_share, is_shown, lowest_threshold, resampled_exposures
from evaluation.simulation.intervals import ClusterBootstrap, bounds
from evaluation.simulation.outcomes import Outcomes, Viewers
from evaluation.simulation.traffic import Traffic, draw_traffic
from evaluation.slices import AGES, activity_name
from evidence.embedder import Embedder

CASCADE = "MCA"
INTERVALS_OVER = {
    "calibration": "viewers",
    "a_a": "viewers",
    "a_b": "viewers",
    "slices": "viewers",
    "bad_cases": "videos",
}
"""Part of the report to the units that its bootstrap draws."""
_CALIBRATION, _EXPERIMENT = 1, 2  # streams of random numbers


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played.

    Attributes:
        impressions: of each day.
        calibration: impressions before the experiment, of the first day, by which the thresholds are chosen.
        control_exposure: the share of the calibration at which the control shows a bar; its CTR there is the floor.
        ctr_floor: the floor itself, in place of `control_exposure`; None to take it from the control.
        splits: how many A/A splits are made.
        seed: of the traffic.
    """

    impressions: int = 5_000
    calibration: int = 8_000
    control_exposure: float = 0.7
    ctr_floor: float | None = None
    splits: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Played:
    """One stretch of traffic, with what control and treatment read and the bars of both."""

    traffic: Traffic
    examples: tuple[list[Example], list[Example]]
    bars: tuple[list[Bar], list[Bar]]


def _name(predictor: BundlePredictor) -> str:
    return f"OneBar {predictor.bundle.model_version}"


class Simulation:
    """A world, its evidence, and the two systems."""

    def __init__(
        self,
        world: Path,
        examples: Path,
        evidence: Path,
        predictor: BundlePredictor,
        control: BundlePredictor | None,
        cascade_embedder: Embedder,
    ) -> None:
        """Read the world, and train the cascade if it is the control.

        Args:
            world: the folder of `onebar world`.
            examples: of its logs, made by `onebar offline examples`; the test split is not read.
            evidence: files `evidence-DAY.parquet` and `users-DAY.parquet`; those days are played.
            predictor: the bundle.
            control: another bundle as control; None for the cascade.
            cascade_embedder: of the relevance filter and the features of the cascade; it embeds texts.

        Raises:
            InputError: a file is missing or not of the documented form.
            WorldError: the folder is no world of this version (demo.errors).
        """
        self._evidence, self._predictor, self._control = evidence, predictor, control
        self._cascade_embedder = cascade_embedder
        self.days = days_of(evidence)
        self._world: World = redraw_world(world)[0]
        self._logs = ShopLogs(world)
        self._shop = Shop(world / "truth")
        self._viewers = Viewers(self._world)
        self._training: CascadeTraining | None = None
        if control is None:
            self._training = train_cascade(examples, self._logs, cascade_embedder)

    def run(self, plan: Plan) -> dict[str, Any]:
        """Play the days, and return the report as plain values.

        Raises:
            InputError: the calibration is too small for the wanted exposure, the cascade learnt from a day that is to
                be played, or the files of a day cannot be used (`EvidenceOfTraffic`).
        """
        before = self._play(self.days[0], plan.calibration, (plan.seed, _CALIBRATION))
        thresholds, calibration = self._calibrate(before, plan)
        played = [self._play(day, plan.impressions, (plan.seed, _EXPERIMENT, day)) for day in self.days]
        viewers = np.concatenate([part.traffic.viewer for part in played])
        videos = np.concatenate([part.traffic.video for part in played])
        bootstrap = ClusterBootstrap(viewers)
        control, treatment = (self._outcomes(played, side, thresholds[side]) for side in (0, 1))
        everything = [self._outcomes(played, side, -math.inf) for side in (0, 1)]
        rules = BadCaseRules(self._shop, self._viewers.meanings, self._world.videos.unsafe.term >= 0)
        bad = [self._bad_cases(rules, played, side, thresholds[side]) for side in (0, 1)]
        return {
            "control": CASCADE if self._control is None else _name(self._control),
            "treatment": _name(self._predictor),
            "cascade_embedder": self._cascade_embedder.version if self._control is None else None,
            "world": self._world.spec.to_dict(),
            "days": self.days,
            "viewers": bootstrap.count,
            "videos": len(np.unique(videos)),
            "intervals_over": INTERVALS_OVER,
            "plan": asdict(plan),
            "calibration": calibration,
            "a_a": {
                "split": split_comparison(control, control, viewers, bootstrap, "a/a"),
                "coverage": coverage(control, viewers, bootstrap, plan.splits),
            },
            "a_b": {
                "every_bar": compare(everything[0], everything[1], bootstrap),
                "split": split_comparison(control, treatment, viewers, bootstrap, "a/b"),
                "paired": compare(control, treatment, bootstrap),
            },
            "slices": by_slice(control, treatment, bootstrap, self._slices(played)),
            "bad_cases": bad_case_report(bad[0], bad[1], videos),
        }

    def _play(self, day: int, count: int, seed: Sequence[int]) -> _Played:
        traffic = draw_traffic(self._world, day, count, (self._world.spec.seed, *seed))
        evidence = EvidenceOfTraffic(self._evidence, traffic, self._world.videos.created_day)
        treatment = evidence.examples(self._predictor.bundle.embedder)
        # The cascade reads the personal queries of the treatment, as in `onebar evaluate`.
        control = treatment if self._control is None else evidence.examples(self._control.bundle.embedder)
        bars = self._control_arm(day).bars(control), BundleArm(self._predictor, self._logs.terms).bars(treatment)
        return _Played(traffic, (control, treatment), bars)

    def _control_arm(self, day: int) -> Arm:
        if self._control is not None:
            return BundleArm(self._control, self._logs.terms)
        assert self._training is not None
        return CascadeArm(self._training.as_of(day))

    def _calibrate(self, before: _Played, plan: Plan) -> tuple[tuple[float, float], dict[str, Any]]:
        """Return the threshold of each system, and how they were chosen."""
        clicked = []
        for bars in before.bars:
            everything = np.array([bool(bar.queries) for bar in bars], bool)
            clicked.append(self._viewers.meet(before.traffic, bars, everything).of("clicks") > 0)
        floor = plan.ctr_floor
        if floor is None:
            floor = ctr_at_share(before.bars[0], clicked[0], plan.control_exposure)
        drawn = resampled_exposures(
            before.bars, clicked, plan.control_exposure, plan.ctr_floor, ClusterBootstrap(before.traffic.viewer)
        )
        thresholds = [lowest_threshold(bars, clicks, floor) for bars, clicks in zip(before.bars, clicked, strict=True)]
        shown = [is_shown(bars, threshold) for bars, threshold in zip(before.bars, thresholds, strict=True)]
        names = ("control", "treatment")
        return (thresholds[0], thresholds[1]), {
            "impressions": len(before.traffic),
            "ctr_floor": round(floor, 4),
            "thresholds": {  # None: no bar is shown
                name: round(threshold, 5) if math.isfinite(threshold) else None
                for name, threshold in zip(names, thresholds, strict=True)
            },
            "exposure": {name: round(float(mask.mean()), 4) for name, mask in zip(names, shown, strict=True)},
            "exposure_interval": {name: bounds(column) for name, column in zip(names, drawn.T, strict=True)},
            "ctr": {
                name: round(float(clicks[mask].mean()), 4) if mask.any() else 0.0
                for name, clicks, mask in zip(names, clicked, shown, strict=True)
            },
        }

    def _outcomes(self, played: Sequence[_Played], side: int, threshold: float) -> Outcomes:
        parts = [
            self._viewers.meet(part.traffic, part.bars[side], is_shown(part.bars[side], threshold)).values
            for part in played
        ]
        return Outcomes(np.concatenate(parts))

    def _bad_cases(self, rules: BadCaseRules, played: Sequence[_Played], side: int, threshold: float) -> BadCases:
        parts = [
            rules.find(part.examples[side], part.traffic.video, part.bars[side], is_shown(part.bars[side], threshold))
            for part in played
        ]
        examples = {kind: [case for part in parts for case in part.examples[kind]] for kind in parts[0].examples}
        return BadCases(np.concatenate([part.counts for part in parts]), examples)

    def _slices(self, played: Sequence[_Played]) -> dict[str, NDArray[np.bool_]]:
        """Return masks over all impressions: age of the video, activity of the viewer."""
        created, activity = self._world.videos.created_day, self._world.users.activity
        age = np.concatenate([part.traffic.day - created[part.traffic.video] for part in played])
        level = np.concatenate([activity[part.traffic.viewer] for part in played])
        ages = {
            f"age {name}": (age >= low) & (age <= (high if high is not None else age.max()))
            for name, (low, high) in AGES.items()
        }
        return ages | {f"viewer {activity_name(int(each))}": level == each for each in np.unique(level)}
