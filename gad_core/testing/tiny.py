"""A backbone small enough for a property test: one attention layer, a word for a token, no files.

Not a stand-in for a language model in any experiment; it obeys the contract exactly and runs in milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from gad_core.contracts import Backbone, TextTokenizer
from gad_core.modules import Transformer

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


class TinyTransformer(Transformer):
    """Masked attention over embeddings with sinusoidal positions, then a two-layer network."""

    def __init__(self, vocabulary: int, hidden_size: int = 32, heads: int = 2) -> None:
        super().__init__()
        self.vocabulary, self.hidden_size, self.heads = vocabulary, hidden_size, heads
        self.embedding = nn.Embedding(vocabulary, hidden_size)
        self.mix = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.network = nn.Sequential(
            nn.Linear(hidden_size, 2 * hidden_size), nn.GELU(), nn.Linear(2 * hidden_size, hidden_size)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocabulary, bias=False)
        self.logit_rows = 0
        """How many states `logits` has been asked for: tests read it."""

    def embed(self, ids: Tensor) -> Tensor:
        return self.embedding(ids)

    def forward(self, embeddings: Tensor, mask: Tensor | None, positions: Tensor, cache: Any = None) -> Tensor:
        states = embeddings + self._place(positions)
        shape = (*states.shape[:2], self.heads, -1)
        query, key, value = (part.view(shape).transpose(1, 2) for part in self.mix(states).chunk(3, dim=-1))
        if cache is not None:
            cache.append((key, value))
            key, value = (torch.cat(parts, dim=2) for parts in zip(*cache, strict=True))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        states = states + self.out(mixed.transpose(1, 2).flatten(2))
        return self.norm(states + self.network(states))

    def _place(self, positions: Tensor) -> Tensor:
        rate = torch.exp(
            torch.arange(0, self.hidden_size, 2, device=positions.device) * (-math.log(1e4) / self.hidden_size)
        )
        angle = positions[..., None] * rate
        return torch.cat([angle.sin(), angle.cos()], dim=-1)

    def logits(self, states: Tensor) -> Tensor:
        self.logit_rows += len(states)
        return self.lm_head(states)

    def make_cache(self) -> Any:
        return []

    def adapt(self, *, lm_head: bool) -> None:
        self.lm_head.requires_grad_(lm_head)


class Tiny(Backbone):
    """One random attention layer over words: for the tests of other components."""

    name: ClassVar[str] = "tiny"
    hidden: int = Field(32, ge=4, multiple_of=4, description="width of the hidden states")

    def text(self, texts: Sequence[str]) -> WordTokenizer:
        return WordTokenizer(texts)

    def build(self, text: TextTokenizer, seed: int) -> TinyTransformer:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return TinyTransformer(text.vocabulary, self.hidden)
