"""The kit catches deliberate bugs: docs/mutations.md lists which property catches which."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutations import MUTATIONS, PAGE, PROJECT, Mutation, caught, copied, mutated

LISTED = dict(re.findall(r"^\| (.+?) \| `[^`]+` \| `(test_\w+)`", PAGE.read_text(), flags=re.M))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.bug)
def test_every_bug_has_its_place_and_its_line(mutation: Mutation) -> None:
    """Whoever changes the place of a bug writes it anew in tests/mutations.py."""
    assert mutated(mutation, PROJECT)
    assert mutation.bug in LISTED, "run `python tests/mutations.py`"


def test_the_page_lists_nothing_else() -> None:
    assert set(LISTED) == {mutation.bug for mutation in MUTATIONS}


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with copied() as folder:
        yield folder


@pytest.mark.skipif("GAD_THOROUGH" not in os.environ, reason="some minutes: set GAD_THOROUGH=1")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.bug)
def test_every_bug_is_caught(mutation: Mutation, root: Path) -> None:
    assert caught(mutation, root, LISTED[mutation.bug])
