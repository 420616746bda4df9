"""`gad plugins`: what is installed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from gad_core.discovery.plugins import Plugins


@click.command()
@click.argument("name", required=False)
@click.option("--registry", type=click.Path(path_type=Path), help="Also run and list the plugin files that it names.")
def plugins(name: str | None, registry: Path | None) -> None:
    """List installed components and commands, and plugins that are broken, slow or left out.

    With a NAME, the options of that component.

    \b
    Example:
      gad plugins
      gad plugins gad
      gad plugins --registry registry.yaml
    """
    from gad_core.discovery.plugins import installed
    from gad_core.report.console import make_console

    if registry is None:
        found = installed()
    else:
        from gad_core.registry import offered

        found = offered(registry)
    if name is None:
        _list(found, make_console())
    else:
        _describe(found, name, make_console())


def _list(found: Plugins, console: Console) -> None:
    from rich.table import Table

    from gad_core.cli import COMMANDS
    from gad_core.cli.guests import called
    from gad_core.discovery.plugins import DISTRIBUTION

    table = Table("kind", "name", "distribution", "version", "state")
    for offer in found.offers:
        use = found.use(offer.component)
        state = "ready" if use == offer.name else f"ready, as `use: {use}`: several plugins offer this name"
        table.add_row(offer.kind, offer.name, offer.distribution, offer.version, state)
    for command in found.commands:
        state = f"ready, as `gad {called(command, found, COMMANDS)}`"
        if command.name in COMMANDS:
            state += f": {command.name} is a command of {DISTRIBUTION}"
        table.add_row("command", command.name, command.distribution, command.version, state)
    remarks = {"broken": found.broken, "slow": found.slow, "note": found.warned, "left out": found.left_out}
    for word, those in remarks.items():
        for one in those:
            kind = "?" if word == "broken" else ""
            table.add_row(kind, one.entry_point, one.distribution, one.version, f"{word}: {one.reason}")
    console.print(table)


def _describe(found: Plugins, name: str, console: Console) -> None:
    from rich.table import Table

    from gad_core.discovery.guard import guarded
    from gad_core.errors import PluginError
    from gad_core.files.suggestions import suggestion
    from gad_core.registry.reference import options

    offers = [offer for offer in found.offers if name in (offer.name, f"{offer.distribution}:{offer.name}")]
    if not offers:
        known = sorted({offer.name for offer in found.offers})
        raise PluginError(f"nobody offers {name!r}", hint=suggestion(name, known, "`gad plugins` lists what there is"))
    for offer in offers:
        console.rule(f"{offer.kind} {offer.name} ({offer.who})")
        table = Table("option", "type", "default", "meaning")
        faults: list[str] = []
        with guarded(f"the options of {offer.name} ({offer.who})", faults.append):
            described = inspect.cleandoc(offer.component.__doc__ or "")
            for option in options(offer.component):
                table.add_row(*option)
        if faults:
            raise PluginError(f"its options cannot be told: {faults[0]}", where=offer.who)
        console.print(described, highlight=False)
        console.print(table)
