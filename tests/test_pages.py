"""Every code block of the documentation is executed, page by page, in the order in which it stands.

A page has a folder of its own, with the project's registry files made small and what its reader would bring. The guides
of plugins are done by `test_guides.py`.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from gad_smollm2 import weights
from test_oad_annotations import TASKS, THUMOS

from gad_core.cli import main
from gad_core.testing import write_store

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", *sorted(DOCS.glob("*.md"))]
GUIDES = {"plugins.md", *(path.name for path in DOCS.glob("write-*.md"))}
SITE = {"index.md", "hooks.md", "changelog.md"}
"""Pages whose blocks are directives of the site: test_site.py builds them."""
INSTALLS = ("python3 -m venv", ".venv/bin/pip install", "pip install", ". .venv/bin/activate", ".venv/bin/pytest")
"""Beginnings of commands that prepare an environment: CI does them, and runs in what they make."""
ELSEWHERE = {
    "gad bench": "test_bench.py",
    "gad new": "test_new.py",
    "pytest tests/test_product.py": "test_product.py",
}
"""Beginnings of blocks that are executed by another test, for they take long or need an environment of their own."""

LAUNCHERS = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.accelerate_cli"}
"""Commands that need not be on the path, with the modules behind them."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `language` is empty for drawings and trees."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", page.read_text(), flags=re.S | re.M)
    return [Block(language, text) for language, text in found]


# ------------------------------------------------------------------------------------------------------- the folder


def small(text: str) -> str:
    """A registry file as it stands, but its data, models and trainings are small."""
    registry = yaml.safe_load(text)
    for name, dataset in registry["datasets"].items():
        if dataset["use"] == "kitchen":
            registry["datasets"][name] = {**dataset, "train": 4, "test": 2}
    for name, backbone in registry["backbones"].items():
        kept = {key: value for key, value in backbone.items() if key not in ("checkpoint", "lora")}
        registry["backbones"][name] = kept | ({"use": "llama-tiny"} if backbone["use"] == "llama" else {"layers": 1})
    for recipe in registry["training"].values():
        recipe["max_steps"] = 2
        recipe.pop("micro_batch", None)
    for experiment in [*registry["experiments"].values(), *registry.get("sweeps", {}).values()]:
        experiment["seeds"] = [0]
    return yaml.safe_dump(registry, sort_keys=False)


def features(folder: Path, frames: dict[str, int], width: int = 8) -> None:
    """Feature files, as an extractor leaves them."""
    folder.mkdir()
    for number, (name, length) in enumerate(frames.items()):
        np.save(folder / f"{name}.npy", np.random.default_rng(number).normal(size=(length, width)).astype("float32"))


def store(path: Path, frames: dict[str, int], fps: float, width: int = 8) -> None:
    arrays = {name: np.random.default_rng(0).normal(size=(length, width)) for name, length in frames.items()}
    write_store(path, {name: array.astype("float32") for name, array in arrays.items()}, fps=fps)


ROWS = "recording,start,end,label,split\na,0.0,4.0,pour,train\na,4.0,10.0,stir,train\nb,1.0,9.0,pour,test\n"
BROKEN = """\
version: 1
backbones: {tiny: {use: llama-tiny}}
heads: {discriminative: {use: discriminative}}
datasets: {mine: {use: segments, features: mine.lmdb, annotations: mine.csv}}
training: {short: {epochs: 1, batch: 4, evaluate_every: null}}
experiments: {first: {dataset: mine, backbone: tiny, head: discriminative, training: short}}
"""


def for_readme(folder: Path) -> None:
    features(folder / "features", {"a": 40, "b": 40})
    (folder / "annotations.csv").write_text(ROWS)
    (folder / "data").mkdir()
    store(folder / "data/new.lmdb", {"new": 40}, fps=4.0)


def for_own_data(folder: Path) -> None:
    features(folder / "my-features", {"kitchen_07": 40, "kitchen_11": 120})
    (folder / "data").mkdir()


def for_troubleshooting(folder: Path) -> None:
    store(folder / "mine.lmdb", {"a": 40, "b": 40, "c": 24}, fps=4.0)
    store(folder / "other.lmdb", {"a": 40}, fps=4.0, width=16)
    (folder / "mine.csv").write_text(f"{ROWS}c,0.0,6.0,stir,test\n")
    (folder / "registry.yaml").write_text(BROKEN)
    call(folder, "gad run registry.yaml --quiet")
    (folder / "mine.csv").write_text(f"{ROWS}c,0.0,6.0,stir,test\n".replace("stir", "whisk"))
    (folder / "broken.csv").write_text(f"{ROWS}c,0.0,8.0,stir,test\nd,0.0,2.0,stir,test\n")
    (folder / "broken.yaml").write_text(BROKEN.replace("mine.csv", "broken.csv"))


def for_oad(folder: Path) -> None:
    """The original annotations of four benchmarks, in miniature."""
    for name in ("thumos", "ek", "crosstask"):
        store(folder / f"{name}.lmdb", {"one": 40, "P01_11": 40, "a_b": 40}, fps=4.0)
    for name in ("val.csv", "test.csv"):
        (folder / name).write_text(THUMOS.replace("one", name.removesuffix(".csv")))
    sessions = {
        "class_names": ["Background", "Diving", "Ambiguous"],
        "train_session_set": ["val"],
        "test_session_set": ["test"],
    }
    store(folder / "thumos.lmdb", {"val": 40, "test": 40}, fps=4.0)
    (folder / "data_info.json").write_text(json.dumps({"THUMOS": sessions}))
    (folder / "actions.csv").write_text("id,verb,noun,action\n0,0,2,take plate\n1,3,5,open door\n")
    for name in ("training.csv", "validation.csv"):
        (folder / name).write_text("x,P01_11,15,60,3,5,1\n")
    with zipfile.ZipFile(folder / "crosstask_release.zip", "w") as archive:
        archive.writestr("crosstask_release/tasks_primary.txt", TASKS)
        archive.writestr("crosstask_release/annotations/9_a_b.csv", "1,0.5,1.5\n2,2,3\n")
    step = {"start_time": 0, "end_time": 4, "step_category": "Make tea: Boil water"}
    for name in ("train", "val"):
        video = {"video_uid": name, "start_time": 0, "end_time": 5, "segments": [step]}
        (folder / f"goalstep_{name}.json").write_text(json.dumps({"videos": [video]}))
    classes = {"class_names": ["background", "boil water"], "train_session_set": ["train"], "val_session_set": ["val"]}
    (folder / "ego4d-goal_info.json").write_text(json.dumps(classes))


PREPARE: dict[str, Callable[[Path], None]] = {
    "README.md": for_readme,
    "own-data.md": for_own_data,
    "troubleshooting.md": for_troubleshooting,
    "oad.md": for_oad,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has: a checkout, with small registry files."""
    for path in [PROJECT / "registry.yaml", *(PROJECT / "recipes").rglob("*.yaml")]:
        copy = tmp_path / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(small(path.read_text()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


# -------------------------------------------------------------------------------------------------------- executing


def call(folder: Path, line: str) -> str:
    """Runs one command, that of gad in this process; returns what it prints."""
    words = shlex.split(line, comments=True)
    name = Path(words[0]).name if words else ""
    if not words or line.startswith(INSTALLS):
        return ""
    if "smollm2" in line and not weights.folder().is_dir():
        warnings.warn(f"not executed, SmolLM2 is not fetched: {line}", stacklevel=1)
        return ""
    if name == "gad":
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code in (0, 2), (line, done.output, done.exception)
        assert "Traceback" not in done.output
        return f"{done.output}\nexit code {done.exit_code}"
    if name == "python":
        words[0] = sys.executable
    if name in LAUNCHERS:
        words = [sys.executable, "-m", LAUNCHERS[name], *words[1:]]
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
    return f"{ended.stdout}\nexit code 0"


def commands(text: str) -> Iterator[str]:
    """The commands of a shell block, those of one line apart."""
    for line in text.replace("\\\n", " ").splitlines():
        yield from (part.strip() for part in line.split("&&"))


def shell(folder: Path, block: Block) -> None:
    for line in commands(block.text):
        printed = call(folder, line)
        assert not printed or "exit code 0" in printed, (line, printed)


def session(folder: Path, block: Block) -> None:
    """A block of commands behind `$` and what they print, paths told from the folder."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        line, expected = part.split("\n", 1)
        printed = call(folder, line).replace(f"{folder}/", "")
        assert printed == f"{expected}\nexit code 2", line


def registry(folder: Path, block: Block) -> None:
    """A whole registry file is written and checked; a part of one is checked together with ours."""
    if block.text.startswith("version:"):
        (folder / "registry.yaml").write_text(block.text)
        shell(folder, Block("bash", "gad check registry.yaml"))
        return
    whole = yaml.safe_load((folder / "registry.yaml").read_text())
    for section, entries in yaml.safe_load(block.text).items():
        assert isinstance(whole.get(section), dict), section
        whole[section] |= entries
    (folder / "part.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    shell(folder, Block("bash", "gad check part.yaml"))


def python(folder: Path, block: Block) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block.text, "block", "exec"), {"__name__": "block"})


EXECUTE: dict[str, Callable[[Path, Block], None]] = {
    "bash": shell,
    "console": session,
    "yaml": registry,
    "python": python,
    "csv": lambda folder, block: (folder / "data/mine.csv").write_text(block.text) and None,
    "json": lambda folder, block: (folder / "scores.json").write_text(block.text) and None,
}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in GUIDES | SITE and blocks(page)], ids=lambda page: page.name
)
def test_the_blocks_of_a_page(page: Path, folder: Path) -> None:
    PREPARE.get(page.name, lambda _: None)(folder)
    for block in blocks(page):
        if block.language in ("", "text") or block.text.startswith(tuple(ELSEWHERE)):
            continue
        EXECUTE[block.language](folder, block)


def test_blocks_executed_elsewhere_are() -> None:
    for beginning, where in ELSEWHERE.items():
        shown = [block for page in PAGES for block in blocks(page) if block.text.startswith(beginning)]
        assert shown, f"nothing begins with {beginning!r} any more"
        assert (PROJECT / "tests" / where).is_file()


def test_every_language_is_known() -> None:
    known = {*EXECUTE, "", "text"}
    for page in PAGES:
        if page.name not in SITE:
            used = {block.language for block in blocks(page)}
            assert used <= known | ({"toml"} if page.name in GUIDES else set()), page.name


def test_the_entry_point_shown_is_what_gad_new_writes(tmp_path: Path) -> None:
    (shown,) = (block.text for block in blocks(DOCS / "plugins.md") if block.language == "toml")
    done = CliRunner().invoke(main, ["new", "head", "cosine", "--into", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert shown.strip() in (tmp_path / "gad-cosine" / "pyproject.toml").read_text()
