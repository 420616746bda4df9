"""`gad new` makes packages that install, keep their contract and run; and it spoils nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fresh_environment import FreshEnvironment

from gad_core.cli import main
from gad_core.contracts.components import KINDS
from gad_core.files import writing as files
from gad_core.registry import loads

COMPOSED = """\
version: 1
datasets: {memory: {use: memory}}
backbones: {guest: {use: my-backbone}, tiny: {use: tiny}}
heads: {guest: {use: my-head}, gad: {use: gad}}
labels: {guest: {use: my-labels}}
auxiliaries: {guest: {use: my-auxiliary}}
training: {short: {epochs: 1, batch: 8, learning_rate: 1.0e-3, evaluate_every: null}}
experiments:
  guests: {dataset: memory, backbone: guest, head: gad, labels: guest, auxiliary: guest, training: short}
  guest-head: {dataset: memory, backbone: tiny, head: guest, training: short}
"""


def make(kind: str, name: str, into: Path) -> Result:
    return CliRunner().invoke(main, ["new", kind, name, "--into", str(into)])


def test_a_package_of_each_kind_installs_passes_its_tests_and_runs(tmp_path: Path) -> None:
    fresh = FreshEnvironment(tmp_path)
    packages = []
    for kind in KINDS:
        ended = fresh.gad("new", kind, f"my-{kind}", "--into", tmp_path)
        assert ended.returncode == 0, ended.stderr
        packages.append(tmp_path / f"gad-my-{kind}")
    for package in packages:
        fresh.install(package)
    listed = fresh.gad("plugins").stdout
    for kind in KINDS:
        (line,) = [line for line in listed.splitlines() if f" gad-my-{kind} " in line]
        assert " 0.1.0 " in line and "ready" in line
    tested = fresh.test(*packages)
    assert tested.returncode == 0, tested.stdout[-5000:]
    assert "passed" in tested.stdout and "failed" not in tested.stdout
    registry = tmp_path / "registry.yaml"
    registry.write_text(COMPOSED)
    ended = fresh.gad("run", registry, "--quiet")
    assert ended.returncode == 0, ended.stderr
    assert all((tmp_path / "runs" / name / "0" / "results.json").is_file() for name in ("guests", "guest-head"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_complete(kind: str, tmp_path: Path) -> None:
    result = make(kind, "two-words", tmp_path)
    assert result.exit_code == 0 and "gad-two-words" in result.output
    package = tmp_path / "gad-two-words"
    wanted = ["pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml", "registry.yaml"]
    wanted += ["src/gad_two_words/__init__.py", "src/gad_two_words/plugin.py", "tests/test_gad_two_words.py"]
    assert all((package / name).read_text().strip() for name in wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["gad-two-words"]
    for path in package.rglob("*"):
        if path.is_file():
            assert "$" not in path.read_text() and "{module}" not in path.read_text(), path
        if path.suffix == ".py":
            compile(path.read_text(), str(path), "exec")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert make("head", "mine", tmp_path).exit_code == 0
    plugin = tmp_path / "gad-mine" / "src" / "gad_mine" / "plugin.py"
    plugin.write_text("my own work")
    again = make("dataset", "mine", tmp_path)
    assert again.exit_code == 2 and "is there already" in again.output and "Traceback" not in again.output
    assert plugin.read_text() == "my own work"


def test_a_package_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files, "_flush", full)
    assert make("head", "mine", tmp_path).exit_code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["Mine", "my_head", "-x", "x-", "a--b", "1st", "", "../up", "for"])
def test_unfit_names_are_refused(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["new", "head", "--into", str(tmp_path), "--", name])
    assert result.exit_code == 2 and "cannot name a component" in result.output
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    result = make("head", "discriminative", tmp_path)
    assert result.exit_code == 2 and "offers the head 'discriminative' already" in result.output
    assert make("dataset", "discriminative", tmp_path).exit_code == 0


@pytest.mark.parametrize("name", ["core", "heads", "llama"])
def test_a_module_that_is_installed_is_not_made_again(name: str, tmp_path: Path) -> None:
    """`gad_core` in a guest would take the place of ours."""
    result = make("head", name, tmp_path)
    assert result.exit_code == 2 and f"a module 'gad_{name}' is installed already" in result.output
    assert not list(tmp_path.iterdir())


def test_its_registry_file_needs_the_package(tmp_path: Path) -> None:
    make("auxiliary", "mine", tmp_path)
    text = (tmp_path / "gad-mine" / "registry.yaml").read_text()
    assert loads(text.replace("use: mine", "use: previous")).experiments
