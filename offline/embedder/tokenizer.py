"""The vocabulary of the static kind: byte-level BPE, learnt from the texts of the logs.

It is one of its own, larger than the generator's: the average of token vectors ignores the order of tokens, so a word
that is one token keeps its meaning, while the pieces of a split word do not.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

VOCABULARY_SIZE = 8192
_MIN_FREQUENCY = 2


def learn_tokenizer(texts: Iterable[str], vocabulary_size: int = VOCABULARY_SIZE) -> Tokenizer:
    """Learn the merges from `texts`. The same texts give the same tokenizer, byte for byte.

    Upper and lower case are one. Cleaning has put texts into NFKC already; here it could make a text 18 times as long.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=_MIN_FREQUENCY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return tokenizer
