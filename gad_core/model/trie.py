"""The codes of a label space as a trie: what may follow what, so that decoding can only end in a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass
class Node:
    """A prefix of codes: the token that leads here, the label that ends here, and what may follow."""

    token: int
    parent: int
    depth: int
    label: int | None = None
    children: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrays:
    """A trie of N nodes: each one's parent, token, depth and label (-1: none), (N,); `chain` (N, depth) holds a node
    and those above it, nearest first, filled up with the root, 0."""

    parent: np.ndarray
    token: np.ndarray
    depth: np.ndarray
    label: np.ndarray
    chain: np.ndarray


class Trie:
    """Prefix tree of codes. `nodes[0]` is the root (nothing written yet); a parent stands before its children."""

    def __init__(self, codes: Sequence[tuple[int, ...]]) -> None:
        self.nodes = [Node(token=-1, parent=-1, depth=0)]
        self.ends: list[int] = []
        for label, code in enumerate(codes):
            place = 0
            for token in code:
                place = self._child(place, token)
            self.nodes[place].label = label
            self.ends.append(place)

    def _child(self, place: int, token: int) -> int:
        known = self.nodes[place].children.get(token)
        if known is None:
            known = self.nodes[place].children[token] = len(self.nodes)
            self.nodes.append(Node(token=token, parent=place, depth=self.nodes[place].depth + 1))
        return known

    def opened_by_another(self) -> list[int]:
        """The labels whose code opens the code of another label."""
        return [label for label, place in enumerate(self.ends) if self.nodes[place].children]

    @cached_property
    def arrays(self) -> Arrays:
        """The same tree as arrays, for work on all nodes at once."""
        nodes = self.nodes
        parent = np.array([node.parent for node in nodes])
        depth = np.array([node.depth for node in nodes])
        chain = np.zeros((len(nodes), max(1, int(depth.max()))), dtype=np.int64)
        chain[:, 0] = np.arange(len(nodes))
        for step in range(1, chain.shape[1]):
            chain[:, step] = np.maximum(parent[chain[:, step - 1]], 0)
        return Arrays(
            parent=parent,
            token=np.array([node.token for node in nodes]),
            depth=depth,
            label=np.array([-1 if node.label is None else node.label for node in nodes]),
            chain=chain,
        )
