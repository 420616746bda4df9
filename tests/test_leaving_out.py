"""`gad --without NAME` and `GAD_WITHOUT`: a plugin that is left out is not even imported, and said to be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_distributions import COMMANDS, HEAD, Site

from gad_core import registry
from gad_core.cli import main
from gad_core.discovery.plugins import WITHOUT, installed, leaving_out
from gad_core.errors import PluginError

REGISTRY = """version: 1
backbones: {{tiny: {{use: llama-tiny}}}}
datasets: {{kitchen: {{use: kitchen}}}}
heads: {{h: {{use: "{use}"}}}}
experiments:
  one: {{dataset: kitchen, backbone: tiny, head: h}}
"""


@pytest.fixture
def guests(site: Site) -> Site:
    site.install("Gad_Colour", HEAD.format(name="red") + COMMANDS.format(commands={"paint": "a:b"}), point="colour")
    site.install("gad-form", HEAD.format(name="round"), point="form")
    return site


def gad(*words: str, without: str | None = None) -> Result:
    result = CliRunner().invoke(main, words, env={"COLUMNS": "400", WITHOUT: without})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    installed.cache_clear()
    return result


NAMES = ["colour", "Gad_Colour", "gad-colour", "GAD.colour"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_plugin_is_left_out_by_either_name(guests: Site, name: str, by: str) -> None:
    guests.module("guest_gad_colour", "raise AssertionError('is imported')")
    listed = gad("--without", name, "plugins") if by == "option" else gad("plugins", without=name)
    assert listed.exit_code == 0, listed.output
    (line,) = [line for line in listed.output.splitlines() if "Gad_Colour" in line]
    assert "left out: by --without or GAD_WITHOUT" in line and "1.0" in line and "colour" in line
    assert "round" in listed.output and "broken" not in listed.output


def test_option_and_variable_add_up(guests: Site) -> None:
    listed = gad("--without", "colour", "plugins", without=" gad-form ,,").output
    assert "red" not in listed and "round" not in listed and listed.count("left out:") == 2
    listed = gad("--without", "colour", "--without", "form", "plugins").output
    assert listed.count("left out:") == 2


@pytest.mark.parametrize(
    "command", [["plugins"], ["schema"], ["score", "nowhere.json"], ["--help"], ["check", "x.yaml"]]
)
def test_a_name_that_no_plugin_has_is_refused(guests: Site, command: list[str]) -> None:
    ended = gad("--without", "colr", *command)
    assert ended.exit_code == 2
    assert "--without or GAD_WITHOUT: there is no plugin 'colr' to leave out" in ended.output
    assert "did you mean 'colour'?" in ended.output


def test_so_is_one_of_the_variable_where_plugins_are_looked_at(guests: Site) -> None:
    ended = gad("plugins", without="form,zzz")
    assert ended.exit_code == 2 and "there is no plugin 'zzz' to leave out" in ended.output
    assert "there are Gad_Colour" in ended.output


@pytest.mark.parametrize("use", ["red", "Gad_Colour:red"])
def test_a_registry_that_needs_it_says_so(guests: Site, tmp_path: Path, use: str) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(REGISTRY.format(use=use))
    assert gad("check", str(file)).exit_code == 0
    ended = gad("--without", "colour", "check", str(file))
    assert ended.exit_code == 2
    assert f"registry.yaml:4:18: heads.h.use: there is no head {use!r}" in ended.output
    assert "left out by --without or GAD_WITHOUT, and may offer it: colour of Gad_Colour 1.0" in ended.output
    assert gad("--without", "form", "check", str(file)).exit_code == 0


def test_a_finished_run_that_needs_it_says_so(guests: Site) -> None:
    """What `gad predict` does with the components of a run."""
    one = registry.loads(REGISTRY.format(use="red")).experiments["one"]
    resolved = one.resolved()
    assert registry.rebuild(resolved, "one") == one
    with leaving_out(["colour"]), pytest.raises(PluginError, match="there is no head 'red'") as caught:
        registry.rebuild(resolved, "one")
    assert "left out by --without or GAD_WITHOUT, and may offer it: colour of Gad_Colour 1.0" in str(caught.value)


def test_processes_that_a_command_starts_leave_it_out_too(guests: Site) -> None:
    program = "from gad_core.discovery.plugins import installed as i\nprint([one.entry_point for one in i().left_out])"
    path = os.pathsep.join([str(guests.folder), *sys.path])
    with leaving_out(["Gad_Colour"]):
        env = {**os.environ, "PYTHONPATH": path}
        ended = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert ended.stdout == "['colour']\n", ended.stderr


def test_its_commands_are_left_out(guests: Site) -> None:
    assert "paint" in gad("--help").output
    assert "paint" not in gad("--without", "colour", "--help").output
    ended = gad("--without", "colour", "paint")
    assert ended.exit_code == 2 and "there is no command 'paint'" in ended.output and "left out by" in ended.output


def test_a_broken_plugin_can_be_left_out(guests: Site) -> None:
    guests.install("gad-broken", "raise ValueError")
    assert "broken: cannot" in gad("plugins").output
    assert "broken: cannot" not in gad("--without", "gad-broken", "plugins").output


def test_afterwards_it_is_back(guests: Site) -> None:
    def heads() -> set[str]:
        return {offer.name for offer in installed().of("head")}

    assert {"red", "round"} <= heads()
    with leaving_out(["colour"]):
        assert "red" not in heads() and "round" in heads()
        assert os.environ[WITHOUT] == "colour"
        with leaving_out(["form"]):
            assert not {"red", "round"} & heads()
    assert {"red", "round"} <= heads() and WITHOUT not in os.environ
