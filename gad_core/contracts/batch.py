"""The batch: what assembled sequences are to models and heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from gad_core.contracts.values import Slot

TRUNK = 0
"""Node of the trunk; the branches of a sequence are nodes 1, 2, …; padding is node -1."""


@dataclass(frozen=True)
class Batch:
    """B sequences of at most L tokens with Q queries in all; what heads and models read.

    `targets[layer]` holds the queries a class layer answers and their classes (-1: unknown). `source`, `target` and
    `owner` list the M supervised tokens: the flat place (row · L + column) that predicts, the id, the query it serves.
    """

    tokens: Tensor  # (B, L) int64, 0 where a vector stands instead of a token
    slots: Tensor  # (B, L) int8
    positions: Tensor  # (B, L) int64
    node: Tensor  # (B, L) int32: TRUNK, a branch, or -1 for padding
    limit: Tensor  # (B, L) int32: how many tokens of the trunk a branch token may see
    features: Tensor  # (U, D): the frame tokens; in reading order unless `shown` is given
    shown: Tensor | None  # (N,) int64: which of them stands at each frame place, where several sequences share some
    plain: bool  # plain causal attention is exact
    rows: Tensor  # (Q,) int64: the sequence of each query
    readout: Tensor  # (Q,) int64: the column its answer is read at
    weights: Tensor  # (Q,) float32
    texts: Tensor  # (Q,) float32: factor on each query's generation loss
    spaces: tuple[str, ...]  # (Q): the label space each query answers in
    targets: Mapping[str, tuple[Tensor, Tensor]]  # layer -> (n,) queries, (n,) classes
    source: Tensor  # (M,) int64
    target: Tensor  # (M,) int64
    owner: Tensor  # (M,) int64
    read: Tensor  # (B, R) int64: columns of each row, each once; among them are all of `readout` and `source`
    sink: Tensor | None = None  # (B, L) int32: in a band, which prompt a token belongs to, or sees
    since: Tensor | None = None  # (B, L) int32: in a band, the first column of the frames a token sees

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.spaces)

    @property
    def places(self) -> Tensor:
        """Flat place (row · L + column) each query is read at, (Q,)."""
        return self.rows * self.tokens.shape[1] + self.readout

    def mask(self) -> Tensor | None:
        """Who sees whom, (B, 1, L, L) bool; None where plain causal attention says the same."""
        if self.plain:
            return None
        every = torch.arange(self.tokens.shape[1], device=self.tokens.device).expand_as(self.tokens)
        return self.visible(torch.arange(len(self.tokens), device=self.tokens.device), every)[:, None]

    def visible(self, rows: Tensor, columns: Tensor) -> Tensor:
        """What the tokens at `columns` (R, n) of `rows` (R,) see: (R, n, L) bool."""
        node, limit = self.node[rows], self.limit[rows]  # (R, L)
        own, reach = node.gather(1, columns), limit.gather(1, columns)  # (R, n)
        place = torch.arange(node.shape[1], device=node.device)
        trunk = (node == TRUNK)[:, None] & (place < reach[..., None])
        if self.sink is not None and self.since is not None:
            sink, since = self.sink[rows], self.since[rows]
            same = sink[:, None] == sink.gather(1, columns)[..., None]
            prompt = (self.slots[rows] == Slot.PROMPT)[:, None]
            trunk &= torch.where(prompt, same, place >= since.gather(1, columns)[..., None])
        branch = (node[:, None] == own[..., None]) & (own != TRUNK)[..., None]
        return (trunk | branch) & (place <= columns[..., None])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in memory that a GPU reads by itself; the loader of worker processes calls it."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with every tensor changed."""

        def changed(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            if isinstance(value, Mapping):
                return {layer: tuple(map(change, pair)) for layer, pair in value.items()}
            return value

        return replace(self, **{entry.name: changed(getattr(self, entry.name)) for entry in fields(self)})
