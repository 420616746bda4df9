"""The real Llama-3 tokenizer, where `llama-models` (install it with --no-deps) and `tiktoken` are there: the texts
of the paper, laid out segment by segment, are the tokens of the whole text."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest

from gad_core.huggingface.subwords import SubwordText

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


@cache
def llama3() -> SubwordText:
    found = importlib.util.find_spec("llama_models")
    if found is None or found.origin is None or importlib.util.find_spec("tiktoken") is None:
        pytest.skip("llama-models and tiktoken are not installed")
    from transformers.convert_slow_tokenizer import TikTokenConverter

    specials = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_{number}|>" for number in range(254))]
    model = Path(found.origin).parent / "llama3" / "tokenizer.model"
    fast = TikTokenConverter(vocab_file=str(model), pattern=PATTERN, extra_special_tokens=specials).converted()
    return SubwordText(fast, vocabulary=128256, bos=128000, eos=128009)


def test_its_size() -> None:
    text = llama3()
    assert text.vocabulary == 128256
    assert text.encode("Hello world") == [9906, 1917]


@pytest.mark.parametrize(
    "segments",
    [
        ["What is the action in the last frame?\n"],
        ["\nAssistant:", " clean and jerk", ",", " cliff diving"],
        ["\nAssistant:", " background"],
        ["Format your answer concisely. No extra text output.\n["],
        ["]\n", "Assistant:", " Crop and fold paper.", " Put on hair extensions."],
        ["\nAssistant:", " Install the tv set.", " Replace cd drive with ssd."],
    ],
    ids=repr,
)
def test_segment_by_segment_is_the_whole_text(segments: list[str]) -> None:
    text = llama3()
    assert [token for segment in segments for token in text.encode(segment)] == text.encode("".join(segments))


def test_what_the_layout_relies_on() -> None:
    text = llama3()
    for single in (" background", ",", "]\n", "\n"):
        assert len(text.encode(single)) == 1, single
