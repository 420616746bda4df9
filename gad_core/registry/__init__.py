"""The registry file: what there is, how it is composed, what is run. No torch here."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gad_core.discovery.plugins import Plugins, Warned, installed
from gad_core.errors import RegistryError
from gad_core.files.suggestions import suggestion
from gad_core.registry.experiment import Experiment
from gad_core.registry.plugin_files import load_files
from gad_core.registry.resolve import Resolver
from gad_core.registry.resolved import dump, rebuild
from gad_core.registry.schema import SLOTS, File, section_of
from gad_core.registry.source import Fault, Path_, Source, parse, read
from gad_core.registry.sweep import Skipped, Sweep, resolve_sweep
from gad_core.registry.told import faults_of, outside_lists, shown, validated

__all__ = ["Registry", "Skipped", "Sweep", "dump", "load", "loads", "offered", "rebuild"]


@dataclass(frozen=True)
class Registry:
    """A checked registry file. `experiments` holds the points of the sweeps too, as `<sweep>/<point>`; `runs` is the
    folder for what they leave, `warnings` are about its plugin files."""

    file: str
    experiments: Mapping[str, Experiment]
    sweeps: Mapping[str, Sweep]
    default: tuple[str, ...]
    runs: Path
    warnings: tuple[Warned, ...] = ()

    def select(self, names: Sequence[str]) -> list[Experiment]:
        """The named experiments, and those of the named sweeps; the default ones where none is named.

        Raises `RegistryError` for a name that is neither.
        """
        chosen: dict[str, Experiment] = {}
        for name in names or self.default:
            if name in self.sweeps:
                chosen |= {point: self.experiments[point] for point in self.sweeps[name].experiments}
            elif name in self.experiments:
                chosen[name] = self.experiments[name]
            else:
                known = [*self.experiments, *self.sweeps]
                hint = suggestion(name, known, f"it has {', '.join(known) or 'none'}")
                raise RegistryError(f"has no experiment or sweep {name!r}", where=self.file, hint=hint)
        return list(chosen.values())


def load(path: str | Path, plugins: Plugins | None = None) -> Registry:
    """Reads and checks a registry file; relative paths in it are taken from its folder.

    Raises `RegistryError` that tells every problem at once, each with its line.
    """
    path = Path(path)
    return _resolved(read(path), path.resolve().parent, plugins)


def loads(text: str, root: Path | None = None, plugins: Plugins | None = None, file: str = "registry.yaml") -> Registry:
    """Checks the text of a registry file; relative paths are taken from `root`, or the working directory."""
    return _resolved(parse(text, file), (root or Path.cwd()).resolve(), plugins)


def offered(path: str | Path) -> Plugins:
    """What there is for a registry file: everything installed, and the plugin files that it names.

    Raises `RegistryError` where it names one that cannot be loaded; nothing else in it is checked.
    """
    source = read(Path(path))
    file, faults = _sections(source)
    loaded = load_files(file.plugins, Path(path).resolve().parent)
    found = [*(fault for fault in faults if fault.path[:1] == ("plugins",)), *loaded.faults]
    if found:
        raise source.refuse(found)
    return installed() + loaded.plugins


def _resolved(source: Source, root: Path, plugins: Plugins | None) -> Registry:
    file, faults = _sections(source)
    loaded = load_files(file.plugins, root)
    found = [*source.faults, *faults, *loaded.faults]
    resolver = Resolver(source, file, (plugins or installed()) + loaded.plugins, root, found, loaded.files)
    damaged = {fault.path[:2] for fault in resolver.faults}
    _check_entries(resolver)
    experiments: dict[str, Experiment] = {}
    for name, entry in file.experiments.items():
        at: Path_ = ("experiments", name)
        experiment = resolver.experiment(name, entry, at)
        if experiment is not None and at not in damaged and not resolver.checked(experiment, at):
            experiments[name] = experiment
    sweeps: dict[str, Sweep] = {}
    for name, swept in file.sweeps.items():
        if not {("sweeps", name), ("experiments", swept.base)} & damaged:
            sweeps[name], points = resolve_sweep(resolver, name, swept)
            experiments |= points
    _check_names(resolver)
    if resolver.faults:
        raise source.refuse(resolver.faults)
    default = file.default or (*file.experiments, *file.sweeps)
    return Registry(source.file, experiments, sweeps, default, root / file.runs, loaded.plugins.warned)


def _check_entries(resolver: Resolver) -> None:
    """Entries that no experiment uses are checked all the same."""
    for slot in SLOTS:
        for name in resolver.entries(slot):
            resolver.component(slot, name, (section_of(slot), name))


def _check_names(resolver: Resolver) -> None:
    """Run folders lie apart, and the default names what there is."""
    file = resolver.file
    for name in file.sweeps:
        if name in file.experiments:
            resolver.faults.append(Fault(("sweeps", name), "an experiment has this name", "rename one", True))
    for section in ("experiments", "sweeps"):
        for name in getattr(file, section):
            around = [other for other in (*file.experiments, *file.sweeps) if name.startswith(f"{other}/")]
            if around:
                message = f"its run folder would lie in that of {around[0]!r}"
                resolver.faults.append(Fault((section, name), message, "rename one", True))
    for number, name in enumerate(file.default):
        if name not in file.experiments and name not in file.sweeps:
            resolver.dangling("experiments", name, ("default", number), "sweeps")


def _sections(source: Source) -> tuple[File, list[Fault]]:
    """The sections of a file without what is faulty in them, and the faults; raises `RegistryError` where there are no
    sections at all."""
    if not isinstance(source.values, dict):
        message = f"a registry file is a mapping of sections, not {shown(source.values)}"
        raise source.refuse([*source.faults, Fault((), message, "see docs/registry.md")])
    values = copy.deepcopy(source.values)
    faults: list[Fault] = []
    while True:
        try:
            return validated(File, values), faults
        except ValidationError as error:
            found = faults_of(error, File, values)
            faults = faults or [_told(fault, source.values) for fault in found]  # the later ones only follow from these
            before = copy.deepcopy(values)
            for fault in found:
                _remove(values, outside_lists(fault.path))
            values["version"] = 1
            if values == before:
                raise source.refuse([*source.faults, *faults]) from error


def _told(fault: Fault, values: dict[str, Any]) -> Fault:
    """A missing or foreign version in words of its own."""
    if fault.path == ("version",):
        message = f"this gad reads version 1, not {shown(values['version'])}"
        return Fault(fault.path, message, "write `version: 1`")
    return fault if fault.path else Fault((), fault.message, "write `version: 1` at the top")


def _remove(values: Any, path: Path_) -> None:
    """Takes an entry, which may be gone already, out of nested mappings."""
    *around, last = path or (None,)
    for part in around:
        values = values.get(part) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values.pop(last, None)
