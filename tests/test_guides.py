"""The guides of plugins, done as they say: the files they show are written, tested, installed and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gad_core.contracts.components import KINDS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [DOCS / "plugins.md", *sorted(DOCS.glob("write-*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
FILES = dict(re.findall(r"```(?:python|yaml)\n# (\S+\.(?:py|yaml))\n(.*?)```", TEXT, flags=re.S))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, and a distribution that offers their components."""
    root = tmp_path_factory.mktemp("guides")
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    modules = [name.removesuffix(".py") for name, text in FILES.items() if "@hookimpl" in text]
    assert len([name for name in modules if "/" not in name]) == len(KINDS) + 1, "one for each kind, and commands"
    about = root / "guides-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: guides\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[gad]\n" + "".join(f"{name} = {name}\n" for name in modules if "/" not in name)
    )
    return root


def python(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def test_every_guide_has_a_component_and_its_test() -> None:
    for what in ("head", "dataset", "backbone", "label tokenizer", "auxiliary task"):
        assert re.search(rf"^# Write an? {what}$", TEXT, flags=re.M)
    assert len([name for name in FILES if name.startswith("tests/test_")]) == len(KINDS) + 1
    every = re.findall(r"```(?:python|yaml)\n", TEXT)
    assert len(every) == len(FILES), "a block of Python or YAML is not written to a file, so nobody runs it"


def test_the_components_keep_their_contracts(folder: Path) -> None:
    ended = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-1000:]
    assert " passed" in ended.stdout


def test_the_composition_runs(folder: Path) -> None:
    ended = python(folder, "-m", "gad_core.cli", "run", "registry.yaml", "--quiet")
    assert ended.returncode == 0, ended.stderr
    assert all((folder / "runs" / name / "0" / "results.json").is_file() for name in ("gad", "two-layer"))
    listed = python(folder, "-m", "gad_core.cli", "plugins").stdout
    assert listed.count("guides") == len(KINDS) + 1


def test_the_single_file_is_found_by_the_registry_that_names_it(folder: Path) -> None:
    ended = python(folder, "-m", "gad_core.cli", "check", "single/registry.yaml")
    assert ended.returncode == 0, ended.stderr
    assert "earlier (written)" in ended.stdout
    listed = python(folder, "-m", "gad_core.cli", "plugins", "--registry", "single/registry.yaml").stdout
    assert listed.count("my_task.py") == 1


def test_the_command_is_called(folder: Path) -> None:
    assert "of guides 1.0" in python(folder, "-m", "gad_core.cli", "--help").stdout
    assert python(folder, "-m", "gad_core.cli", "colours").stdout == "red green blue\n"
