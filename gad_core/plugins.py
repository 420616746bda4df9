"""Discovery: every installed distribution with an entry point in group `gad` may offer components.

We go through the entry points ourselves: whatever one of them does wrong is noted and stops nobody else.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pluggy

from gad_core import hookspecs
from gad_core.contracts import KINDS, PLUGIN_API, Component
from gad_core.errors import PluginError
from gad_core.hookspecs import GROUP, HOOKS
from gad_core.suggestions import suggestion

DISTRIBUTION = "gad-framework"
"""Our own distribution; its components are offered as anybody's are."""
HEAVY = ("torch", "transformers", "peft", "accelerate", "matplotlib", "sklearn")
"""What a plugin module must not import: listing and checking would take seconds. `build()` and `open()` may."""
SLOW = 1.0
"""Seconds after which the import of a plugin module is called slow."""


@dataclass(frozen=True)
class Offer:
    """One component and who offers it."""

    kind: str
    name: str
    distribution: str
    version: str
    component: type[Component]


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
    offers: list[Offer] = []
    broken: list[Broken] = []
    slow: list[Slow] = []
    for point in sorted(points, key=lambda point: (_distribution(point), point.name)):
        who = (_distribution(point), point.dist.version if point.dist else "")

        def note(reason: str, point: EntryPoint = point, who: tuple[str, str] = who) -> None:
            broken.append(Broken(point.name, *who, " ".join(reason.split())))

        before, start = loaded_heavy(), time.perf_counter()
        try:
            with redirect_stdout(sys.stderr):  # what a guest prints is no part of what a command prints
                module = point.load()
        except (Exception, SystemExit) as error:  # whatever a guest's import raises is nobody else's fault
            note(f"cannot be imported: {type(error).__name__}: {told(error)}")
            continue
        reason = slowness(time.perf_counter() - start, loaded_heavy() - before)
        if reason:
            slow.append(Slow(point.name, *who, reason))
        api = getattr(module, "PLUGIN_API", PLUGIN_API)
        if api != PLUGIN_API:
            note(f"was written for plugin API {api}, this gad has {PLUGIN_API}: update the older of the two")
            continue
        offers += [Offer(kind, component.name, *who, component) for kind, component in components_of(module, note)]
    return Plugins(tuple(dict.fromkeys(offers)), tuple(broken), tuple(slow))


def loaded_heavy() -> set[str]:
    """The heavy packages that this process has imported."""
    return {name for name in HEAVY if name in sys.modules}


def slowness(seconds: float, heavy: set[str]) -> str:
    """Why the import of a plugin module is slow; empty when it is not."""
    if heavy:
        return f"imports {', '.join(sorted(heavy))} ({seconds:.1f} s): move the import into build() or open()"
    return f"takes {seconds:.1f} s to import" if seconds > SLOW else ""


def told(error: BaseException) -> str:
    """The words of an error, whatever a guest's error class does."""
    try:
        return str(error)
    except Exception as fault:
        return f"(an error that cannot be printed: {type(fault).__name__})"


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"


def components_of(module: ModuleType, note: Callable[[str], None]) -> list[tuple[str, type[Component]]]:
    """The (kind, component) pairs of a plugin module; what is wrong with any is told to `note`."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
    except pluggy.PluginValidationError as error:  # pluggy goes no further, so the hooks behind it are lost too
        note(f"has a faulty hook: {_last_line(error)}")
        return []
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        note(f"{_last_line(error)}: the hooks are {', '.join(HOOKS.values())}")
    found: list[tuple[str, type[Component]]] = []
    for kind, hook in HOOKS.items():
        caller = getattr(manager.hook, hook)
        try:
            answers = caller()
            yielded = [component for answer in answers for component in answer]
        except (Exception, SystemExit) as error:  # a raising hook loses its own components alone
            note(f"hook {hook} raised {type(error).__name__}: {told(error)}")
            continue
        if caller.get_hookimpls() and not answers:  # pluggy leaves a None out
            note(f"hook {hook} returned nothing: it should return a list of components")
        for component in yielded:
            try:
                fault = fault_of(component, kind)
            except Exception as error:  # a guest's metaclass or property may raise
                fault = f"looking at it raised {type(error).__name__}: {told(error)}"
            if fault:
                called = component.__qualname__ if isinstance(component, type) else f"a {type(component).__qualname__}"
                note(f"hook {hook} yielded {called}: {fault}")
            else:
                found.append((kind, component))
    return found


def _last_line(error: Exception) -> str:
    return str(error).splitlines()[-1]


def fault_of(component: object, kind: str) -> str | None:
    """Why a component cannot be offered as one of its kind, or None."""
    contract = KINDS[kind]
    if not (isinstance(component, type) and issubclass(component, contract)):
        return f"not a subclass of {contract.__name__}"
    if inspect.isabstract(component):
        return f"it lacks {', '.join(sorted(component.__abstractmethods__))}"
    if not isinstance(getattr(component, "name", None), str) or not component.name or ":" in component.name:
        return "it has no `name`, or one with a colon"
    if "use" in {field.alias or name for name, field in component.model_fields.items()}:
        return "`use` cannot be an option: it names the component"
    return None
