"""The two contracts that are torch modules: a language model, and the trainable part of a head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from gad_core.errors import BackboneError

if TYPE_CHECKING:
    from gad_core.contracts.batch import Batch
    from gad_core.model.language import LanguageModel


class Ring(Protocol):
    """Preallocated keys and values, `size` slots a sequence, that are overwritten again and again.

    Call `at(places)` first: the next forward pass writes the keys and values of its n tokens to those slots. Its mask,
    (B, 1, n, size), is over all slots.
    """

    def at(self, places: Tensor, rows: Tensor | None = None) -> None:
        """Chooses the slots `places` (n,) that the next pass overwrites, in all sequences or in `rows` (B,) alone."""


class Transformer(nn.Module, ABC):
    """A causal language model seen as three functions. Implementations wrap any library's model."""

    hidden_size: int
    vocabulary: int
    """Rows of the embedding matrix, equal to the tokenizer's `vocabulary`."""
    positions: int = 1 << 30
    """How many position ids it knows."""

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of token ids: (…,) int64 → (…, H)."""

    @abstractmethod
    def forward(
        self,
        embeddings: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        cache: Any = None,
        read: Tensor | None = None,
    ) -> Tensor:
        """Hidden states after the final norm: (B, L, H) → (B, L, H).

        `mask` is (B, 1, L, C + L) bool, true where a token may look (C tokens are in the cache), or None for plain
        causal attention. `positions` is (B, L) int64. With a `cache` made by `make_cache` the keys and values of these
        tokens are appended to it. `read` (B, R) int64 are the columns of each row whose states are wanted, each once:
        elsewhere anything finite may stand, so that what only those states need can be left out. None: all of them.
        """

    @abstractmethod
    def logits(self, states: Tensor) -> Tensor:
        """Next-token logits of hidden states: (N, H) → (N, vocabulary)."""

    @abstractmethod
    def make_cache(self) -> Any:
        """An empty cache of keys and values."""

    def make_ring(self, size: int) -> Ring:
        """A cache of `size` places that are written again and again; for cached streams.

        Raises `BackboneError` unless the transformer has one.
        """
        raise BackboneError(
            "this backbone has no ring of keys and values", hint="stream with mode 'window', or use another backbone"
        )

    @abstractmethod
    def adapt(self, *, lm_head: bool) -> None:
        """Freezes the base weights and attaches what is trained (LoRA, or the weights themselves). `lm_head` tells
        whether the output projection is used at all: what is not used must not be trainable."""

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Where adapters can be folded into the weights they adapt, they are for a while: prediction is faster, and
        differs by rounding. Afterwards everything is bit-equal to before."""
        yield

    def use_fused_kernels(self) -> None:
        """Computes with fused GPU kernels from now on; results differ by rounding.

        Raises `BackboneError` unless the transformer has some and there is a GPU for them.
        """
        raise BackboneError("this backbone has no fused kernels", hint="remove `liger: true`")


class HeadModule(nn.Module, ABC):
    """The trainable part of a head. It reads hidden states at slots and sees neither transformer nor adapters."""

    reads_everywhere: bool = True
    """Whether it may read any state. False promises that it reads those at `Batch.read` alone, where queries are read
    and supervised tokens are predicted; the other states are then not made, and hold anything."""

    @abstractmethod
    def loss(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Mapping[str, Tensor]:
        """Named scalar losses to be summed, each a mean over the batch's queries (`classification`, `generation`, …).
        `states` is (B, L, H)."""

    @abstractmethod
    def predict(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Tensor:
        """Scores (Q, C) of every query's labels, higher is better, -inf beyond the query's own label space."""
