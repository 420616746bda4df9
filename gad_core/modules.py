"""The two contracts that are torch modules: a language model, and the trainable part of a head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from gad_core.batch import Batch
    from gad_core.language import LanguageModel


class Transformer(nn.Module, ABC):
    """A causal language model seen as three functions. Implementations wrap any library's model."""

    hidden_size: int
    vocabulary: int
    """Rows of the embedding matrix, equal to the tokenizer's `vocabulary`."""

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of token ids: (…,) int64 → (…, H)."""

    @abstractmethod
    def forward(self, embeddings: Tensor, mask: Tensor | None, positions: Tensor, cache: Any = None) -> Tensor:
        """Hidden states after the final norm: (B, L, H) → (B, L, H).

        `mask` is (B, 1, L, C + L) bool, true where a token may look (C tokens are in the cache), or None for plain
        causal attention. `positions` is (B, L) int64. With a `cache` made by `make_cache` the keys and values of these
        tokens are appended to it.
        """

    @abstractmethod
    def logits(self, states: Tensor) -> Tensor:
        """Next-token logits of hidden states: (N, H) → (N, vocabulary)."""

    @abstractmethod
    def make_cache(self) -> Any:
        """An empty cache of keys and values."""

    @abstractmethod
    def adapt(self, *, lm_head: bool) -> None:
        """Freezes the base weights and attaches what is trained (LoRA, or the weights themselves). `lm_head` tells
        whether the output projection is used at all: what is not used must not be trainable."""


class HeadModule(nn.Module, ABC):
    """The trainable part of a head. It reads hidden states at slots and sees neither transformer nor adapters."""

    @abstractmethod
    def loss(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Mapping[str, Tensor]:
        """Named scalar losses to be summed, each a mean over the batch's queries (`classification`, `generation`, …).
        `states` is (B, L, H)."""

    @abstractmethod
    def predict(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Tensor:
        """Scores (Q, C) of every query's labels, higher is better, -inf beyond the query's own label space."""
