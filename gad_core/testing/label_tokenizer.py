"""What every label tokenizer keeps."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from gad_core.contracts.components import LabelTokenizer
from gad_core.contracts.values import Codebook, LabelSpace
from gad_core.errors import CodebookError
from gad_core.model.trie import Trie
from gad_core.testing.composition import check_works
from gad_core.testing.contract import ComponentContract, few
from gad_core.testing.strategies import WORDS, label_spaces
from gad_core.testing.tiny import WordTokenizer

TWO_SPACES = st.tuples(label_spaces("action"), label_spaces("goal", most=4))


class LabelTokenizerContract(ComponentContract):
    """A label tokenizer writes drawn labels in a vocabulary of words, then in compositions with gad's own heads."""

    kind = "labels"

    @few
    @given(spaces=TWO_SPACES, seed=st.integers(0, 3), lead=st.sampled_from([" ", ""]))
    def test_codes_tell_labels_apart(
        self, made: LabelTokenizer, spaces: tuple[LabelSpace, ...], seed: int, lead: str
    ) -> None:
        """Every label has a code of its own, with one token at least, that reads back as the label."""
        book = made.codebook(spaces, words(), lead=lead, seed=seed)
        assert set(book.codes) == {space.name for space in spaces}
        for space in spaces:
            codes = book.codes[space.name]
            assert len(codes) == len(space) == len(set(codes)) and all(codes)
            assert [book.exact(space.name, code) for code in codes] == list(range(len(space)))
            trie = Trie(codes)
            assert [spelt(trie, end) for end in trie.ends] == list(codes)

    @few
    @given(spaces=TWO_SPACES, seed=st.integers(0, 3))
    def test_codes_are_of_the_vocabulary_and_new_rows(
        self, made: LabelTokenizer, spaces: tuple[LabelSpace, ...], seed: int
    ) -> None:
        """No special id, none to avoid (here all but 60 of those that no label's text needs), none beyond the rows."""
        text = words()
        needed = {token for space in spaces for label in space.written for token in text.encode(" " + label)}
        spare = [token for token in range(text.vocabulary) if token not in needed | text.special]
        avoid = frozenset(spare[60:])
        book = made.codebook(spaces, text, avoid=avoid, seed=seed)
        tokens = {token for codes in book.codes.values() for code in codes for token in code}
        assert book.vocabulary == text.vocabulary
        assert not tokens & (text.special | avoid)
        assert min(tokens) >= 0 and max(tokens) < text.vocabulary + book.new_rows
        new = {token for token in tokens if token >= text.vocabulary}
        assert len(new) == book.new_rows, "rows beyond the vocabulary that no label uses"

    @few
    @given(spaces=TWO_SPACES, seed=st.integers(0, 3))
    def test_it_is_a_pure_function(self, made: LabelTokenizer, spaces: tuple[LabelSpace, ...], seed: int) -> None:
        """Equal arguments give equal codes, whatever was drawn elsewhere; global random states stay as they are."""
        first = made.codebook(spaces, words(), seed=seed)
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)
        before = global_states()
        assert made.codebook(spaces, words(), seed=seed) == first
        assert global_states() == before

    @few
    @given(spaces=TWO_SPACES, room=st.integers(0, 6))
    def test_a_vocabulary_too_small_is_said_so(
        self, made: LabelTokenizer, spaces: tuple[LabelSpace, ...], room: int
    ) -> None:
        """Either there are codes all the same, or a `CodebookError` says what to do."""
        text = words()
        free = [token for token in range(text.vocabulary) if token not in text.special]
        self.writes_or_refuses(made, spaces, text, avoid=frozenset(free[room:]))

    def test_labels_that_are_spelt_alike_are_refused(self, made: LabelTokenizer) -> None:
        """A tokenizer that takes two labels for one must not merge them silently."""
        self.writes_or_refuses(made, [LabelSpace("action", ("cut", "CUT", "wash"))], Deaf([" cut", " CUT", " wash"]))

    def writes_or_refuses(
        self,
        made: LabelTokenizer,
        spaces: Sequence[LabelSpace],
        text: WordTokenizer,
        avoid: frozenset[int] = frozenset(),
    ) -> None:
        """Different codes for different labels, or a `CodebookError` with a hint."""
        try:
            book = made.codebook(spaces, text, avoid=avoid)
        except CodebookError as error:
            told = error
        else:
            assert isinstance(book, Codebook)
            assert all(len(set(book.codes[space.name])) == len(space) for space in spaces)
            return
        assert told.message and told.hint

    @few
    @given(data=st.data())
    def test_it_works_in_compositions(self, made: LabelTokenizer, data: st.DataObject) -> None:
        """Heads that write train a step with it, and reach its labels in prediction."""
        check_works(self.compose(data, labels=made))


class Deaf(WordTokenizer):
    """Does not hear upper case."""

    def encode(self, text: str) -> list[int]:
        return super().encode(text.lower())


def words() -> WordTokenizer:
    """A tokenizer of all words that labels are drawn from, and 200 tokens to draw."""
    return WordTokenizer([f" {word}" for word in WORDS], spare=200)


def spelt(trie: Trie, place: int) -> tuple[int, ...]:
    """The tokens on the way to a node."""
    return tuple(trie.nodes[above].token for above in reversed(trie.arrays.chain[place]) if above)


def global_states() -> tuple[object, ...]:
    """The states of the random generators that everybody shares."""
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
