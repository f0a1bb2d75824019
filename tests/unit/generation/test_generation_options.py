from __future__ import annotations

import pytest

from generation.errors import OptionsError
from generation.options import GenerationOptions


def test_the_defaults_are_those_of_the_bundle_format() -> None:
    assert GenerationOptions().to_dict() == {
        "num_beams": 8,
        "num_return_sequences": 8,
        "length_penalty": 1.0,
        "early_stopping": False,
        "min_new_tokens": 1,
        "max_new_tokens": 16,
        "no_repeat_ngram_size": 0,
    }


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_options_are_equal_after_a_round_trip_through_a_manifest(early_stopping: bool | str) -> None:
    options = GenerationOptions(num_beams=4, num_return_sequences=2, early_stopping=early_stopping)
    assert GenerationOptions.from_dict(options.to_dict()) == options


def test_num_return_sequences_is_at_most_num_beams_by_default() -> None:
    assert GenerationOptions.from_dict({"num_beams": 3}).num_return_sequences == 3


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 65}, "num_beams"),
        ({"num_beams": True}, "num_beams"),
        ({"num_beams": 2.0}, "num_beams"),
        ({"num_return_sequences": 9}, "num_return_sequences"),
        ({"num_return_sequences": 0}, "num_return_sequences"),
        ({"max_new_tokens": 0, "min_new_tokens": 0}, "max_new_tokens"),
        ({"min_new_tokens": -1}, "min_new_tokens"),
        ({"min_new_tokens": 16}, "min_new_tokens"),
        ({"early_stopping": "sometimes"}, "early_stopping"),
        ({"early_stopping": 1}, "early_stopping"),
        ({"early_stopping": None}, "early_stopping"),
        ({"length_penalty": float("nan")}, "length_penalty"),
        ({"length_penalty": "1"}, "length_penalty"),
        ({"length_penalty": True}, "length_penalty"),
    ],
)
def test_each_invalid_option_is_named(fault: dict[str, object], named: str) -> None:
    with pytest.raises(OptionsError, match=named):
        GenerationOptions(**fault)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(OptionsError, match="temperature"):
        GenerationOptions.from_dict({"temperature": 1.0})
