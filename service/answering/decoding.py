"""Constraints on decoding: options and logits processors, from the settings, the bundle and two lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evidence.term_list import Term, as_term
from generation.bundle import Bundle
from generation.constraints.prohibited import ProhibitedPhrases
from generation.constraints.query_file import load_query_set
from generation.errors import ConstraintError, OptionsError
from generation.logits_processors import LogitsProcessor
from generation.options import GenerationOptions
from service.errors import ConfigurationError
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class DecodingConstraints:
    """Options and constraints, built once and shared by all requests.

    Attributes:
        options: of every generation.
        processors: of every generation, used only in the engine's thread.
        prohibited_phrases: number of terms that decoding cannot generate; 0 if it is off.
        query_set: number of queries to which decoding is restricted; 0 if it is not restricted.
        version: 12 hex digits of a hash of both lists, not of the options; None without a list.
    """

    options: GenerationOptions
    processors: tuple[LogitsProcessor, ...] = ()
    prohibited_phrases: int = 0
    query_set: int = 0
    version: str | None = None

    def to_wire(self) -> dict[str, int]:
        """Return the constraints in force (``wire.ConstraintsInForce``)."""
        return {
            "prohibited_phrases": self.prohibited_phrases,
            "query_set": self.query_set,
            "min_new_tokens": self.options.min_new_tokens,
            "no_repeat_ngram_size": self.options.no_repeat_ngram_size,
        }


def load_decoding_constraints(
    settings: Settings, bundle: Bundle, terms: Sequence[tuple[str, str] | Term]
) -> DecodingConstraints:
    """Build the constraints that the settings ask for.

    Args:
        settings: the whole tree.
        bundle: provides the tokenizer and the default options.
        terms: the prohibited terms; the policy filters by the same ones.

    Raises:
        ConfigurationError: a list cannot be used, or the options contradict each other.
    """
    decoding = settings.decoding
    processors: list[LogitsProcessor] = []
    digest = hashlib.blake2b(digest_size=6)
    phrases = queries = 0
    try:
        given = {
            name: value
            for name in ("min_new_tokens", "no_repeat_ngram_size")
            if (value := getattr(decoding, name)) is not None
        }
        options = replace(bundle.generation, **given)
        if options.no_repeat_ngram_size == 1 and bundle.special_tokens.decoder_start == bundle.special_tokens.eos:
            raise OptionsError(
                "no_repeat_ngram_size 1 forbids the token that ends a query, because the decoder of this bundle starts "
                "with it; give 0, or 2 or more"
            )
        if terms and decoding.prohibited_terms:
            prohibited = ProhibitedPhrases.of_bundle(terms, bundle)
            processors.append(prohibited)
            phrases = len(prohibited)
            digest.update(repr(sorted(as_term(term)[1:] for term in terms)).encode())
        if settings.query_set:
            query_set = load_query_set(settings.query_set, bundle)
            processors.append(query_set)
            queries = len(query_set)
            digest.update(b"\0" + _sha256(settings.query_set))
    except OptionsError as error:
        raise ConfigurationError(f"ONEBAR_DECODING__… cannot be used with this bundle: {error}.") from error
    except ConstraintError as error:
        raise ConfigurationError(f"{error}.") from error
    return DecodingConstraints(options, tuple(processors), phrases, queries, digest.hexdigest() if processors else None)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
