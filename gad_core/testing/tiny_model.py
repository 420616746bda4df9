"""The weights of `tiny`: one attention layer, one two-layer network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from gad_core.contracts.modules import Transformer

UNWANTED = 7.0
"""Stands in states nobody said they would read: whoever reads them is found out."""


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

    def forward(
        self,
        embeddings: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        cache: Any = None,
        read: Tensor | None = None,
    ) -> Tensor:
        states = embeddings + self._place(positions)
        shape = (*states.shape[:2], self.heads, -1)
        query, key, value = (part.view(shape).transpose(1, 2) for part in self.mix(states).chunk(3, dim=-1))
        if cache is not None:
            cache.append((key, value))
            key, value = (torch.cat(parts, dim=2) for parts in zip(*cache, strict=True))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        states = states + self.out(mixed.transpose(1, 2).flatten(2))
        states = self.norm(states + self.network(states))
        if read is None:
            return states
        wanted = read[..., None].expand(-1, -1, self.hidden_size)
        return torch.full_like(states, UNWANTED).scatter(1, wanted, states.gather(1, wanted))

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
