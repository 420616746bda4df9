"""Subcommands of plugins: listed with whose they are, imported when called, ended as ours are."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from click.testing import CliRunner, Result
from fake_distributions import COMMANDS, HEAD, Site

from gad_core.cli import COMMANDS as OURS
from gad_core.cli import main
from gad_core.discovery.plugins import installed

HELLO = """
import click
from gad_core.errors import GadError

@click.command()
@click.argument("word", default="world")
@click.option("--fail", type=click.Choice(["gad", "disk", "exit", "stop"]))
def hello(word, fail):
    '''Greet somebody.'''
    click.echo(f"hello {word}")
    if fail == "gad":
        raise GadError("is wrong", where="here", hint="mend it")
    if fail == "disk":
        open("/no/such/folder/file", "w")
    if fail == "exit":
        raise SystemExit(7)
    if fail == "stop":
        raise KeyboardInterrupt

@click.group()
def tools():
    '''Several.'''

tools.add_command(hello)
"""
TARGET = "guest_hello_cli:hello"


def gad(*words: str) -> Result:
    result = CliRunner().invoke(main, words, env={"COLUMNS": "400"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_help_lists_what_plugins_add_after_ours(site: Site) -> None:
    site.commands("gad-hello", hello=TARGET, bye="guest_nowhere:bye")
    site.install("gad-broken", "import no_such_module_anywhere")
    shown = gad("--help").output
    ours, _, theirs = shown.partition("Commands of plugins:")
    assert all(f"  {name}  " in ours for name in OURS if name != "features")
    assert [line.split(None, 1) for line in theirs.splitlines() if line] == [
        ["hello", "of gad-hello 1.0"],
        ["bye", "of gad-hello 1.0"],
    ]
    assert "guest_hello_cli" not in sys.modules


def test_without_commands_of_plugins_help_has_no_section(site: Site) -> None:
    assert "Commands of plugins" not in gad("--help").output


def test_a_command_of_a_plugin_is_called(site: Site) -> None:
    site.module("guest_hello_cli", HELLO)
    site.commands("gad-hello", hello=TARGET, tools="guest_hello_cli:tools")
    assert gad("hello", "you").output == "hello you\n"
    assert gad("gad-hello:hello").output == "hello world\n"
    assert gad("tools", "hello", "all").output == "hello all\n"
    helped = gad("hello", "--help")
    assert helped.exit_code == 0 and "Usage: main hello" in helped.output and "Greet somebody" in helped.output
    wrong = gad("hello", "--colour")
    assert wrong.exit_code == 2 and "No such option" in wrong.output


@pytest.mark.parametrize("path", [["hello"], ["tools", "hello"]], ids=" ".join)
@pytest.mark.parametrize(
    ("fail", "code", "told"),
    [
        ("gad", 2, "here: is wrong\n     = mend it"),
        ("disk", 2, "/no/such/folder/file: No such file or directory"),
        ("exit", 7, ""),
        ("stop", 130, "interrupted"),
    ],
)
def test_it_ends_as_ours_do(site: Site, path: list[str], fail: str, code: int, told: str) -> None:
    site.module("guest_hello_cli", HELLO)
    site.commands("gad-hello", hello=TARGET, tools="guest_hello_cli:tools")
    ended = gad(*path, "--fail", fail)
    assert ended.exit_code == code and told in ended.output and "Traceback" not in ended.output


LOST = {
    "no module": ("guest_nowhere:hello", "", "ModuleNotFoundError: No module named 'guest_nowhere'"),
    "no attribute": (TARGET, "x = 1", "AttributeError"),
    "no command": (TARGET, "def hello(): pass", "guest_hello_cli:hello is no click command"),
    "raises": (TARGET, "raise ValueError('oh')", "ValueError: oh"),
    "exits": (TARGET, "raise SystemExit(0)", "SystemExit: 0"),
    "interrupts": (TARGET, "raise KeyboardInterrupt", "KeyboardInterrupt"),
    "syntax": (TARGET, "def", "SyntaxError"),
    "nothing": (TARGET, "hello = None", "is no click command"),
}


@pytest.mark.parametrize(("target", "text", "reason"), LOST.values(), ids=LOST)
def test_a_command_that_cannot_be_imported_names_the_plugin(site: Site, target: str, text: str, reason: str) -> None:
    site.module("guest_hello_cli", text)
    site.commands("gad-hello", hello=target)
    ended = gad("hello")
    assert ended.exit_code == 2 and "Traceback" not in ended.output
    assert ended.output.startswith("gad-hello 1.0: command 'hello' cannot be imported: ") and reason in ended.output
    assert gad("--help").exit_code == 0


def test_a_built_in_is_never_shadowed(site: Site) -> None:
    site.module("guest_hello_cli", HELLO)
    site.commands("gad-hello", **dict.fromkeys(OURS, TARGET))
    for name in OURS:
        assert "Greet somebody" not in gad(name, "--help").output
        assert gad(f"gad-hello:{name}").output == "hello world\n"
        assert f"  gad-hello:{name} " in gad("--help").output
    listed = gad("plugins").output
    assert "ready, as `gad gad-hello:run`: run is a command of gad-framework" in listed


def test_a_name_that_two_plugins_offer_names_both(site: Site) -> None:
    site.module("guest_hello_cli", HELLO)
    site.commands("gad-one", hello=TARGET)
    site.commands("gad-two", hello=TARGET)
    ended = gad("hello")
    assert ended.exit_code == 2
    assert "several plugins offer the command 'hello': gad-one:hello, gad-two:hello" in ended.output
    assert "choose one, for example `gad gad-one:hello`" in ended.output
    assert gad("gad-two:hello").output == "hello world\n"
    shown = gad("--help").output
    assert "gad-one:hello" in shown and "gad-two:hello" in shown


def test_a_name_that_nobody_offers_has_a_suggestion(site: Site) -> None:
    site.commands("gad-hello", hello=TARGET)
    site.install("gad-broken", "import no_such_module_anywhere")
    for word, close in (("chek", "check"), ("helo", "hello")):
        ended = gad(word)
        assert ended.exit_code == 2 and f"there is no command {word!r}" in ended.output
        assert f"did you mean {close!r}?" in ended.output and "gad-broken 1.0: cannot be imported" in ended.output
    assert gad("--colour").exit_code == 2


UNSOUND = {
    "raises": ("raise ValueError('oh')", "hook gad_commands raised ValueError: oh"),
    "nothing": ("pass", "hook gad_commands should return a mapping"),
    "a list": ("return ['hello']", "hook gad_commands should return a mapping"),
    "a function": ("return {'hello': print}", "does not say where 'hello' is"),
    "no attribute": ("return {'hello': 'guest_hello_cli'}", "does not say where 'hello' is"),
    "a path": ("return {'hello': './hello.py:hello'}", "does not say where 'hello' is"),
    "an option": ("return {'--hello': 'a:b'}", "a name that no command can have"),
    "a colon": ("return {'a:b': 'a:b'}", "a name that no command can have"),
    "two words": ("return {'a b': 'a:b'}", "a name that no command can have"),
    "a number": ("return {3: 'a:b'}", "a name that no command can have"),
    "steers the terminal": (r"return {'\x1b[31m': 'a:b'}", "a name that no command can have"),
    "unhashable": (
        "class Odd(dict):\n        def items(self): raise KeyError('no')\n    return Odd()",
        "hook gad_commands raised KeyError",
    ),
}


@pytest.mark.parametrize(("body", "reason"), UNSOUND.values(), ids=UNSOUND)
def test_a_faulty_hook_is_listed_and_the_components_stay(site: Site, body: str, reason: str) -> None:
    text = COMMANDS.replace("return {commands}", body)
    site.install("gad-odd", HEAD.format(name="guest") + text)
    found = installed()
    assert [one.name for one in found.offers if one.distribution == "gad-odd"] == ["guest"]
    (broken,) = [one for one in found.broken if one.distribution == "gad-odd"]
    assert reason in broken.reason and not found.commands
    assert gad("--help").exit_code == 0


def test_one_unsound_command_loses_itself_alone(site: Site) -> None:
    site.commands("gad-odd", hello=TARGET, bye="nowhere")
    assert [one.name for one in installed().commands] == ["hello"] and len(installed().broken) == 1


def test_commands_are_listed_as_plugins(site: Site) -> None:
    site.commands("gad-hello", hello=TARGET)
    (line,) = [line for line in gad("plugins").output.splitlines() if "gad-hello" in line]
    assert "command" in line and "hello" in line and "1.0" in line and "ready, as `gad hello`" in line


def test_our_commands_do_not_wait_for_plugins(site: Site) -> None:
    """Whether a word is one of ours is known without them."""
    site.install("gad-slow", "import time\ntime.sleep(30)")
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "gad_core.cli", "score", "--help"],
        env={"PYTHONPATH": ":".join([str(site.folder), *sys.path]), "PATH": ""},
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert time.perf_counter() - start < 20
