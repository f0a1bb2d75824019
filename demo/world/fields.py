"""The texts of a video, by its creator and the platform: noisy, often missing, each naming different parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from demo.world.catalogue import Catalogue
from demo.world.safety import TERMS, disguise
from demo.world.spec import Rates, WorldSpec
from demo.world.videos import Videos
from demo.world.vocabulary import ASPECTS, phrases
from evidence.rows import TEXT_FIELDS

PARTS = ("noun", "brand", "model", "feat", "feat2", "kind", "use", "aspect")
"""The parts that a text may name; bit k of a mask is PARTS[k]."""
FIELDS = (*TEXT_FIELDS, "summary")
_NAMED = {
    "caption": (0.54, 0.16, 0.05, 0.22, 0.05, 0.08, 0.15, 0.50),
    "photo_title": (0.60, 0.18, 0.06, 0.22, 0.05, 0.08, 0.10, 0.40),
    "title": (0.62, 0.20, 0.08, 0.22, 0.05, 0.10, 0.10, 0.35),
    "item_title": (1.00, 0.75, 0.45, 0.75, 0.35, 0.50, 0.35, 0.00),
    "summary": (0.94, 0.48, 0.28, 0.88, 0.45, 0.45, 0.55, 0.60),
}
_FIRST_NAME_SHARE = 0.5
_ROWS_AT_ONCE = 1 << 15
"""Videos whose texts exist as Python strings at the same time."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The texts of V videos.

    Attributes:
        texts: field name to V strings, null where the field is missing.
        masks: field name to int32[V], which PARTS the text names; 0 where it is missing.
    """

    texts: dict[str, pa.StringArray]
    masks: dict[str, NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one video, before anything is left out."""

    parts: dict[str, str]
    price: str
    author: str
    term: str
    trick: int


def make_fields(spec: WorldSpec, catalogue: Catalogue, videos: Videos, rng: np.random.Generator) -> Fields:
    """Write every text. Unsafe videos always have the field with the unsafe term; safe ones have at least one text."""
    rates, count = spec.rates, videos.count
    missing = {name: rng.random(count) < getattr(rates, f"missing_{name}") for name in FIELDS}
    missing["caption"] &= ~videos.unsafe.in_text
    missing["summary"] &= ~videos.unsafe.in_summary
    bare = np.logical_and.reduce([missing[name] for name in FIELDS])
    missing["caption"] &= ~bare
    named = {name: rng.random((count, len(PARTS))) < np.array(_NAMED[name]) for name in FIELDS}
    for name, table in named.items():
        table[:, PARTS.index("model")] &= table[:, PARTS.index("brand")]
        table[missing[name]] = False
    parts: dict[str, list[pa.StringArray]] = {name: [] for name in FIELDS}
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = range(start, min(start + _ROWS_AT_ONCE, count))
        texts: dict[str, list[str | None]] = {name: [] for name in FIELDS}
        for row in rows:
            words = _words_of(catalogue, videos, row, rng)
            for name in FIELDS:
                text = None
                if not missing[name][row]:
                    unsafe_here = (videos.unsafe.in_summary if name == "summary" else videos.unsafe.in_text)[row]
                    text, named[name][row] = _text(name, words, named[name][row], unsafe_here, rates, rng)
                texts[name].append(text)
        for name in FIELDS:
            parts[name].append(pa.array(texts[name], pa.string()))
    bits = (1 << np.arange(len(PARTS))).astype(np.int32)
    return Fields(
        texts={name: pa.concat_arrays(arrays) for name, arrays in parts.items()},
        masks={name: table @ bits for name, table in named.items()},
    )


def _text(
    name: str, words: _Words, mask: NDArray[np.bool_], unsafe_here: bool, rates: Rates, rng: np.random.Generator
) -> tuple[str, NDArray[np.bool_]]:
    """Return one text and the parts that it names."""
    if unsafe_here and name in ("caption", "summary"):
        return _unsafe_text(name, words, rates, rng), np.zeros_like(mask)
    if name == "summary":
        return _summary(words, mask, rates, rng), mask
    if name == "item_title":
        return _item_title(words, mask, rng), mask
    return _caption(name, words, mask, rates, rng)


def _words_of(catalogue: Catalogue, videos: Videos, row: int, rng: np.random.Generator) -> _Words:
    triggers = videos.triggers
    product = int(triggers.product[row])
    what = catalogue.types[catalogue.product_type[product]]
    lead = triggers.leading_words[triggers.leading[row]]
    first, second = catalogue.features[product]
    term = int(videos.unsafe.term[row])
    return _Words(
        parts={
            "noun": what.noun if rng.random() < _FIRST_NAME_SHARE else what.other_noun,
            "brand": catalogue.brand_names[catalogue.product_brand[product]],
            "model": catalogue.models[product],
            "feat": lead,
            "feat2": second if lead != second else first,
            "kind": catalogue.kinds[product],
            "use": catalogue.uses[product],
            "aspect": ASPECTS[triggers.aspect[row]],
        },
        price=f"{catalogue.product_price[product]:.2f}",
        author=videos.authors[videos.author[row]],
        term=TERMS[term][1] if term >= 0 else "",
        trick=int(videos.unsafe.trick[row]),
    )


def _pick(section: str, rng: np.random.Generator) -> str:
    options = phrases(section)
    return options[int(rng.integers(len(options)))]


def _subject(words: _Words, mask: NDArray[np.bool_]) -> str:
    """Return the parts of the product's name that `mask` allows, empty when there are none."""
    order = ("brand", "model", "feat", "feat2", "kind", "noun")
    return " ".join(words.parts[part] for part in order if mask[PARTS.index(part)])


def _caption(
    name: str, words: _Words, mask: NDArray[np.bool_], rates: Rates, rng: np.random.Generator
) -> tuple[str, NDArray[np.bool_]]:
    """Return a caption or a title: small talk, hashtags, promotion, and the allowed parts of the product's name."""
    subject = _subject(words, mask) or _pick("vague", rng)
    aspect = words.parts["aspect"] if mask[PARTS.index("aspect")] else ""
    pattern = _pick(f"hint_{aspect}" if aspect else "selling" if rng.random() < rates.selling else "plain", rng)
    mask = mask.copy()
    mask[PARTS.index("use")] |= "{use}" in pattern
    text = pattern.format(s=subject, use=words.parts["use"], price=words.price)
    if mask[PARTS.index("use")] and "{use}" not in pattern:
        text += f" for {words.parts['use']}"
    chance = rng.random(8)
    if chance[0] < rates.clickbait:
        text = f"{_pick('clickbait', rng)} {text}" if chance[1] < 0.5 else f"{text}, {_pick('clickbait', rng)}"
    if name == "caption":
        if chance[2] < rates.promotion:
            text += f"! {_pick('promo', rng)}"
        if chance[3] < rates.mention:
            text += f" @{words.author.replace(' ', '_').lower()}{int(rng.integers(100))}"
        if chance[4] < rates.url:
            text += f" https://shop.example/{int(rng.integers(1_000_000))}"
    if chance[5] < rates.hashtags:
        tags = _pick("tags", rng).split()
        chosen = [tags[i] for i in rng.choice(len(tags), int(rng.integers(1, 4)), replace=False)]
        if rng.random() < rates.noun_in_hashtags:
            chosen.append(words.parts["noun"].replace(" ", ""))
            mask[PARTS.index("noun")] = True
        text += "".join(f" #{tag}" for tag in chosen)
    if chance[6] < rates.emoji:
        text += " " + str(rng.choice(_pick("emoji", rng).split()))
    return (text.upper() if chance[7] < rates.shouting else text), mask


def _item_title(words: _Words, mask: NDArray[np.bool_], rng: np.random.Generator) -> str:
    """Return a title as merchants write it, with as many search words as possible."""
    text = _subject(words, mask).title()
    if mask[PARTS.index("use")]:
        text += f" for {words.parts['use'].title()}"
    extras = ("Free Shipping", "2026 New", "Hot Sale", "Official Store", "1 Pc")
    return f"{text} {extras[int(rng.integers(len(extras)))]}" if rng.random() < 0.6 else text


def _summary(words: _Words, mask: NDArray[np.bool_], rates: Rates, rng: np.random.Generator) -> str:
    """Return a summary as of a multimodal model, or of OCR and speech recognition."""
    has = dict(zip(PARTS, mask.tolist(), strict=True))
    parts = words.parts
    look = " ".join(parts[p] for p in ("feat", "feat2", "kind") if has[p])
    label = " ".join(parts[p] for p in ("brand", "model") if has[p])
    thing = f"{look} {parts['noun'] if has['noun'] else 'product'}".strip()
    use = f" for {parts['use']}" if has["use"] else ""
    if not has["aspect"] and rng.random() < rates.selling:
        text = _pick("seller_summaries", rng).format(s=" ".join(part for part in (label, thing) if part) + use)
        return f"{_pick('summary_prefixes', rng)} {text}." if rng.random() < 0.7 else f"{text}."
    if rng.random() < 0.3:
        said = f"{_pick('asr_openers', rng)} {thing}{use}"
        if has["aspect"]:
            said += f", {phrases('asr_' + parts['aspect'])[0]}"
        shown = label or (f"${words.price}" if rng.random() < 0.5 else "")
        return f"OCR: {shown} ASR: {said}" if shown else f"ASR: {said}"
    text = f"a {thing}{use}"
    if label:
        text += f", {label} on the label" if rng.random() < 0.5 else f" by {label}"
    if has["aspect"]:
        text += {
            "price": ", talks about the price",
            "review": ", gives a review",
            "showcase": ", close look at the design",
            "use": ", shows how it is used",
            "unboxing": ", unboxing",
        }[parts["aspect"]]
    elif rng.random() < 0.4:
        text += f" {_pick('scenes', rng)}"
    return f"{_pick('summary_prefixes', rng)} {text}." if rng.random() < 0.7 else f"{text}."


def _unsafe_text(name: str, words: _Words, rates: Rates, rng: np.random.Generator) -> str:
    """Return a caption or summary with the term of an unsafe video."""
    if name == "summary":
        text = _pick("seller_summaries", rng).format(s=words.term)
        return f"{_pick('summary_prefixes', rng)} {text}." if rng.random() < 0.7 else f"{text}."
    text = _pick("selling", rng).format(s=disguise(words.term, words.trick))
    if rng.random() < rates.hashtags:
        text += f" #{_pick('tags', rng).split()[0]}"
    return text + (" 🔥" if rng.random() < rates.emoji else "")
