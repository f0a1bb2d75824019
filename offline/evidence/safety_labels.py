"""Which videos are known to be unsafe, and since which day. `[REJECT]` targets are made from them (paper, 3.4.1).

There are two sources: the prohibited terms, which are searched in the text of every video as soon as it appears, and
the safety review, which covers some of the videos, each on a certain day.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from evidence.rows import TEXT_FIELDS
from evidence.safety import ProhibitedTerms
from evidence.term_list import load_terms
from offline.arrays import BoolArray, IntArray
from offline.logs.coded import Logs

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class SafetyLabels:
    """What is known of the safety of every video.

    Attributes:
        by_rule: bool[videos], a text field or the summary contains a prohibited term.
        unsafe_since: int64[videos], the day of the review with the verdict unsafe; NEVER without one.
    """

    by_rule: BoolArray
    unsafe_since: IntArray

    def by_review(self, before_day: int) -> BoolArray:
        """Return bool[videos]: a review before `before_day` had the verdict unsafe."""
        return self.unsafe_since < before_day

    def known(self, before_day: int) -> BoolArray:
        """Return bool[videos]: unsafe by rule, or by a review before `before_day`."""
        return self.by_rule | self.by_review(before_day)


def label_videos(logs: Logs, terms: ProhibitedTerms) -> SafetyLabels:
    """Search the prohibited terms in every video, and collect the reviews."""
    unsafe_since = np.full(logs.num_photos, NEVER)
    verdicts = logs.reviews
    np.minimum.at(unsafe_since, verdicts.photo[verdicts.unsafe], verdicts.day[verdicts.unsafe])
    return SafetyLabels(_find_terms(logs.videos, terms), unsafe_since)


def read_terms(dataset: Path, terms_path: Path | None) -> ProhibitedTerms:
    """Read the prohibited terms: the given file, else `prohibited_terms.tsv` in the dataset, else none.

    Raises:
        TermListError: the file cannot be read (evidence.errors).
    """
    if terms_path is None:
        terms_path = dataset / "prohibited_terms.tsv"
        if not terms_path.is_file():
            return ProhibitedTerms(())
    return ProhibitedTerms(load_terms(terms_path))


def _find_terms(videos: pa.Table, terms: ProhibitedTerms) -> BoolArray:
    """Return bool[videos]. Each field is searched separately, so a term is not found across two of them."""
    flagged = np.zeros(videos.num_rows, bool)
    if not len(terms):
        return flagged
    for name in (*TEXT_FIELDS, "summary"):
        for row, text in enumerate(videos[name].to_pylist()):
            if text and not flagged[row]:
                flagged[row] = terms.find(text) is not None
    return flagged
