"""The documentation says what is: links lead somewhere, commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from gad_core import nn, plugin
from gad_core.cli import COMMANDS, main
from gad_core.registry import load, loads

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose)
    local = [target for target in targets if not target.startswith("http")]
    assert not [target for target in local if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_the_options_shown(page: Path) -> None:
    """Every `gad …` line of a code block names a command, and options that its help knows."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text(), flags=re.S)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|", line.split("#")[0]):
            words = shlex.split(part)
            if not words or Path(words[0]).name != "gad":
                continue
            while words[1] == "--without":
                del words[1:3]
            assert words[1] in (*COMMANDS, "--help", "--version"), line
            path = words[1:3] if words[1] == "features" and len(words) > 2 else words[1:2]
            shown = CliRunner().invoke(main, [*path, "--help"]).output
            for option in (word.split("=")[0] for word in words if word.startswith("--")):
                assert option in shown, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_registry_files_shown_are_right(page: Path, tmp_path: Path) -> None:
    for block in re.findall(r"```yaml\n(version:.*?)```", page.read_text(), flags=re.S):
        assert loads(block, root=tmp_path).experiments


def test_the_rows_of_frame_labels() -> None:
    (code,) = re.findall(r"```python\n(import csv.*?)```", (PROJECT / "docs" / "own-data.md").read_text(), flags=re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    found = names["rows"]("r", np.array([0, 1, 1, 2, 0, 0, 1]), ["background", "a", "b"], 2.0, "train")
    assert found == [("r", 0.5, 1.5, "a", "train"), ("r", 1.5, 2.0, "b", "train"), ("r", 3.0, 3.5, "a", "train")]


@pytest.mark.parametrize("door", [plugin, nn], ids=["plugin", "nn"])
def test_all_that_is_behind_a_door_is_on_its_page(door: ModuleType) -> None:
    page = (PROJECT / "docs" / "hooks.md").read_text()
    named = set(re.findall(rf"{re.escape(door.__name__)}\.(\w+)", page)) | set(re.findall(r"`(\w+)`", page))
    assert not sorted(set(door.__all__) - named)


def test_every_help_has_an_example() -> None:
    names = [[name] for name in COMMANDS if name != "features"]
    for path in [*names, ["features", "pack"], ["features", "info"], ["features", "verify"]]:
        result = CliRunner().invoke(main, [*path, "--help"])
        assert result.exit_code == 0
        assert "Example:" in result.output, path


def test_experiments_named_in_the_documents_exist() -> None:
    registry = load(PROJECT / "registry.yaml")
    known = {*registry.experiments, *registry.sweeps}
    for page in PAGES:
        for line in re.findall(r"^gad run registry\.yaml ([^#\n]+)", page.read_text(), flags=re.M):
            named = [word for word in line.split() if not word.startswith("-")]
            assert set(named) <= known, (page.name, named)
