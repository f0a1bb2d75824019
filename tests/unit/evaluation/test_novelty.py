"""Targets, and words of targets, that training has not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.errors import InputError
from evaluation.inputs import Example
from evaluation.novelty import UNSEEN_TARGET, UNSEEN_WORD, Seen, novelty_masks, read_seen


def test_a_new_word_makes_both_slices_and_a_new_order_of_known_words_only_one(
    examples: Callable[..., list[Example]],
) -> None:
    held_out = examples({"target": "Road  Bike"}, {"target": "bike road"}, {"target": "gravel bike"})
    masks = novelty_masks(held_out, Seen(frozenset({"road", "bike"}), frozenset({"road bike"})))
    assert masks[UNSEEN_TARGET].tolist() == [False, True, True]
    assert masks[UNSEEN_WORD].tolist() == [False, False, True]


def test_the_words_of_every_field_and_of_rejected_videos_are_seen(
    examples_file: Callable[..., Path], tmp_path: Path
) -> None:
    examples_file(
        [
            {
                "target": "Target",
                "caption": "caption 🔥",
                "photo_title": "photo",
                "title": "title",
                "item_title": "item",
            },
            {"target": "target", "summary": "summary", "anchors": ["anchor"], "histories": ["history"]},
            {"target": "[REJECT]", "kind": "reject", "personal": ["own"]},
        ],
        "examples_train.parquet",
    )
    seen = read_seen([tmp_path])
    assert seen.targets == {"target"}
    assert seen.words == {
        *("target", "caption", "photo", "title", "item", "summary", "anchor", "history", "own"),
    }


def test_what_several_folders_hold_is_seen(examples_file: Callable[..., Path], tmp_path: Path) -> None:
    for folder, target in (("a", "bike"), ("b", "tent")):
        examples_file([{"target": target}], f"{folder}/examples_train.parquet")
    seen = read_seen([tmp_path / "a", tmp_path / "b"])
    assert seen.targets == {"bike", "tent"}


def test_a_folder_without_training_examples_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"examples_train\.parquet is missing"):
        read_seen([tmp_path])
