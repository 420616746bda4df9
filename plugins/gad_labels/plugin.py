"""The four label tokenizers of the paper's ablation: how much of the labels' shared subwords is left."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from gad_core.plugin import Codebook, CodebookError, LabelSpace, LabelTokenizer, TextTokenizer, hookimpl


class Text(LabelTokenizer):
    """The label's own subwords: labels that share words share tokens."""

    name: ClassVar[str] = "text"

    def codebook(
        self,
        spaces: Sequence[LabelSpace],
        text: TextTokenizer,
        *,
        lead: str = " ",
        avoid: frozenset[int] = frozenset(),
        seed: int = 0,
    ) -> Codebook:
        return Codebook(_subwords(spaces, text, lead), text.vocabulary)


class Redrawn(LabelTokenizer):
    """The labels' subwords with a random token, drawn without replacement, for each distinct `identity`."""

    @abstractmethod
    def identity(self, space: str, label: int, subword: int) -> object:
        """What a subword of a label is told apart by: equal ones become the same token."""

    def codebook(
        self,
        spaces: Sequence[LabelSpace],
        text: TextTokenizer,
        *,
        lead: str = " ",
        avoid: frozenset[int] = frozenset(),
        seed: int = 0,
    ) -> Codebook:
        subwords = _subwords(spaces, text, lead)
        Codebook(subwords, text.vocabulary)  # labels that collide as text would stay alike under any redrawing
        identities = {
            space: [[self.identity(space, label, subword) for subword in code] for label, code in enumerate(codes)]
            for space, codes in subwords.items()
        }
        distinct = list(dict.fromkeys(one for codes in identities.values() for code in codes for one in code))
        drawn = dict(zip(distinct, _drawn(len(distinct), text, avoid, seed), strict=True))
        codes = {
            space: tuple(tuple(drawn[one] for one in code) for code in codes) for space, codes in identities.items()
        }
        return Codebook(codes, text.vocabulary, readable=False)


class RandomConsistent(Redrawn):
    """Every distinct subword becomes one random token, the same everywhere: the meaning goes, the overlap stays."""

    name: ClassVar[str] = "random-consistent"

    def identity(self, space: str, label: int, subword: int) -> object:
        return subword


class Desynchronised(Redrawn):
    """The same subword becomes a different random token in every label: the overlap goes, the lengths stay."""

    name: ClassVar[str] = "desynchronised"

    def identity(self, space: str, label: int, subword: int) -> object:
        return space, label, subword


class UniqueToken(LabelTokenizer):
    """Every label is one new token: a row of its own in the output, a single decoding step."""

    name: ClassVar[str] = "unique-token"

    def codebook(
        self,
        spaces: Sequence[LabelSpace],
        text: TextTokenizer,
        *,
        lead: str = " ",
        avoid: frozenset[int] = frozenset(),
        seed: int = 0,
    ) -> Codebook:
        codes, row = {}, text.vocabulary
        for space in spaces:
            codes[space.name] = tuple((row + index,) for index in range(len(space)))
            row += len(space)
        return Codebook(codes, text.vocabulary, readable=False)


def _subwords(spaces: Sequence[LabelSpace], text: TextTokenizer, lead: str) -> dict[str, tuple[tuple[int, ...], ...]]:
    return {space.name: tuple(tuple(text.encode(lead + written)) for written in space.written) for space in spaces}


def _drawn(count: int, text: TextTokenizer, avoid: frozenset[int], seed: int) -> list[int]:
    """Different random ids that stand for text, none of them in `avoid`."""
    free = np.setdiff1d(np.arange(text.vocabulary), np.array(sorted(text.special | avoid), dtype=np.int64))
    if len(free) < count:
        raise CodebookError(
            f"the labels need {count} different tokens and the vocabulary has {len(free)} to draw from",
            hint="use a backbone with a larger vocabulary, or the label tokenizer 'unique-token'",
        )
    return np.random.default_rng(seed).choice(free, size=count, replace=False).tolist()


@hookimpl
def gad_label_tokenizers() -> list[type[LabelTokenizer]]:
    return [Text, RandomConsistent, Desynchronised, UniqueToken]
