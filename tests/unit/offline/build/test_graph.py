"""Steps run when something that decides their output has changed, and never otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from offline.build.errors import BuildError
from offline.build.graph import Step, execute, plan
from offline.build.manifest import MANIFEST_FILE, read_manifest


@dataclass
class Work:
    """Two steps, of which the second reads the output of the first, and which of them have run."""

    out: Path
    ran: list[str] = field(default_factory=list)
    pending: int = 0

    def steps(self, text: str = "one", **settings: Any) -> list[Step]:
        first = Step(
            "first", self.write("first", text), ("first.txt",), inputs={"text": text}, code=("offline/arrays",)
        )
        second = Step(
            "second", self.write("second/file", "two"), ("second/file.txt",), after=("first",), settings=settings
        )
        return [first, second]

    def write(self, name: str, text: str) -> Any:
        def run(folder: Path) -> Mapping[str, Any]:
            self.ran.append(name.split("/")[0])
            path = folder / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return {"letters": len(text), "pending": self.pending}

        return run

    def execute(self, steps: list[Step]) -> list[str]:
        """Run the steps, and return which have run."""
        self.ran.clear()
        planned = [name for name, reason in plan(steps, self.out).items() if reason]
        execute(steps, self.out, {"logs": "logs"}, lambda _: None)
        assert set(self.ran) <= set(planned)
        return list(self.ran)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Steps that have run once."""
    work = Work(tmp_path)
    assert work.execute(work.steps()) == ["first", "second"]
    return work


def test_nothing_is_done_twice(work: Work) -> None:
    before = (work.out / "second" / "file.txt").stat().st_ino
    assert work.execute(work.steps()) == []
    assert (work.out / "second" / "file.txt").stat().st_ino == before
    assert {step.state for step in read_manifest(work.out).values()} == {"skipped"}


def test_a_step_runs_again_when_its_input_has_changed_and_so_does_what_reads_its_output(work: Work) -> None:
    steps = work.steps("other")
    assert plan(steps, work.out) == {"first": "other inputs: text", "second": "after first"}
    assert work.execute(steps) == ["first", "second"]


def test_a_step_is_skipped_when_the_step_before_wrote_the_same_bytes_again(work: Work) -> None:
    first, second = work.steps()
    assert work.execute([replace(first, inputs={"text": "in another file"}), second]) == ["first"]


def test_other_settings_are_named(work: Work) -> None:
    assert plan(work.steps(limit=3), work.out) == {"first": "", "second": "other settings: limit"}


def test_other_code_and_other_libraries_are_named(work: Work) -> None:
    first, second = work.steps()
    steps = [replace(first, code=("offline/errors",)), replace(second, libraries=("numpy",))]
    assert plan(steps, work.out) == {"first": "other versions: code", "second": "after first"}
    assert plan([first, steps[1]], work.out)["second"] == "other versions: numpy"


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_an_output_that_is_not_as_it_was_written_is_made_again(work: Work, damage: str) -> None:
    path = work.out / "second" / "file.txt"
    path.unlink() if damage == "removed" else path.write_text("owt", encoding="utf-8")
    assert plan(work.steps(), work.out)["second"] == "missing or changed: second/file.txt"
    assert work.execute(work.steps()) == ["second"]
    assert path.read_text(encoding="utf-8") == "two"


def test_pending_work_runs_again(work: Work) -> None:
    work.pending = 3
    assert work.execute(work.steps("other")) == ["first", "second"]
    work.pending = 0
    assert plan(work.steps("other"), work.out)["first"] == "3 pending"
    assert work.execute(work.steps("other")) == ["first", "second"]
    assert work.execute(work.steps("other")) == []


def test_a_step_that_fails_leaves_the_outputs_before_and_no_others(work: Work) -> None:
    first, second = work.steps("other")

    def fail(folder: Path) -> Mapping[str, Any]:
        (folder / "first.txt").write_text("half", encoding="utf-8")
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="power"):
        work.execute([replace(first, run=fail), second])
    assert (work.out / "first.txt").read_text(encoding="utf-8") == "one"
    assert work.execute([first, second]) == ["first", "second"]
    assert sorted(path.name for path in work.out.iterdir()) == ["first.txt", MANIFEST_FILE, "second"]


def test_a_kept_step_is_not_made_again_for_other_inputs_or_code(work: Work) -> None:
    first, second = work.steps("other")
    kept = replace(first, keeps=True, code=())
    assert work.execute([kept, second]) == []
    assert {name: step.state for name, step in read_manifest(work.out).items()} == {
        "first": "kept",
        "second": "skipped",
    }
    assert (work.out / "first.txt").read_text(encoding="utf-8") == "one"


@pytest.mark.parametrize("settings", [{}, {"dimension": 8}])
def test_what_cannot_be_kept_is_an_error(work: Work, settings: dict[str, int]) -> None:
    first, second = work.steps()
    if not settings:
        (work.out / "first.txt").unlink()
    with pytest.raises(BuildError, match=r"the first of an earlier build cannot be kept.*without --since"):
        plan([replace(first, keeps=True, settings=settings), second], work.out)


def test_a_step_that_is_not_asked_for_is_remembered(work: Work) -> None:
    first, second = work.steps()
    assert work.execute([first]) == []
    assert read_manifest(work.out)["second"].state == "left out"
    assert work.execute([first, second]) == []


def test_a_manifest_that_cannot_be_read_makes_every_step_run(work: Work) -> None:
    (work.out / MANIFEST_FILE).write_text("{", encoding="utf-8")
    assert work.execute(work.steps()) == ["first", "second"]


def test_the_manifest_says_what_was_made_of_what(work: Work) -> None:
    first, second = read_manifest(work.out).values()
    assert first.inputs == {"text": "one"}
    assert second.inputs == {"first.txt": first.outputs["first.txt"].sha256}
    assert (first.counts["letters"], first.outputs["first.txt"].bytes) == (3, 3)
    assert first.peak_memory_bytes > 1 << 20
    assert set(second.outputs) == {"second/file.txt"}
