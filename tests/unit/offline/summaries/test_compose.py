"""One summary from what is known of a video: new words only, the product first, no template."""

from __future__ import annotations

from evidence.cleaning import MAX_CLEAN_CHARACTERS, strip_summary_prefix
from evidence.schema import RawText
from offline.summaries.compose import summary_of_answer, summary_of_texts
from offline.summaries.prompt import Answer

NO_TEXT = RawText()


def test_an_answer_begins_with_the_product() -> None:
    answer = Answer(
        objects=("CFMOTO 675NK", "helmet"),
        ocr_text=("675 cc",),
        speech_cues=("new colours",),
        scene="showroom",
        product_use="riding in town",
        search_intents=("CFMOTO price",),
    )
    assert summary_of_answer(answer, NO_TEXT) == (
        "CFMOTO 675NK; helmet; CFMOTO price; riding in town; 675 cc; new colours; showroom"
    )


def test_what_the_canonical_text_or_an_earlier_phrase_says_is_left_out() -> None:
    answer = Answer(objects=("Cfmoto 675nk", "helmet"), ocr_text=("HELMET", "675NK"), search_intents=("helmet price",))
    assert summary_of_answer(answer, RawText(caption="new CFMOTO 675NK #bikes")) == "helmet; helmet price"


def test_an_answer_in_sentences_loses_its_template_opening() -> None:
    answer = Answer(prose="This video shows a cordless vacuum cleaner.")
    assert summary_of_answer(answer, NO_TEXT) == "a cordless vacuum cleaner"


def test_template_openings_and_labels_of_phrases_are_dropped() -> None:
    answer = Answer(objects=("the video shows a kettle",), ocr_text=("OCR: 1.7 L",), scene="视频展示了厨房")
    assert summary_of_answer(answer, NO_TEXT) == "a kettle; 1.7 L; 厨房"


def test_without_a_model_the_other_fields_come_first_then_the_screen_then_speech() -> None:
    text = RawText(caption="so happy with it", item_title="Dyson V8 Absolute")
    summary = summary_of_texts(text, ["40 min battery", "@shop_official"], "it picks up dog hair")
    assert summary == "Dyson V8 Absolute; 40 min battery; it picks up dog hair"


def test_a_caption_alone_makes_no_summary() -> None:
    assert summary_of_texts(RawText(caption="Dyson V8"), [], "") == ""


def test_chinese_texts() -> None:
    assert (
        summary_of_texts(RawText(caption="家人们看过来"), ["无线吸尘器", "无线吸尘器"], "吸力很大")
        == "无线吸尘器; 吸力很大"
    )


def test_speech_is_cut_between_words_and_the_summary_between_phrases() -> None:
    speech = "suction " * 100
    assert len(summary_of_texts(NO_TEXT, [], speech)) <= 160
    assert summary_of_texts(NO_TEXT, [], speech).endswith("suction")
    assert len(summary_of_texts(NO_TEXT, [], "吸" * 1000)) == 160
    phrases = tuple(f"product number {n} of the shop" for n in range(60))
    long = summary_of_answer(Answer(objects=phrases), NO_TEXT)
    assert len(long) <= MAX_CLEAN_CHARACTERS
    assert long.split("; ") == list(phrases[: len(long.split("; "))])


def test_a_summary_is_what_cleaning_leaves_as_it_is() -> None:
    for answer in (
        Answer(objects=("a: b", "（促销）", "!!!", "#tag", "price 9.99")),
        Answer(prose="Summary: a; b;; c"),
    ):
        summary = summary_of_answer(answer, NO_TEXT)
        assert strip_summary_prefix(summary) == summary
