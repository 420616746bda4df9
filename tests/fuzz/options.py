"""Command lines with odd values, made from what click was told of each command: a new option is tried by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from random import Random

import click

from .attempt import PROGRAMS
from .values import ARGUMENTS

GOOD = {
    "gad score file": "score.json", "gad features pack sources": "raw", "gad features pack out": "out.lmdb",
    "gad features verify registry": "registry.yaml", "gad stream run": "runs/stream/0", "gad new kind": "head",
    "gad new name": "fresh", "gad plugins name": "gad", "gad show name": "gad", "gad run names": "gad",
    "gad check experiments": "gad", "gad bench file": "registry.yaml", "gad_oad convert benchmark": "thumos14",
    "gad_oad convert annotations": "originals/thumos.csv", "gad_oad convert features": "mine.lmdb",
    "gad_oad convert data_info": "data_info.json", "gad_oad convert out": "converted",
    "file": "registry.yaml", "experiment": "gad", "run": "runs/gad/0", "features": "mine.lmdb", "store": "mine.lmdb",
    "recordings": "r0", "fps": "2", "out": "out.csv", "split": "test", "options": "dataset.missing=skip",
}  # fmt: skip
"""What is right for a parameter, by command and name or by name. Others take a value of their type."""
PATHS = (
    "",
    ".",
    "..",
    "absent",
    "registry.yaml",
    "mine.lmdb",
    "raw",
    "runs",
    "pipe",
    "loop",
    "score.json",
    "raw/r0.npy",
)
NUMBERS = (
    *("-1", "0", "1", "2", "0.5", "nan", "inf", "-inf", "1e308", "1e-320", "1e400", "9" * 5000, str(2**31), str(2**63)),
    *(str(2**64), "-9223372036854775809", "٣", "1_0", " 1", "0x10", "", "a", "1,5", "None", "1e3"),
)
SLOW = {"compile", "workload", "heads", "kinds"}
"""Parameters that ask for minutes of work by their nature, or for a process each."""
WRITTEN = {"into"}
"""Parameters that name a folder to write to; it is none outside the one that the command is called in."""
ALWAYS = {
    "gad bench": (
        "--workload=oad",
        "--head=gad",
        "--kind=stream",
        "--seconds=0.01",
        "--layers=1",
        "--frames=8",
        "--tokens=1",
    ),
    "gad_oad convert": ("--fps=4",),
}
"""Words without which a command is long or wrong; odd values stand behind them and win."""
LIGHT = ("gad check", "gad score", "gad features", "gad schema", "gad plugins", "gad new", "gad_oad")
"""Commands that import no torch."""
ENTRIES = (
    "registry.yaml",
    "mine.lmdb",
    "mine.csv",
    "labels.txt",
    "raw",
    "runs",
    "originals",
    "score.json",
    "data_info.json",
)
"""What lies in the folder that the commands are called in."""


@dataclass(frozen=True)
class Command:
    """One command: `name` is how it is called, "gad features pack"."""

    name: str
    command: click.Command

    @property
    def torch(self) -> bool:
        return not self.name.startswith(LIGHT)


@lru_cache(maxsize=1)
def commands() -> list[Command]:
    """Every command of every command line."""
    return [
        command
        for program, module in PROGRAMS.items()
        for command in _commands(program, import_module(module).main, click.Context(import_module(module).main))
    ]


def _commands(name: str, command: click.Command, context: click.Context) -> Iterator[Command]:
    if not isinstance(command, click.Group):
        yield Command(name, command)
        return
    for inner in command.list_commands(context):
        found = command.get_command(context, inner)
        assert found is not None, f"{inner} is listed"
        yield from _commands(f"{name} {inner}", found, context)


def good_words(command: Command) -> list[str]:
    """The shortest command line that is right."""
    words, arguments = [*command.name.split(), *ALWAYS.get(command.name, ())], list[str]()
    for one in command.command.params:
        if one.required and isinstance(one, click.Option):
            words += [one.opts[0], _good(command.name, one)]
        elif one.required:
            arguments.append(_good(command.name, one))
    return [*words, *arguments]


def odd_words(command: Command, random: Random) -> list[str]:
    """A command line in which most is right and one or two things are not."""
    parameters = [one for one in command.command.params if one.name not in SLOW]
    wrong = set(random.sample(range(len(parameters)), min(len(parameters), random.choice((1, 1, 1, 2, 3)))))
    words = [*command.name.split(), *ALWAYS.get(command.name, ())]
    arguments: list[str] = []
    for number, one in enumerate(parameters):
        if number not in wrong and not one.required and random.random() < 0.85:
            continue
        value = _odd(one, random) if number in wrong else _good(command.name, one)
        if isinstance(one, click.Option):
            words += _option(one, value, random)
        else:
            arguments += [value] * (random.choice((1, 1, 2)) if one.nargs == -1 else 1)
    return _disturbed([*words, *arguments], len(command.name.split()), random)


def _option(option: click.Option, value: str, random: Random) -> list[str]:
    name = random.choice([*option.opts, *option.secondary_opts])
    given = [name] if option.is_flag else [name, value] if random.random() < 0.7 else [f"{name}={value}"]
    return given * (2 if random.random() < 0.15 else 1)


def _good(command: str, parameter: click.Parameter) -> str:
    known = GOOD.get(f"{command} {parameter.name}") or GOOD.get(str(parameter.name))
    if known is None and isinstance(parameter.type, click.Choice):
        known = str(parameter.type.choices[0])
    return known or "1"


def _odd(parameter: click.Parameter, random: Random) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        choice = str(random.choice(list(kind.choices)))
        return random.choice((choice, choice, choice.upper(), choice[:-1], *ARGUMENTS))
    if parameter.name in WRITTEN:
        return random.choice([path for path in PATHS if path != ".."])
    if isinstance(kind, click.Path):
        return random.choice((*PATHS, *PATHS, *ARGUMENTS))
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        return random.choice(NUMBERS)
    return random.choice(
        (*NUMBERS, *ARGUMENTS, *ARGUMENTS, "dataset.", "head.decoding=", "dataset.mode=[", "a=&a [*a]")
    )


def _disturbed(words: list[str], name: int, random: Random) -> list[str]:
    """Now and then a word is missing, there twice, or unknown."""
    change = random.randrange(20)
    place = random.randint(name, len(words))
    if change == 0 and place < len(words):
        del words[place]
    elif change == 1:
        words.insert(place, random.choice(ARGUMENTS))
    elif change == 2:
        words.insert(place, random.choice(("--", "-", "-x", "--absent", "--help=1", "--json", "-h")))
    return words
