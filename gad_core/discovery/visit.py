"""One plugin's module: imported, asked for what its hooks offer, and what is wrong with it, noted.

Whatever a plugin does wrong is noted here and goes no further; pluggy alone would stop at the first fault.
"""

from __future__ import annotations

import inspect
import itertools
import operator
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pluggy

from gad_core.contracts import hooks as hookspecs
from gad_core.contracts.components import KINDS, PLUGIN_API, Component
from gad_core.contracts.hooks import COMMANDS, GROUP, HOOKS
from gad_core.discovery.guard import guarded
from gad_core.files.suggestions import suggestion

HEAVY = ("torch", "transformers", "peft", "accelerate", "matplotlib", "sklearn")
"""What a plugin module must not import: listing and checking would take seconds. `build()` and `open()` may."""
SLOW = 1.0
"""Seconds after which the import of a plugin module is called slow."""

MOST = 1000
"""Components that one hook may offer; one that never ends yields more."""
COMMAND = re.compile(r"[^\W_][\w.-]*")
"""How a subcommand may be called: a colon stands behind a distribution, a dash before an option."""
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""Where a subcommand is: `package.module:attribute`."""


@dataclass
class Visit:
    """What one plugin offers and what is wrong with it; `who` it is for the user.

    `broken` are faults that lose something, `warnings` what the plugin does without, `slow` why its import takes long.
    """

    who: str
    components: list[tuple[str, type[Component]]] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    slow: str = ""

    def note(self, reason: str) -> None:
        """Notes a fault, in one line."""
        self.broken.append(" ".join(reason.split()))

    def imported(self, load: Callable[[], object]) -> object | None:
        """The plugin module; None where it cannot be imported or was written for another gad."""
        module, stated = None, set[int]()
        before, threads, start = loaded_heavy(), set(threading.enumerate()), time.perf_counter()
        with guarded(self.who, lambda reason: self.note(f"cannot be imported: {reason}")):
            module = load()
        seconds, readable = time.perf_counter() - start, False
        if module is None:
            return None
        with guarded(self.who, lambda reason: self.note(f"its PLUGIN_API cannot be read: {reason}")):
            stated, readable = _versions(getattr(module, "PLUGIN_API", PLUGIN_API)), True
        if PLUGIN_API in stated:
            started = set(threading.enumerate()) - threads
            self.slow = slowness(seconds, loaded_heavy() - before) or _waiting(started)
            return module
        if readable:
            versions = " or ".join(map(str, sorted(stated))) or "none"
            self.note(f"was written for plugin API {versions}, this gad has {PLUGIN_API}: update the older of the two")
        return None

    def ask(self, module: object) -> None:
        """Asks every hook of a plugin module what it offers."""
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        registered = False
        with guarded(self.who, lambda reason: self.note(f"has a faulty hook: {reason}")):
            manager.register(module)  # pluggy goes no further at the first fault, so the hooks behind it are lost too
            registered = True
        if not registered:
            return
        self._look_at_names(manager)
        for kind, hook in HOOKS.items():
            self.components += self._yielded(kind, hook, getattr(manager.hook, hook))
        self._ask_for_commands(getattr(manager.hook, COMMANDS))

    def _look_at_names(self, manager: pluggy.PluginManager) -> None:
        """Notes hooks that this gad does not know: a newer one may."""
        known = [*HOOKS.values(), COMMANDS]
        for name, caller in vars(manager.hook).items():
            if isinstance(caller, pluggy.HookCaller) and not caller.has_spec():
                hint = suggestion(name, known, f"the hooks are {', '.join(known)}")
                if name.startswith("gad_"):
                    self.warnings.append(f"hook {name} is not known to this gad and never called: {hint}")
                else:
                    self.note(f"{name} is no hook: {hint}")

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

    def _ask_for_commands(self, caller: pluggy.HookCaller) -> None:
        """Takes the subcommands whose names and places can be ones."""
        found: list[tuple[object, object]] = []
        with guarded(self.who, lambda reason: self.note(f"hook {COMMANDS} raised {reason}")):
            answers = caller()
            if caller.get_hookimpls() and not (answers and isinstance(answers[0], Mapping)):
                self.note(f"hook {COMMANDS} should return a mapping of names to 'package.module:attribute'")
                return
            found = [pair for answer in answers for pair in itertools.islice(answer.items(), MOST)]
        for name, target in found:
            if type(name) is not str or not COMMAND.fullmatch(name):
                self.note(f"hook {COMMANDS} returned a name that no command can have")
            elif type(target) is not str or not TARGET.fullmatch(target):
                self.note(f"hook {COMMANDS} does not say where {name!r} is: write 'package.module:attribute'")
            else:
                self.commands[name] = target


def visit(who: str, load: Callable[[], object]) -> Visit:
    """Imports the module of a plugin by `load` and asks it for what it offers; raises nothing that the plugin does."""
    found = Visit(who)
    module = found.imported(load)
    if module is not None:
        found.ask(module)
    return found


def _versions(stated: object) -> set[int]:
    """The versions of the plugin API that a module states: one, or several in a set or list."""
    several = stated if isinstance(stated, set | frozenset | tuple | list) else (stated,)
    return {operator.index(one) for one in several}


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
