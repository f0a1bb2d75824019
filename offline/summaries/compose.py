"""One summary from what is known of a video.

A model reads the first tokens of a summary (24 by default), so what names the product comes first. What the canonical
text T already says is left out: it is in the source anyway. Each phrase is cleaned and loses template openings and
labels (`evidence.cleaning.strip_summary_prefix`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evidence.assemble import select_text
from evidence.cleaning import MAX_CLEAN_CHARACTERS, strip_summary_prefix
from evidence.rows import TEXT_FIELDS
from evidence.schema import RawText
from offline.summaries.prompt import Answer

MAX_OCR_CHARACTERS = 240
MAX_SPEECH_CHARACTERS = 160
_SEPARATOR = "; "


def summary_of_answer(answer: Answer, text: RawText) -> str:
    """Return the summary that an answer of the model makes, "" if it says nothing."""
    if answer.prose:
        return strip_summary_prefix(answer.prose)
    parts: tuple[Iterable[str], ...] = (
        answer.objects,
        answer.search_intents,
        (answer.product_use,),
        answer.ocr_text,
        answer.speech_cues,
        (answer.scene,),
    )
    return _joined([phrase for part in parts for phrase in part], text)


def summary_of_texts(text: RawText, screen: Sequence[str], speech: str) -> str:
    """Return a summary without a model: the other text fields, then text on screen, then speech.

    Args:
        text: the platform's text fields, uncleaned.
        screen: the lines on screen.
        speech: the speech text.
    """
    fields = [getattr(text, name) or "" for name in TEXT_FIELDS]
    lines, left = [], MAX_OCR_CHARACTERS
    for line in screen:
        if len(line) <= left:
            lines.append(line)
            left -= len(line)
    return _joined([*fields, *lines, _first_words(speech, MAX_SPEECH_CHARACTERS)], text)


def _joined(phrases: Sequence[str], text: RawText) -> str:
    """Return the cleaned phrases that say something new, as far as the longest summary goes."""
    said = select_text(text).casefold()
    kept: list[str] = []
    length = 0
    for phrase in phrases:
        cleaned = strip_summary_prefix(phrase)
        if not cleaned or cleaned.casefold() in said:
            continue
        length += len(cleaned) + len(_SEPARATOR)
        if length > MAX_CLEAN_CHARACTERS and kept:
            break
        kept.append(cleaned)
        said += "\n" + cleaned.casefold()
    return strip_summary_prefix(_SEPARATOR.join(kept))


def _first_words(text: str, limit: int) -> str:
    """Return the first whole words of a text; of one without spaces, its first characters."""
    if len(text) <= limit:
        return text
    return text[: limit + 1].rpartition(" ")[0] or text[:limit]
