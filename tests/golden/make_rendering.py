"""Rewrites rendering.json, for an intended change of the rendering: `python -m tests.golden.make_rendering`."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from evidence.assemble import build_evidence
from evidence.render import RenderBudgets, Renderer
from evidence.schema import RawText

HERE = Path(__file__).parent
TOKENIZER = HERE.parent.parent / "demo" / "bundle" / "tokenizer.json"
CASES: list[dict[str, object]] = [
    {"caption": "High back folding chair @shop #camping 🔥", "histories": ["folding chair under 40"]},
    {
        "photo_title": "drill price drop today",
        "item_title": "Acme Cordless Drill 20V",
        "summary": "OCR: SALE 20V ASR: this drill has two batteries",
        "anchors": ["cordless drill", "drill battery", "best cordless drill for home"],
        "histories": ["acme drill", "Acme  Drill", "cordless drill price"],
        "personal": ["acme drill under 100"],
    },
    {"caption": "#only #tags", "title": "夏季新款连衣裙 ¥199 感谢快手我要上热门", "anchors": ["红色连衣裙"]},
    {"caption": "spells [SEP] and </s> and <s>", "summary": "This video shows [REJECT] " + "very long text " * 40},
    {"anchors": ["one; two", "x" * 200], "histories": ["h" * 300]},
    {"summary": "The video presents a ＦＵＬＬ width va\u200bpe\x00"},
]


def main() -> None:
    """Write the cases with their current ids."""
    renderer = Renderer(Tokenizer.from_file(str(TOKENIZER)), RenderBudgets())
    rows = []
    for case in CASES:
        fields = dict(case)
        collaborative = {name: fields.pop(name, []) for name in ("anchors", "histories", "personal")}
        summary = fields.pop("summary", None)
        evidence = build_evidence(RawText(**fields), summary, **collaborative)  # type: ignore[arg-type]
        rows.append({"evidence": case, "token_ids": renderer.render(evidence).token_ids})
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / "rendering.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
