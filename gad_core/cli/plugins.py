"""`gad plugins`: what is installed."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from gad_core.plugins import Plugins


@click.command()
@click.argument("name", required=False)
def plugins(name: str | None) -> None:
    """List installed components, broken and slow plugins; with a NAME, the options of that component.

    \b
    Example:
      gad plugins
      gad plugins gad
    """
    from gad_core.console import make_console
    from gad_core.plugins import installed

    if name is None:
        _list(installed(), make_console())
    else:
        _describe(installed(), name, make_console())


def _list(found: Plugins, console: Console) -> None:
    from rich.table import Table

    table = Table("kind", "name", "distribution", "version", "state")
    for offer in found.offers:
        use = found.use(offer.component)
        state = "ready" if use == offer.name else f"ready, as `use: {use}`: several plugins offer this name"
        table.add_row(offer.kind, offer.name, offer.distribution, offer.version, state)
    for broken in found.broken:
        state = f"broken: {broken.reason}"
        table.add_row("?", broken.entry_point, broken.distribution, broken.version, state)
    for slow in found.slow:
        table.add_row("", slow.entry_point, slow.distribution, slow.version, f"slow: {slow.reason}")
    console.print(table)


def _describe(found: Plugins, name: str, console: Console) -> None:
    from rich.table import Table

    from gad_core.errors import PluginError
    from gad_core.guard import guarded
    from gad_core.registry.reference import options
    from gad_core.suggestions import suggestion

    offers = [offer for offer in found.offers if name in (offer.name, f"{offer.distribution}:{offer.name}")]
    if not offers:
        known = sorted({offer.name for offer in found.offers})
        raise PluginError(f"nobody offers {name!r}", hint=suggestion(name, known, "`gad plugins` lists what there is"))
    for offer in offers:
        console.rule(f"{offer.kind} {offer.name} ({offer.distribution} {offer.version})")
        table = Table("option", "type", "default", "meaning")
        faults: list[str] = []
        with guarded(f"the options of {offer.name} ({offer.distribution} {offer.version})", faults.append):
            described = inspect.cleandoc(offer.component.__doc__ or "")
            for option in options(offer.component):
                table.add_row(*option)
        if faults:
            raise PluginError(f"its options cannot be told: {faults[0]}", where=f"{offer.distribution} {offer.version}")
        console.print(described, highlight=False)
        console.print(table)
