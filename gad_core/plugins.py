"""Discovery: every installed distribution with an entry point in group `gad` may offer components.

We go through the entry points ourselves: whatever one of them does wrong is noted and stops nobody else.
"""

from __future__ import annotations

import inspect
import itertools
import operator
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import pluggy

from gad_core import hookspecs
from gad_core.contracts import KINDS, PLUGIN_API, Component
from gad_core.errors import PluginError
from gad_core.guard import guarded
from gad_core.hookspecs import GROUP, HOOKS
from gad_core.suggestions import suggestion

DISTRIBUTION = "gad-framework"
"""Our own distribution; its components are offered as anybody's are."""
DOOR = "gad_core.plugin"
"""What plugins import of the core at their top."""
HEAVY = ("torch", "transformers", "peft", "accelerate", "matplotlib", "sklearn")
"""What a plugin module must not import: listing and checking would take seconds. `build()` and `open()` may."""
SLOW = 1.0
"""Seconds after which the import of a plugin module is called slow."""

MOST = 1000
"""Components that one hook may offer; one that never ends yields more."""


@dataclass(frozen=True)
class Offer:
    """One component and who offers it."""

    kind: str
    name: str
    distribution: str
    version: str
    component: type[Component]

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.distribution} {self.version}"


@dataclass(frozen=True)
class Broken:
    """A plugin, or a part of one, that cannot be used, and why."""

    entry_point: str
    distribution: str
    version: str
    reason: str


@dataclass(frozen=True)
class Slow:
    """A plugin that works and makes every command wait, and why."""

    entry_point: str
    distribution: str
    version: str
    reason: str


@dataclass(frozen=True)
class Plugins:
    """All that is installed."""

    offers: tuple[Offer, ...]
    broken: tuple[Broken, ...] = ()
    slow: tuple[Slow, ...] = ()

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

        Raises `PluginError` when nobody offers it, with what broken plugins might have, or when several do.
        """
        distribution, _, name = use.rpartition(":")
        found = [offer for offer in self.of(kind) if offer.name == name and distribution in ("", offer.distribution)]
        if len(found) == 1:
            return found[0]
        if found:
            providers = [f"{offer.distribution}:{name}" for offer in found]
            raise PluginError(
                f"several plugins offer the {kind} {name!r}: {', '.join(providers)}",
                hint=f"choose one, for example `use: {providers[0]}`",
            )
        names = sorted({offer.name for offer in self.of(kind)})
        hint = suggestion(name, names, f"installed are {', '.join(names) or 'none'}")
        if self.broken:
            culprits = "; ".join(f"{broken.distribution} {broken.version}: {broken.reason}" for broken in self.broken)
            hint += f" (these plugins are broken and may offer it: {culprits})"
        raise PluginError(f"there is no {kind} {use!r}", hint=hint)


@lru_cache(maxsize=1)
def installed() -> Plugins:
    """Everything installed in this environment; found once a process."""
    return discover(entry_points(group=GROUP))


def discover(points: Iterable[EntryPoint]) -> Plugins:
    """Imports the entry points one by one and asks each for its components."""
    offers: dict[tuple[str, str, str, int], Offer] = {}
    broken: list[Broken] = []
    slow: list[Slow] = []
    import_module(DOOR)  # every plugin needs it, so its time is not that of whoever comes first
    for point, who in sorted(
        ((point, _distribution(point)) for point in points), key=lambda one: (one[1], one[0].name)
    ):

        def note(reason: str, point: EntryPoint = point, who: tuple[str, str] = who) -> None:
            broken.append(Broken(point.name, *who, " ".join(reason.split())))

        visit = _Visit(f"plugin {point.name} of {' '.join(who)}", note)
        module, reason = visit.imported(point)
        if reason:
            slow.append(Slow(point.name, *who, reason))
        for kind, component in visit.components(module) if module is not None else ():
            offers[kind, component.name, who[0], id(component)] = Offer(kind, component.name, *who, component)
    return Plugins(tuple(offers.values()), tuple(broken), tuple(slow))


def _distribution(point: EntryPoint) -> tuple[str, str]:
    """Name and version of who is installed with an entry point, as far as its metadata can be read."""
    found = ["unknown", ""]
    with guarded(f"the metadata of {point.name}", lambda _: None):
        if point.dist is not None:
            found = [str(point.dist.metadata[key] or word) for key, word in (("Name", "unknown"), ("Version", ""))]
    return found[0], found[1]


@dataclass(frozen=True)
class _Visit:
    """What is done with one plugin: `who` it is for the user, and where its faults are noted."""

    who: str
    note: Callable[[str], None]

    def imported(self, point: EntryPoint) -> tuple[object | None, str]:
        """The plugin module, None where it cannot be imported or was written for another gad; and why it is slow."""
        module = api = None
        before, threads, start = loaded_heavy(), set(threading.enumerate()), time.perf_counter()
        with guarded(self.who, lambda reason: self.note(f"cannot be imported: {reason}")):
            module = point.load()
        seconds = time.perf_counter() - start
        if module is None:
            return None, ""
        with guarded(self.who, lambda reason: self.note(f"its PLUGIN_API cannot be read: {reason}")):
            api = operator.index(getattr(module, "PLUGIN_API", PLUGIN_API))
        if api == PLUGIN_API:
            return module, slowness(seconds, loaded_heavy() - before) or _waiting(set(threading.enumerate()) - threads)
        if api is not None:
            self.note(f"was written for plugin API {api}, this gad has {PLUGIN_API}: update the older of the two")
        return None, ""

    def components(self, module: object) -> list[tuple[str, type[Component]]]:
        """The (kind, component) pairs of a plugin module."""
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        registered = False
        with guarded(self.who, lambda reason: self.note(f"has a faulty hook: {reason}")):
            manager.register(module)  # pluggy goes no further at the first fault, so the hooks behind it are lost too
            registered = True
        if not registered:
            return []
        try:
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            self.note(f"{str(error).splitlines()[-1]}: the hooks are {', '.join(HOOKS.values())}")
        return [pair for kind, hook in HOOKS.items() for pair in self._yielded(kind, hook, getattr(manager.hook, hook))]

    def _yielded(self, kind: str, hook: str, caller: pluggy.HookCaller) -> list[tuple[str, type[Component]]]:
        """The components of one hook; a raising hook loses its own alone."""
        answers, yielded, sound = [], [], False
        with guarded(self.who, lambda reason: self.note(f"hook {hook} raised {reason}")):
            answers = caller()
            yielded = [component for answer in answers for component in itertools.islice(answer, MOST + 1)]
            sound = True
        if sound and caller.get_hookimpls() and not answers:  # pluggy leaves a None out
            self.note(f"hook {hook} returned nothing: it should return a list of components")
        if len(yielded) > MOST:
            self.note(f"hook {hook} yielded more than {MOST} components: does it ever end?")
            return []
        return [(kind, component) for component in yielded if self._sound(component, kind, hook)]

    def _sound(self, component: object, kind: str, hook: str) -> bool:
        called, faults = "something", list[str | None]()
        with guarded(self.who, lambda reason: faults.append(f"looking at it raised {reason}")):
            called = component.__qualname__ if isinstance(component, type) else f"a {type(component).__qualname__}"
            faults.append(fault_of(component, kind))
        for fault in filter(None, faults):
            self.note(f"hook {hook} yielded {called}: {fault}")
        return not any(faults)


def _waiting(started: set[threading.Thread]) -> str:
    """What is said of a plugin that started threads for which Python waits at the end of every command."""
    names = sorted(thread.name for thread in started if not thread.daemon)
    return f"starts {', '.join(names)} at import, for which every command waits: make it a daemon" if names else ""


def loaded_heavy() -> set[str]:
    """The heavy packages that this process has imported."""
    return {name for name in HEAVY if name in sys.modules}


def slowness(seconds: float, heavy: set[str]) -> str:
    """Why the import of a plugin module is slow; empty when it is not."""
    if heavy:
        return f"imports {', '.join(sorted(heavy))} ({seconds:.1f} s): move the import into build() or open()"
    return f"takes {seconds:.1f} s to import" if seconds > SLOW else ""


def fault_of(component: object, kind: str) -> str | None:
    """Why a component cannot be offered as one of its kind, or None."""
    contract = KINDS[kind]
    if not (isinstance(component, type) and issubclass(component, contract)):
        return f"not a subclass of {contract.__name__}"
    if inspect.isabstract(component):
        return f"it lacks {', '.join(sorted(component.__abstractmethods__))}"
    hash(component)  # raises here, where it is noted, and not wherever a class happens to be a key
    name = getattr(component, "name", None)
    if type(name) is not str or not name.strip() or ":" in name or not name.isprintable():
        return "it has no `name`, or one with a colon or with characters that cannot be printed"
    if "use" in {field.alias or name for name, field in component.model_fields.items()}:
        return "`use` cannot be an option: it names the component"
    return None
