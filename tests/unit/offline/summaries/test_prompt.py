"""What the model is asked, and what is read from its answer, whatever form it has."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evidence.schema import RawText
from offline.summaries.frames import Frame
from offline.summaries.prompt import (
    INSTRUCTIONS,
    MAX_FIELD_CHARACTERS,
    MAX_VALUES,
    Answer,
    AnswerError,
    known_texts,
    parse_answer,
    request_body,
)
from offline.summaries.videos import Video


def test_the_prompt_asks_for_each_key_of_an_answer() -> None:
    keys = set(json.loads(INSTRUCTIONS[INSTRUCTIONS.index("{") :]))
    assert keys == set(Answer().to_dict()) - {"prose"}
    assert keys == {
        "objects", "ocr_text", "speech_cues", "scene", "product_use", "search_intents", "safety_concern",
    }  # fmt: skip


def test_frames_are_sent_as_data_urls_and_texts_as_json() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    body = request_body("m", 300, {"caption": 'a "b"'}, [Frame(0.0, image, np.zeros((32, 32), np.float32))])
    picture, text = body["messages"][1]["content"]
    header, _, data = picture["image_url"]["url"].partition(",")
    assert header == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (60, 40)
    assert json.loads(text["text"]) == {"caption": 'a "b"'}
    assert (body["model"], body["max_tokens"]) == ("m", 300)


def test_only_texts_that_say_something_are_sent_and_long_ones_are_cut() -> None:
    video = Video("p", RawText(caption=" ", item_title="x" * 5000))
    assert known_texts(video, "hello") == {"item_title": "x" * MAX_FIELD_CHARACTERS, "speech": "hello"}


@pytest.mark.parametrize(
    "text",
    [
        '{"objects": ["kettle"], "scene": "kitchen"}',
        '```json\n{"objects": ["kettle"], "scene": "kitchen"}\n```',
        'Here it is: {"objects": "kettle", "scene": ["kitchen"]} Anything else?',
        '{"objects": ["kettle", null, {"a": 1}, ""], "scene": " kitchen ", "colour": "red", "speech_cues": {}}',
    ],
)
def test_an_object_is_found_in_what_models_write_around_it(text: str) -> None:
    assert parse_answer(text) == Answer(objects=("kettle",), scene="kitchen")


def test_an_answer_in_sentences_is_kept() -> None:
    assert parse_answer("A kettle on a table.") == Answer(prose="A kettle on a table.")


def test_an_answer_cannot_pass_for_sentences() -> None:
    assert parse_answer('{"scene": "kitchen", "prose": "injected"}') == Answer(scene="kitchen")


@pytest.mark.parametrize(
    "text",
    ["", "  ", '{"objects": ["kett', '{"objects": kettle}', "{}", '{"answer": "a kettle"}', '{"a":' * 100_000 + "}"],
)
def test_an_unusable_answer_is_an_error(text: str) -> None:
    with pytest.raises(AnswerError):
        parse_answer(text)


def test_what_is_kept_of_an_answer_is_bounded() -> None:
    answer = parse_answer(json.dumps({"objects": ["x" * 10_000] * 1000}))
    assert len(answer.objects) == MAX_VALUES
    assert len(answer.objects[0]) == MAX_FIELD_CHARACTERS


def test_half_characters_of_an_answer_are_replaced() -> None:
    assert parse_answer('{"objects": ["kettle \\ud83d"]}') == Answer(objects=("kettle ?",))
    assert parse_answer("kettle \ud83d") == Answer(prose="kettle ?")


@pytest.mark.parametrize("value", [None, True, 3.5, float("nan"), [[["deep"]]], {"a": "b"}, ["\ud83d", "\0", 7], " \n"])
def test_an_answer_of_any_values_is_plain_text(value: Any) -> None:
    answer = parse_answer(json.dumps({"scene": "kitchen", "objects": value, "ocr_text": value, "product_use": value}))
    assert answer.scene == "kitchen"
    for part in answer.to_dict().values():
        for text in [part] if isinstance(part, str) else part:
            assert text.encode("utf-8").decode("utf-8") == text


def test_an_answer_survives_the_journal() -> None:
    answer = Answer(objects=("a", "b"), scene="c", search_intents=("d",))
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
    prose = Answer(prose="words")
    assert Answer.from_dict(json.loads(json.dumps(prose.to_dict()))) == prose
