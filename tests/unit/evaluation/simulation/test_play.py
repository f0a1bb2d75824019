"""Which evidence the systems of a simulation are asked with."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from evaluation.predict import Answer, BundlePredictor
from evaluation.simulation.play import Plan, Simulation
from evidence.embedder import HashedEmbedder
from evidence.schema import Evidence
from tests.fixtures.tiny_embedder import build_tiny_embedder, put_embedder
from tests.unit.evaluation.simulation.conftest import Tables, written


class _Recorded(BundlePredictor):
    """A bundle that keeps what it is asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[Evidence] = []

    def answers(self, evidence: Sequence[Evidence]) -> list[Answer]:
        self.asked += evidence
        return super().answers(evidence)


def test_each_bundle_reads_the_personal_queries_that_its_own_embedder_chooses(
    folder: Path, tables: Tables, bundle: Path, tmp_path: Path
) -> None:
    """The embedder of the control knows no word of the shop, so it chooses no past query."""
    build_tiny_embedder(tmp_path / "embedder", ["unheard", "unseen"])
    other = put_embedder(Path(shutil.copytree(bundle, tmp_path / "bundle")), tmp_path / "embedder")
    (tmp_path / "ab").mkdir()
    treatment, control = _Recorded(bundle), _Recorded(other)
    simulation = Simulation(folder, tmp_path, written(tables, tmp_path / "ab"), treatment, control, HashedEmbedder())
    simulation.run(Plan(impressions=100, calibration=100, ctr_floor=0.0, splits=1))
    assert len(treatment.asked) == len(control.asked) == 200
    assert any(evidence.personal for evidence in treatment.asked)
    assert not any(evidence.personal for evidence in control.asked)
    assert [evidence.anchors for evidence in treatment.asked] == [evidence.anchors for evidence in control.asked]
