"""The special tokens: their names in checkpoints and manifests, and their spelling in a tokenizer's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenizers import Tokenizer

from evidence.errors import RenderError

BOS_TOKEN = "<s>"
PAD_TOKEN = "<pad>"
EOS_TOKEN = "</s>"
UNK_TOKEN = "<unk>"
MASK_TOKEN = "<mask>"
SEP_TOKEN = "[SEP]"
REJECT_TOKEN = "[REJECT]"

QUERY_SEPARATOR = ";"
"""Between the queries of one field of a source; an ordinary byte of the vocabulary."""

SPECIAL_TOKENS: Mapping[str, str] = MappingProxyType(
    {
        "bos": BOS_TOKEN,
        "pad": PAD_TOKEN,
        "eos": EOS_TOKEN,
        "unk": UNK_TOKEN,
        "mask": MASK_TOKEN,
        "sep": SEP_TOKEN,
        "reject": REJECT_TOKEN,
    }
)
"""Name to spelling, in the order of the ids 0 to 6 that a new tokenizer gives them."""


def special_token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the id of every special token by its name, {"bos": 0, ...}.

    Raises:
        RenderError: the tokenizer lacks one of them.
    """
    ids: dict[str, int] = {}
    for name, token in SPECIAL_TOKENS.items():
        token_id = tokenizer.token_to_id(token)
        if token_id is None:
            raise RenderError(f"the tokenizer has no {token}; train one with `onebar train tokenizer`")
        ids[name] = token_id
    return ids
