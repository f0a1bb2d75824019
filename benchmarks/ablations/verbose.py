"""The verbose prompt that Table 4, block 2, compares the compact schema with: the evidence as a sentence.

The prompt takes the place of the text, and the other fields are empty. So the stages, the renderer and beam search stay
as they are. There is no entry between separators in such a source, so the pointer has nothing to point at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer
from tqdm import tqdm

from evidence.render import RenderBudgets, Renderer
from evidence.rows import QUERY_FIELDS, TEXT_FIELDS, evidence_of_row
from evidence.schema import Evidence, RawText

VERBOSE_BUDGETS = RenderBudgets(text=122, summary=0, anchors=0, histories=0, personal=0, max_source_tokens=128)
"""The whole source is one text."""

FIELD_BUDGETS = RenderBudgets(text=14, summary=16, anchors=20, histories=20, personal=10, max_source_tokens=86)
"""What each field may take, so that the words around them fit too."""

_SPLITS = ("train", "valid")


def verbose_prompt(evidence: Evidence, renderer: Renderer) -> str:
    """Return the evidence as an instruction; each field is cut to its budget.

    Args:
        evidence: of one video and viewer.
        renderer: with FIELD_BUDGETS.
    """
    cut = renderer.read(renderer.render(evidence).token_ids)
    parts = (
        ("the title of the video is", cut.text),
        ("the video shows", cut.summary),
        ("people who watch similar videos search for", ", ".join(cut.anchors)),
        ("people who watch this video search for", ", ".join(cut.histories)),
        ("this viewer searched before for", ", ".join(cut.personal)),
    )
    said = ". ".join(f"{words} {value}" for words, value in parts if value)
    return f"write the search query of a viewer of a short video. {said}."


def prompt_renderer(tokenizer: Tokenizer) -> Renderer:
    """Return the renderer that cuts the fields of a prompt."""
    return Renderer(tokenizer, FIELD_BUDGETS)


def as_text(evidence: Evidence, renderer: Renderer) -> RawText:
    """Return the prompt in the place of the video's own text."""
    return RawText(caption=verbose_prompt(evidence, renderer))


def write_verbose(examples: Path, tokenizer: Tokenizer, out: Path) -> None:
    """Write the training and validation examples of a folder with prompts in the place of their evidence."""
    renderer = prompt_renderer(tokenizer)
    out.mkdir(parents=True, exist_ok=True)
    for split in _SPLITS:
        name = f"examples_{split}.parquet"
        source = pq.ParquetFile(examples / name)
        total = source.metadata.num_rows
        with (
            pq.ParquetWriter(out / f"{name}.partial", source.schema_arrow) as writer,
            tqdm(total=total, desc=f"prompts of {name}", unit="ex", mininterval=2) as bar,
        ):
            for record in source.iter_batches(batch_size=4096):
                rows = [_verbose_row(row, renderer) for row in record.to_pylist()]
                writer.write_batch(pa.RecordBatch.from_pylist(rows, source.schema_arrow))
                bar.update(len(rows))
        (out / f"{name}.partial").replace(out / name)


def _verbose_row(row: Mapping[str, Any], renderer: Renderer) -> dict[str, Any]:
    text = as_text(evidence_of_row(row), renderer)
    fields = {name: getattr(text, name) for name in TEXT_FIELDS}
    return {**row, **fields, "summary": None, **{name: [] for name in QUERY_FIELDS}}
