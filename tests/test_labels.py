"""Label tokenizers: codes are injective, can be read back, and keep or lose the overlap as they say."""

from __future__ import annotations

from itertools import combinations

import pytest
from gad_labels.plugin import Desynchronised, RandomConsistent, Text, UniqueToken
from gad_llama.plugin import LlamaTiny
from hypothesis import given
from hypothesis import strategies as st

from gad_core.contracts.components import LabelTokenizer
from gad_core.contracts.values import Codebook, LabelSpace
from gad_core.errors import CodebookError
from gad_core.testing.tiny import WordTokenizer

TOKENIZERS = [Text(), RandomConsistent(), Desynchronised(), UniqueToken()]
WORDS = st.sampled_from(["cut", "wash", "tomato", "onion", "the", "knife", "über", "2"])
LABELS = st.lists(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), min_size=2, max_size=8, unique=True)


def word_tokenizer(labels: list[str], spare: int = 200) -> WordTokenizer:
    return WordTokenizer([" " + label for label in labels], spare)


def overlaps(codes: tuple[tuple[int, ...], ...]) -> set[tuple[int, int]]:
    return {(a, b) for (a, x), (b, y) in combinations(enumerate(codes), 2) if set(x) & set(y)}


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
@given(labels=LABELS, seed=st.integers(0, 3))
def test_codes_are_injective_seeded_and_clean(tokenizer: LabelTokenizer, labels: list[str], seed: int) -> None:
    space, text = LabelSpace("action", tuple(labels)), word_tokenizer(labels)
    avoid = frozenset(text.encode(","))
    book = tokenizer.codebook([space], text, avoid=avoid, seed=seed)
    codes = book.codes["action"]
    assert len(set(codes)) == len(labels)
    assert [book.exact("action", code) for code in codes] == list(range(len(labels)))
    assert book.exact("action", ()) is None
    assert not {token for code in codes for token in code} & (text.special | avoid)
    assert tokenizer.codebook([space], text, avoid=avoid, seed=seed) == book
    assert all(token < text.vocabulary + book.new_rows for code in codes for token in code)


@given(labels=LABELS)
def test_what_each_keeps_of_the_overlap(labels: list[str]) -> None:
    space, text = LabelSpace("action", tuple(labels)), word_tokenizer(labels)
    books = {tokenizer.name: tokenizer.codebook([space], text, seed=1).codes["action"] for tokenizer in TOKENIZERS}
    plain = books["text"]
    assert overlaps(books["random-consistent"]) == overlaps(plain)
    assert overlaps(books["desynchronised"]) == overlaps(books["unique-token"]) == set()
    for name in ("random-consistent", "desynchronised"):
        assert [len(code) for code in books[name]] == [len(code) for code in plain]
        shapes = [[code.index(token) for token in code] for code in books[name]]
        assert shapes == [[code.index(token) for token in code] for code in plain]
    assert all(len(code) == 1 and code[0] >= text.vocabulary for code in books["unique-token"])


def test_several_spaces_share_the_draw_but_not_the_rows() -> None:
    spaces = [LabelSpace("action", ("cut tomato", "cut onion")), LabelSpace("goal", ("cut", "cook tomato"))]
    text = word_tokenizer(["cut tomato", "cut onion", "cook tomato"])
    consistent = RandomConsistent().codebook(spaces, text).codes
    assert consistent["action"][0][0] == consistent["goal"][0][0]
    unique = UniqueToken().codebook(spaces, text)
    assert unique.new_rows == 4
    assert not set(unique.codes["action"]) & set(unique.codes["goal"])


@pytest.mark.parametrize("tokenizer", [RandomConsistent(), Desynchronised()], ids=lambda tokenizer: tokenizer.name)
def test_a_vocabulary_too_small_is_said_so(tokenizer: LabelTokenizer) -> None:
    labels = [f"{verb} {noun}" for verb in "abcdefghijklmnopqrst" for noun in "abcdefghijklmnopqrst"]
    text = WordTokenizer([" a b c d e f g h i j k l m n o p q r s t"], spare=0)
    avoid = frozenset(range(2, text.vocabulary - 10))
    with pytest.raises(CodebookError, match=r"need \d+ different tokens"):
        tokenizer.codebook([LabelSpace("action", tuple(labels))], text, avoid=avoid)


def test_labels_that_collide_or_vanish() -> None:
    class Deaf(WordTokenizer):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.lower().replace("!", ""))

    text = Deaf([" cut", " CUT", " !", "!"])
    with pytest.raises(CodebookError, match="written alike"):
        Text().codebook([LabelSpace("action", ("cut", "CUT"))], text)
    with pytest.raises(CodebookError, match="no token at all"):
        Text().codebook([LabelSpace("action", ("cut", "!"))], text, lead="")
    with pytest.raises(CodebookError, match="written alike"):
        Desynchronised().codebook([LabelSpace("action", ("cut", "CUT"))], text)


def test_a_code_that_holds_the_joiner_is_refused() -> None:
    book = Codebook({"action": ((3, 4), (5,))}, vocabulary=10)
    book.refuse([9], "the end")
    with pytest.raises(CodebookError, match="label 0 of space 'action' contains the end"):
        book.refuse([4], "the end")


def test_a_byte_level_vocabulary_spells_everything() -> None:
    labels = ("cut tomato", "żółw", "切る", "a\tb")
    text = LlamaTiny(vocabulary=300).text([])
    codes = Text().codebook([LabelSpace("action", labels)], text).codes["action"]
    assert [text.decode(code) for code in codes] == [" " + label for label in labels]
