"""A backbone small enough for a property test: one attention layer, a word for a token, no files.

Not a stand-in for a language model in any experiment; it obeys the contract exactly and runs in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from gad_core.contracts.components import Backbone, TextTokenizer

if TYPE_CHECKING:
    from gad_core.contracts.modules import Transformer

PIECES = re.compile(r" ?\w+| ?[^\w\s]|\s+")


class WordTokenizer:
    """Words with the space before them, single marks, white space; an unknown word is spelt out by character."""

    def __init__(self, texts: Sequence[str], spare: int = 64) -> None:
        words = sorted({piece for text in texts for piece in PIECES.findall(text)})
        characters = sorted({character for text in texts for character in text} | set(map(chr, range(32, 127))))
        self._pieces = ["<bos>", "<eos>", *dict.fromkeys(characters + words)]
        self._pieces += [f"<{number}>" for number in range(spare)]
        self._ids = {piece: index for index, piece in enumerate(self._pieces)}
        self.vocabulary = len(self._pieces)
        self.bos: int | None = 0
        self.eos = 1
        self.special = frozenset({0, 1})

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; raises `KeyError` for a character seen nowhere."""
        ids: list[int] = []
        for piece in PIECES.findall(text):
            ids += [self._ids[piece]] if piece in self._ids else [self._ids[character] for character in piece]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special ones left out."""
        return "".join(self._pieces[token] for token in ids if token not in self.special)


class Tiny(Backbone):
    """One random attention layer over words: for the tests of other components."""

    name: ClassVar[str] = "tiny"
    hidden: int = Field(32, ge=4, multiple_of=4, description="width of the hidden states")

    def text(self, texts: Sequence[str]) -> WordTokenizer:
        return WordTokenizer(texts)

    def build(self, text: TextTokenizer, seed: int) -> Transformer:
        import torch

        from gad_core.testing.tiny_model import TinyTransformer

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return TinyTransformer(text.vocabulary, self.hidden)
