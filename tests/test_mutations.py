"""Deliberate bugs are caught: docs/mutations.md lists which test catches which."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutations import MUTATIONS, PAGE, PROJECT, Mutation, caught, copied, mutated

LISTED = dict(re.findall(r"^\| (.+?) \| `[^`]+` \| `(test_\w+)`", PAGE.read_text(), flags=re.M))
A_FEW = 3
AREAS = {
    "registry": "gad_core/registry/",
    "store": "gad_core/data/features/",
    "training loop": "gad_core/runs/training.py",
    "resume": ("gad_core/runs/resume.py", "gad_core/records/run_folder.py"),
    "metrics": "gad_core/metrics/",
    "decoding": "gad_core/model/decoding.py",
    "discovery": ("gad_core/discovery/plugins.py", "gad_core/discovery/guard.py"),
    "plugins": "plugins/",
}


def chosen() -> list[Mutation]:
    """The bugs that are applied: all of them in a thorough run, else a few, others with every commit."""
    if "GAD_THOROUGH" in os.environ:
        return list(MUTATIONS)
    git = shutil.which("git")
    asked = [git, "rev-parse", "HEAD"]
    commit = git and subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=False).stdout
    return random.Random(commit or "no commit").sample(MUTATIONS, A_FEW)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.bug)
def test_every_bug_has_its_place_and_its_line(mutation: Mutation) -> None:
    """Whoever changes the place of a bug writes it anew in tests/mutations.py."""
    assert mutated(mutation, PROJECT)
    assert mutation.bug in LISTED, "run `python tests/mutations.py`"


def test_the_page_lists_nothing_else() -> None:
    assert set(LISTED) == {mutation.bug for mutation in MUTATIONS}


@pytest.mark.parametrize("places", AREAS.values(), ids=AREAS)
def test_every_area_has_its_bugs(places: str | tuple[str, ...]) -> None:
    assert len([mutation for mutation in MUTATIONS if mutation.file.startswith(places)]) >= 2


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with copied() as folder:
        yield folder


@pytest.mark.parametrize("mutation", chosen(), ids=lambda mutation: mutation.bug)
def test_a_bug_is_caught(mutation: Mutation, root: Path) -> None:
    """By the first test of its line."""
    assert caught(mutation, root, LISTED[mutation.bug]) == [LISTED[mutation.bug]]
