"""Plugins of one file, named by a registry file: run for it alone, part of a run's identity, found again by its run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_distributions import HEAD
from small_project import REGISTRY, Project

import gad_core
from gad_core import registry
from gad_core.cli import main
from gad_core.discovery.plugins import installed
from gad_core.errors import PluginError, RegistryError

SMALL = """version: 1
plugins: {plugins}
backbones: {{tiny: {{use: llama-tiny}}}}
datasets: {{kitchen: {{use: kitchen}}}}
heads: {{h: {{use: "{use}"}}}}
experiments:
  one: {{dataset: kitchen, backbone: tiny, head: h}}
"""
MINE = '''
from gad_core.contracts.hooks import hookimpl
from gad_heads.plugin import Discriminative

class Mine(Discriminative):
    """A head of my own."""
    name = "mine"

@hookimpl
def gad_heads():
    return [Mine]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_head.py").write_text(HEAD.format(name="guest"))
    return tmp_path


def loads(folder: Path, plugins: str = "[my_head.py]", use: str = "guest") -> registry.Registry:
    return registry.loads(SMALL.format(plugins=plugins, use=use), root=folder)


def refused(folder: Path, plugins: str = "[my_head.py]", use: str = "guest") -> str:
    with pytest.raises(RegistryError) as caught:
        loads(folder, plugins, use)
    return str(caught.value)


@pytest.mark.parametrize("written", ["my_head.py", "./my_head.py", "sub/../my_head.py", "ABSOLUTE"])
@pytest.mark.parametrize("use", ["guest", "my_head.py:guest"])
def test_a_file_offers_what_its_hooks_do(folder: Path, written: str, use: str) -> None:
    path = str(folder / "my_head.py") if written == "ABSOLUTE" else written
    one = loads(folder, f"[{path}]", use).experiments["one"]
    assert type(one.head).__doc__ == "A head from elsewhere."
    assert one.resolved()["head"] == {"use": "guest"} and one.resolved()["plugins"] == [str(folder / "my_head.py")]


def test_it_is_offered_to_the_registry_that_names_it_alone(folder: Path) -> None:
    assert loads(folder).experiments
    assert "there is no head 'guest'" in refused(folder, "[]")
    assert "guest" not in {offer.name for offer in installed().of("head")}


def test_nothing_is_run_for_others(folder: Path) -> None:
    (folder / "my_head.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n" + HEAD.format(name="guest"))
    assert loads(folder, "[]", "gad-framework:discriminative").experiments
    assert not (folder / "ran").exists()
    assert loads(folder).experiments and (folder / "ran").exists()


def test_one_that_nobody_uses_is_no_part_of_an_experiment(folder: Path) -> None:
    assert "plugins" not in loads(folder, use="discriminative").experiments["one"].resolved()


def test_a_name_that_it_shares_needs_its_prefix(folder: Path) -> None:
    (folder / "my_head.py").write_text(HEAD.format(name="discriminative"))
    told = refused(folder, use="discriminative")
    assert "gad-framework:discriminative, my_head.py:discriminative" in told
    for prefix in ("my_head.py", "gad-framework"):
        one = loads(folder, use=f"{prefix}:discriminative").experiments["one"]
        again = registry.rebuild(one.resolved(), "one")
        assert type(again.head) is type(one.head) and again == one
        assert registry.loads(registry.dump([one])).experiments["one"] == one


def test_two_contents_at_one_path_are_two_plugins(folder: Path) -> None:
    first = loads(folder).experiments["one"]
    (folder / "my_head.py").write_text(HEAD.format(name="guest").replace("elsewhere", "nowhere"))
    second = loads(folder).experiments["one"]
    assert type(first.head) is not type(second.head) and type(second.head).__doc__ == "A head from nowhere."
    assert first.resolved() == second.resolved(), "the earlier one stays what it was"
    assert type(loads(folder).experiments["one"].head) is type(second.head), "loaded once"


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_it_is_read_as_python_reads_it(folder: Path, future: str) -> None:
    """Neither with the language of our own modules, nor without a module that looks its annotations up."""
    options = "    size: Size = 3\n    more: Size | None = None\n    def layout"
    text = HEAD.format(name="guest").replace("    def layout", options)
    (folder / "my_head.py").write_text(f"{future}Size = int\ndef f(x: Size): pass\n{text}")
    book = registry.loads(SMALL.format(plugins="[my_head.py]", use="guest, size: 4").replace('"', ""), root=folder)
    head = book.experiments["one"].head
    assert head.options() == {"size": 4, "more": None}
    written = sys.modules[type(head).__module__].f.__annotations__["x"]
    assert written == ("Size" if future else int)


def test_it_prints_nothing_into_the_output_of_a_command(folder: Path) -> None:
    (folder / "my_head.py").write_text("print('hello')\n" + HEAD.format(name="guest"))
    (folder / "registry.yaml").write_text(SMALL.format(plugins="[my_head.py]", use="guest"))
    printed = CliRunner().invoke(main, ["schema", str(folder / "registry.yaml")])
    assert json.loads(printed.stdout) and "hello" not in printed.stdout


def test_two_files_of_one_name_in_two_folders_are_two_modules(folder: Path) -> None:
    (folder / "other").mkdir()
    shutil.copy(folder / "my_head.py", folder / "other" / "my_head.py")
    one = loads(folder).experiments["one"].head
    other = registry.loads(SMALL.format(plugins="[my_head.py]", use="guest"), root=folder / "other").experiments["one"]
    assert type(one).__module__ != type(other.head).__module__
    told = refused(folder, "[my_head.py, other/my_head.py]")
    assert "registry.yaml:2:23: plugins.1: other/my_head.py: " in told and "has the same name" in told
    assert "plugins.1" in refused(folder, "[my_head.py, ./my_head.py]")


FAULTY = {
    "missing": (None, "no such file"),
    "syntax": ("def", "cannot be imported: SyntaxError"),
    "raises": ("raise ValueError('oh')", "cannot be imported: ValueError: oh"),
    "exits": ("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "cannot be imported: KeyboardInterrupt"),
    "a module beside it": ("import my_layers_that_lie_beside", "cannot be imported: ModuleNotFoundError"),
    "no hook": ("x = 1", "offers no component"),
    "raising hook": (HEAD.format(name="guest").replace("return [Guest]", "1 / 0"), "hook gad_heads raised ZeroDiv"),
    "wrong kind": (HEAD.format(name="guest").replace("gad_heads", "gad_datasets"), "not a subclass of Dataset"),
    "half wrong": (HEAD.format(name="guest").replace("[Guest]", "[Guest, int]"), "not a subclass of Head"),
    "outdated": (HEAD.format(name="guest") + "PLUGIN_API = 0", "was written for plugin API 0"),
    "null byte": ("\0", "cannot be imported: "),
    "commands": (
        HEAD.format(name="guest") + "@hookimpl\ndef gad_commands():\n    return {'a': 'b:c'}\n",
        "offers commands, which do not depend on a registry file",
    ),
}


@pytest.mark.parametrize(("text", "reason"), FAULTY.values(), ids=FAULTY)
def test_a_file_that_cannot_be_used_is_told_at_its_line(folder: Path, text: str | None, reason: str) -> None:
    if text is None:
        (folder / "my_head.py").unlink()
    else:
        (folder / "my_head.py").write_text(text)
    modules = set(sys.modules)
    told = refused(folder, use="gad-framework:discriminative")
    assert told.startswith("registry.yaml:2:11: plugins.0: my_head.py: ") and reason in told
    assert "2 | plugins: [my_head.py]" in told and "     = " in told
    assert "my_head.py: cannot be loaded" in refused(folder)
    assert not [name for name in set(sys.modules) - modules if "my_head" in name] or "cannot be imported" not in reason


def test_what_is_no_file_of_python_is_refused(folder: Path) -> None:
    (folder / "folder.py").mkdir()
    (folder / "my_head.txt").write_text(HEAD.format(name="guest"))
    (folder / "large.py").write_text("#" * (2**20 + 1))
    os.mkfifo(folder / "pipe.py")
    for name, reason in {
        "folder.py": "is a folder",
        "my_head.txt": "is no file of Python",
        "large.py": "has more than",
        "pipe.py": "is a pipe",
    }.items():
        assert reason in refused(folder, f"[{name}]", "discriminative"), name


@pytest.mark.parametrize("plugins", ["my_head.py", "{a: my_head.py}", "[3]", "[[my_head.py]]", "['']", "[null]"])
def test_the_section_is_a_list_of_paths(folder: Path, plugins: str) -> None:
    assert "registry.yaml:2:" in refused(folder, plugins, "discriminative")


def test_a_hook_of_a_newer_gad_is_a_warning(folder: Path) -> None:
    (folder / "my_head.py").write_text(HEAD.format(name="guest") + "@hookimpl\ndef gad_wonders(): return []\n")
    (folder / "registry.yaml").write_text(SMALL.format(plugins="[my_head.py]", use="guest"))
    checked = CliRunner().invoke(main, ["check", str(folder / "registry.yaml")])
    assert checked.exit_code == 0
    assert "warning: my_head.py: hook gad_wonders is not known to this gad" in checked.output


def test_the_commands_that_look_at_options_know_it(folder: Path) -> None:
    text = SMALL.format(plugins="[my_head.py]", use="guest")
    (folder / "registry.yaml").write_text(text.replace("guest", "gest"))  # its other faults do not matter
    file = str(folder / "registry.yaml")
    schema = json.loads(CliRunner().invoke(main, ["schema", file]).output)
    assert "guest" in schema["properties"]["heads"]["additionalProperties"]["properties"]["use"]["enum"]
    listed = CliRunner().invoke(main, ["plugins", "--registry", file], env={"COLUMNS": "200"})
    (line,) = [line for line in listed.output.splitlines() if "guest" in line]
    assert "my_head.py" in line and "ready" in line
    described = CliRunner().invoke(main, ["plugins", "guest", "--registry", file], env={"COLUMNS": "200"})
    assert "head guest (my_head.py)" in described.output and "A head from elsewhere." in described.output
    (folder / "my_head.py").unlink()
    for command in (["schema", file], ["plugins", "--registry", file]):
        ended = CliRunner().invoke(main, command)
        assert ended.exit_code == 2 and "registry.yaml:2:11: plugins.0" in ended.output
    (folder / "registry.yaml").write_text(text.replace("[my_head.py]", "my_head.py"))
    assert "registry.yaml:2:10: plugins: should be a list" in CliRunner().invoke(main, ["schema", file]).output


# ---------------------------------------------------------------------------------------------------------------- runs

RUN = "runs/discriminative/0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("files") / "project"
    root.mkdir()
    (root / "my_head.py").write_text(MINE)
    text = REGISTRY.replace("version: 1\n", "version: 1\nplugins: [./my_head.py]\n")
    project = Project(root).ready(registry=text.replace("use: discriminative", "use: mine"))
    ended = project.gad("run", "registry.yaml", "discriminative", "--quiet")
    assert ended.exit_code == 0, ended.output
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A finished project, in another place."""
    root = tmp_path / "moved"
    shutil.copytree(finished.root, root)
    moved = object.__new__(Project)
    moved.root, moved.rows, moved.width = root, finished.rows, finished.width
    return moved


def test_a_run_says_where_its_file_is_and_what_it_holds(project: Project) -> None:
    results = json.loads((project.root / RUN / "results.json").read_text())
    assert results["components"]["plugins"] == ["../../../my_head.py"]
    assert results["components"]["head"]["use"] == "mine"
    code = results["code"]["head mine"]
    assert (code["distribution"], code["version"], len(code["source"])) == ("my_head.py", "", 16)
    assert "plugins:\n- ../../../my_head.py\n" in (project.root / RUN / "registry.yaml").read_text()
    assert registry.load(project.root / RUN / "registry.yaml").experiments["discriminative"].head.name == "mine"


def test_a_moved_run_finds_its_file_and_has_not_changed(project: Project) -> None:
    ended = project.gad("run", "registry.yaml", "discriminative")
    assert ended.exit_code == 0 and "nothing has changed" in ended.output, ended.output
    answers = project.gad("predict", RUN, "mine.lmdb")
    assert answers.exit_code == 0 and answers.output.startswith("recording,"), answers.output
    assert gad_core.load(project.root / RUN).experiment.head.name == "mine"
    evaluated = project.gad("evaluate", RUN)
    assert evaluated.exit_code == 0, evaluated.output


def test_its_code_counts(project: Project) -> None:
    (project.root / "my_head.py").write_text(MINE.replace("of my own", "of my very own"))
    ended = project.gad("run", "registry.yaml", "discriminative")
    assert ended.exit_code == 0 and "changed: the code of head mine (my_head.py)" in ended.output
    assert "nothing has changed" in project.gad("run", "registry.yaml", "discriminative").output


@pytest.mark.parametrize("text", [None, "def", "x = 1", HEAD.format(name="other")])
def test_a_run_whose_file_is_gone_says_so(project: Project, text: str | None) -> None:
    file = project.root / "my_head.py"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    told = project.refused("predict", RUN, "mine.lmdb")
    assert str(file) in told or "there is no head 'mine'" in told
    with pytest.raises(PluginError):
        gad_core.load(project.root / RUN)


def test_a_run_of_a_sweep_and_one_with_workers_know_it(project: Project) -> None:
    text = (project.root / "registry.yaml").read_text().replace("epochs: 1", "epochs: 1, workers: 2")
    sweep = "sweeps: {s: {base: discriminative, vary: {training.batch: [2, 4]}}}\n"
    (project.root / "registry.yaml").write_text(text + sweep)
    ended = project.gad("run", "registry.yaml", "s", "--runs", "runs", "--quiet")
    assert ended.exit_code == 0, ended.output
    results = json.loads((project.root / "runs/s/training.batch=2/0/results.json").read_text())
    assert results["components"]["plugins"] == ["../../../../my_head.py"]


def test_show_knows_it(project: Project) -> None:
    shown = project.gad("show", "registry.yaml", "discriminative")
    assert shown.exit_code == 0 and "use: mine" in shown.output, shown.output
    checked = project.gad("check", "registry.yaml", "--data")
    assert checked.exit_code == 0, checked.output
