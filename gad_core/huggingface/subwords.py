"""Text to subword ids and back: the text tokenizer of every backbone that has a `tokenizers` file."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from gad_core.contracts.components import TextTokenizer
from gad_core.errors import BackboneError


class SubwordText(TextTokenizer):
    """A `tokenizers.Tokenizer` beside an embedding matrix of `vocabulary` rows.

    What is encoded is text and nothing else: `<|eot_id|>` in a label becomes its letters, never the special token.
    Raises `BackboneError` when the tokenizer knows tokens that the matrix has no row for.
    """

    def __init__(self, tokenizer: Tokenizer, *, vocabulary: int, bos: int | None, eos: int) -> None:
        known = set(tokenizer.get_vocab(with_added_tokens=False).values())
        if (known and max(known) >= vocabulary) or eos >= vocabulary:
            raise BackboneError(
                f"the tokenizer has {max([*known, eos]) + 1} tokens and the model {vocabulary} embeddings",
                hint="take tokenizer and weights from the same checkpoint",
            )
        added = set(tokenizer.get_added_tokens_decoder())
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True
        self.vocabulary, self.bos, self.eos = vocabulary, bos, eos
        self.special = frozenset(token for token in range(vocabulary) if token in added or token not in known)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; no special token is added."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens have none."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)
