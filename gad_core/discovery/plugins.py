"""Discovery: every installed distribution with an entry point in group `gad` may offer components and commands.

We go through the entry points ourselves: whatever one of them does wrong is noted and stops nobody else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from gad_core.contracts.components import KINDS, Component
from gad_core.contracts.hooks import GROUP
from gad_core.discovery.guard import guarded
from gad_core.discovery.visit import Visit, visit
from gad_core.errors import PluginError
from gad_core.files.suggestions import suggestion

DISTRIBUTION = "gad-framework"
"""Our own distribution; its components are offered as anybody's are."""
DOOR = "gad_core.plugin"
"""What plugins import of the core at their top."""
WITHOUT = "GAD_WITHOUT"
"""The environment variable that names plugins to leave out: `GAD_WITHOUT=a,b`. Processes that a command starts see it
too."""


class _Supplied:
    """What a distribution brings."""

    distribution: str
    version: str

    @property
    def who(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True)
class Offer(_Supplied):
    """One component and who offers it. The distribution of a plugin file is its file name, without a version."""

    kind: str
    name: str
    distribution: str
    version: str
    component: type[Component]

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.who}"


@dataclass(frozen=True)
class Command(_Supplied):
    """A subcommand that a plugin offers; `target` is the `package.module:attribute` where it is."""

    name: str
    distribution: str
    version: str
    target: str


@dataclass(frozen=True)
class Remark(_Supplied):
    """What is said of a plugin."""

    entry_point: str
    distribution: str
    version: str
    reason: str


class Broken(Remark):
    """A plugin, or a part of one, that cannot be used, and why."""


class Slow(Remark):
    """A plugin that works and makes every command wait, and why."""


class Warned(Remark):
    """A plugin that works, but for what this gad does not know."""


class LeftOut(Remark):
    """A plugin that was not imported, since the user said so."""


Offered = TypeVar("Offered", Offer, Command)


@dataclass(frozen=True)
class Plugins:
    """All that is installed, or offered by plugin files."""

    offers: tuple[Offer, ...]
    broken: tuple[Broken, ...] = ()
    slow: tuple[Slow, ...] = ()
    warned: tuple[Warned, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    commands: tuple[Command, ...] = ()

    def __add__(self, other: Plugins) -> Plugins:
        """All that is said of these and of others, such as those of plugin files."""
        return Plugins(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def of(self, kind: str) -> list[Offer]:
        """The offers of one kind (`head`, `dataset`, …)."""
        return [offer for offer in self.offers if offer.kind == kind]

    def use(self, component: type[Component]) -> str:
        """What `use:` says for a component: its name, behind its distribution where several offer that name."""
        rivals = [
            offer for offer in self.offers if offer.name == component.name and issubclass(component, KINDS[offer.kind])
        ]
        own = next((offer for offer in rivals if offer.component is component), None)
        return f"{own.distribution}:{own.name}" if own and len(rivals) > 1 else component.name

    def guest(self, component: type[Component]) -> Offer | None:
        """Who offers a component that is not our own."""
        offers = (offer for offer in self.offers if offer.component is component)
        return next((offer for offer in offers if offer.distribution != DISTRIBUTION), None)

    def find(self, kind: str, use: str) -> Offer:
        """The component that `use` names, as `name` or `distribution:name`.

        Raises `PluginError` when nobody offers it, with what plugins might have that are broken or left out, or when
        several do.
        """
        return self._chosen(kind, use, self.of(kind), "choose one, for example `use: {}`")

    def command(self, use: str, ours: Sequence[str] = ()) -> Command:
        """The subcommand that a plugin offers as `name` or `distribution:name`; raises `PluginError` as `find` does.

        `ours` are the names that a misspelt one may have been meant for besides.
        """
        return self._chosen("command", use, self.commands, "choose one, for example `gad {}`", ours)

    def _chosen(self, kind: str, use: str, offers: Sequence[Offered], choose: str, ours: Sequence[str] = ()) -> Offered:
        distribution, _, name = use.rpartition(":")
        found = [offer for offer in offers if offer.name == name and distribution in ("", offer.distribution)]
        if len(found) == 1:
            return found[0]
        if found:
            providers = [f"{offer.distribution}:{name}" for offer in found]
            raise PluginError(
                f"several plugins offer the {kind} {name!r}: {', '.join(providers)}", hint=choose.format(providers[0])
            )
        names = [*ours, *sorted({offer.name for offer in offers})]
        hint = suggestion(name, names, f"installed are {', '.join(names) or 'none'}")
        if self.broken:
            culprits = "; ".join(f"{broken.who}: {broken.reason}" for broken in self.broken)
            hint += f" (these plugins are broken and may offer it: {culprits})"
        if self.left_out:
            those = ", ".join(f"{one.entry_point} of {one.who}" for one in self.left_out)
            hint += f" (left out by --without or {WITHOUT}, and may offer it: {those})"
        raise PluginError(f"there is no {kind} {use!r}", hint=hint)


@lru_cache(maxsize=1)
def installed() -> Plugins:
    """Everything installed in this environment but what `GAD_WITHOUT` names; found once a process."""
    return discover(entry_points(group=GROUP), os.environ.get(WITHOUT, "").split(","))


@contextmanager
def leaving_out(names: Sequence[str]) -> Iterator[None]:
    """Leaves plugins out while inside, by entry point or distribution, besides those that `GAD_WITHOUT` names already.

    Raises `PluginError` for a name that no plugin has.
    """
    kept = os.environ.get(WITHOUT)
    every = [*names, *(kept or "").split(",")]
    _left_out([_named(point) for point in entry_points(group=GROUP)], every)
    os.environ[WITHOUT] = ",".join(filter(None, every))
    installed.cache_clear()
    try:
        yield
    finally:
        installed.cache_clear()
        os.environ.pop(WITHOUT)
        if kept is not None:
            os.environ[WITHOUT] = kept


@dataclass(frozen=True)
class _Named(_Supplied):
    """An entry point with the name and version of its distribution."""

    point: EntryPoint
    distribution: str
    version: str

    def is_called(self, name: str) -> bool:
        """Whether a user who says this name may mean it."""
        return name == self.point.name or _plain(name) == _plain(self.distribution)

    def said(self) -> tuple[str, str, str]:
        return self.point.name, self.distribution, self.version


def discover(points: Iterable[EntryPoint], without: Iterable[str] = ()) -> Plugins:
    """Imports the entry points one by one and asks each for what it offers; those named in `without` are not touched.

    Raises `PluginError` for a name in `without` that no plugin has.
    """
    import_module(DOOR)  # every plugin needs it, so its time is not that of whoever comes first
    named = sorted(map(_named, points), key=lambda one: (one.distribution, one.point.name))
    left = _left_out(named, without)
    visits = [(one, _visited(one)) for one in named if one not in left]
    offers = {
        (kind, component.name, one.distribution, id(component)): Offer(
            kind, component.name, one.distribution, one.version, component
        )
        for one, found in visits
        for kind, component in found.components
    }
    commands = {
        Command(name, one.distribution, one.version, target): None
        for one, found in visits
        for name, target in found.commands.items()
    }
    return Plugins(
        tuple(offers.values()),
        broken=tuple(Broken(*one.said(), reason) for one, found in visits for reason in found.broken),
        slow=tuple(Slow(*one.said(), found.slow) for one, found in visits if found.slow),
        warned=tuple(Warned(*one.said(), reason) for one, found in visits for reason in found.warnings),
        left_out=tuple(LeftOut(*one.said(), f"by --without or {WITHOUT}") for one in left),
        commands=tuple(commands),
    )


def _visited(one: _Named) -> Visit:
    return visit(f"plugin {one.point.name} of {one.who}", one.point.load)


def _left_out(named: Sequence[_Named], names: Iterable[str]) -> list[_Named]:
    """The plugins that some names leave out; raises `PluginError` for a name that none has."""
    wanted = [name.strip() for name in names if name.strip()]
    for name in wanted:
        if not any(one.is_called(name) for one in named):
            every = sorted({word for one in named for word in (one.point.name, one.distribution)})
            hint = suggestion(name, every, f"there are {', '.join(every) or 'none'}")
            raise PluginError(f"there is no plugin {name!r} to leave out", where=f"--without or {WITHOUT}", hint=hint)
    return [one for one in named if any(map(one.is_called, wanted))]


def _plain(distribution: str) -> str:
    """The name of a distribution as pip compares them: dashes, dots, underscores and capitals do not count."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _named(point: EntryPoint) -> _Named:
    """An entry point with name and version of who is installed with it, as far as its metadata can be read."""
    found = ["unknown", ""]
    with guarded(f"the metadata of {point.name}", lambda _: None):
        if point.dist is not None:
            found = [str(point.dist.metadata[key] or word) for key, word in (("Name", "unknown"), ("Version", ""))]
    return _Named(point, found[0], found[1])
