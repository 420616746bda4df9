"""The codes of a label space as a trie: what may follow what, so that decoding can only end in a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Node:
    """A prefix of codes: the token that leads here, the label that ends here, and what may follow."""

    token: int
    parent: int
    depth: int
    label: int | None = None
    children: dict[int, int] = field(default_factory=dict)


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

    def ancestors(self, place: int) -> list[int]:
        """The nodes above `place`, the root left out, nearest first."""
        nodes = []
        place = self.nodes[place].parent
        while place > 0:
            nodes.append(place)
            place = self.nodes[place].parent
        return nodes
