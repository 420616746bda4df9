"""The pytest plugin of gad: fixtures for tests of components. Registered as `pytest11`; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gad_core.testing import HOMES

if TYPE_CHECKING:
    from click.testing import Result

    from gad_core.testing.corpus import Memory
    from gad_core.testing.tiny import Tiny, WordTokenizer

pytest.register_assert_rewrite(*(f"gad_core.testing{home}" for home in set(HOMES.values()) if home.startswith(".")))


@pytest.fixture
def gad_memory() -> Memory:
    """A dataset in memory: a few short recordings, every relation."""
    from gad_core.testing.corpus import Memory

    return Memory()


@pytest.fixture
def gad_tiny() -> Tiny:
    """A backbone of one random attention layer."""
    from gad_core.testing.tiny import Tiny

    return Tiny()


@pytest.fixture
def gad_words(gad_memory: Memory) -> WordTokenizer:
    """A tokenizer that knows the words of `gad_memory`."""
    from gad_core.testing.tiny import WordTokenizer

    corpus = gad_memory.open()
    labels = [f" {label}" for space in corpus.spaces.values() for label in space.written]
    return WordTokenizer([*labels, *(prompt.before for prompt in corpus.prompts.values())])


@pytest.fixture
def gad(tmp_path: Path) -> Callable[..., Result]:
    """The command line in this process: `gad("run", registry)`, where a registry file may be given as text.

    The file is written to `tmp_path`, and so are the runs.
    """
    from click.testing import CliRunner

    from gad_core.cli import main

    def call(*arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        for number, word in enumerate(words):
            if "\n" in word:
                file = tmp_path / "registry.yaml"
                file.write_text(word, encoding="utf-8")
                words[number] = str(file)
        return CliRunner().invoke(main, words)

    return call
