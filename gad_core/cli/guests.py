"""The subcommands of plugins: listed without importing them, and imported when they are called."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click

from gad_core.discovery import plugins
from gad_core.discovery.guard import guarded
from gad_core.discovery.plugins import Command, Plugins
from gad_core.errors import PluginError


def called(command: Command, found: Plugins, ours: Sequence[str]) -> str:
    """What to type for a subcommand: its name, behind its distribution where it is one of ours or several offer it."""
    rivals = [other for other in found.commands if other.name == command.name]
    shared = command.name in ours or len(rivals) > 1
    return f"{command.distribution}:{command.name}" if shared else command.name


def listed(ours: Sequence[str]) -> list[tuple[str, str]]:
    """What to type for each subcommand of a plugin, and whose it is."""
    found = plugins.installed()
    return [(called(command, found, ours), f"of {command.who}") for command in found.commands]


def load_command(use: str, ours: Sequence[str]) -> click.Command:
    """The subcommand of a plugin, imported. Raises `PluginError` where nobody or several offer it, and where it cannot
    be imported."""
    command = plugins.installed().command(use, ours)
    what, found, faults = f"command {command.name!r}", None, list[str]()
    with guarded(f"{what} of {command.who}", faults.append):
        module, _, attribute = command.target.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, click.Command):
            faults.append(f"{command.target} is no click command")
    if faults or found is None:
        raise PluginError(
            f"{what} cannot be imported: {faults[0]}", where=command.who, hint="mend the plugin, or tell its authors"
        )
    return found
