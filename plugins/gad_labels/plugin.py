"""The four label tokenizers of the paper's ablation: how much of the labels' shared subwords is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from gad_core.contracts import LabelTokenizer, TextTokenizer
from gad_core.errors import CodebookError
from gad_core.hookspecs import hookimpl
from gad_core.values import Codebook, LabelSpace


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


class RandomConsistent(LabelTokenizer):
    """Every distinct subword becomes one random token, the same everywhere: the meaning goes, the overlap stays."""

    name: ClassVar[str] = "random-consistent"

    def codebook(
        self,
        spaces: Sequence[LabelSpace],
        text: TextTokenizer,
        *,
        lead: str = " ",
        avoid: frozenset[int] = frozenset(),
        seed: int = 0,
    ) -> Codebook:
        return _redrawn(spaces, text, lead, avoid, seed, lambda space, label, subword: subword)


class Desynchronised(LabelTokenizer):
    """The same subword becomes a different random token in every label: the overlap goes, the lengths stay."""

    name: ClassVar[str] = "desynchronised"

    def codebook(
        self,
        spaces: Sequence[LabelSpace],
        text: TextTokenizer,
        *,
        lead: str = " ",
        avoid: frozenset[int] = frozenset(),
        seed: int = 0,
    ) -> Codebook:
        return _redrawn(spaces, text, lead, avoid, seed, lambda space, label, subword: (space, label, subword))


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


def _redrawn(
    spaces: Sequence[LabelSpace],
    text: TextTokenizer,
    lead: str,
    avoid: frozenset[int],
    seed: int,
    identity: Callable[[str, int, int], object],
) -> Codebook:
    """The subword codes with a random token, drawn without replacement, for each distinct `identity`."""
    subwords = _subwords(spaces, text, lead)
    Codebook(subwords, text.vocabulary)  # labels that collide as text would stay alike under any redrawing
    identities = dict.fromkeys(
        identity(space, label, subword)
        for space, codes in subwords.items()
        for label, code in enumerate(codes)
        for subword in code
    )
    free = np.setdiff1d(np.arange(text.vocabulary), np.array(sorted(text.special | avoid), dtype=np.int64))
    if len(free) < len(identities):
        raise CodebookError(
            f"the labels need {len(identities)} different tokens and the vocabulary has {len(free)} to draw from",
            hint="use a backbone with a larger vocabulary, or the label tokenizer 'unique-token'",
        )
    drawn = np.random.default_rng(seed).choice(free, size=len(identities), replace=False)
    token = dict(zip(identities, map(int, drawn), strict=True))
    codes = {
        space: tuple(
            tuple(token[identity(space, label, subword)] for subword in code) for label, code in enumerate(codes)
        )
        for space, codes in subwords.items()
    }
    return Codebook(codes, text.vocabulary, readable=False)


@hookimpl
def gad_label_tokenizers() -> list[type[LabelTokenizer]]:
    return [Text, RandomConsistent, Desynchronised, UniqueToken]
