"""The registry file: what there is, how it is composed, what is run. No torch here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from gad_core.errors import RegistryError
from gad_core.experiment import Experiment
from gad_core.plugins import Plugins, installed
from gad_core.registry.resolve import Resolver
from gad_core.registry.schema import SECTIONS, File
from gad_core.registry.source import Fault, Source, parse, read
from gad_core.registry.sweep import Skipped, Sweep, resolve_sweep

UNION_MEMBERS = ("tuple[", "constrained-", "function-")
"""How pydantic names the members of a union in a location; the file has no such keys."""

__all__ = ["Registry", "Skipped", "Sweep", "dump", "load", "loads", "rebuild"]


@dataclass(frozen=True)
class Registry:
    """A checked registry file. `experiments` holds the points of the sweeps too, as `<sweep>/<point>`."""

    file: str
    experiments: Mapping[str, Experiment]
    sweeps: Mapping[str, Sweep]
    default: tuple[str, ...]

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
                close = difflib.get_close_matches(name, known, n=1)
                raise RegistryError(
                    f"has no experiment or sweep {name!r}",
                    where=self.file,
                    hint=f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known) or 'none'}",
                )
        return list(chosen.values())


def load(path: str | Path, plugins: Plugins | None = None) -> Registry:
    """Reads and checks a registry file; relative paths in it are taken from its folder.

    Raises `RegistryError` that tells every problem at once, each with its line.
    """
    path = Path(path)
    return _resolved(read(path), path.resolve().parent, plugins)


def loads(text: str, root: Path | None = None, plugins: Plugins | None = None, file: str = "registry.yaml") -> Registry:
    """Checks the text of a registry file."""
    return _resolved(parse(text, file), root or Path.cwd(), plugins)


def _resolved(source: Source, root: Path, plugins: Plugins | None) -> Registry:
    file = _sections(source)
    resolver = Resolver(source, file, plugins or installed(), root, list(source.faults))
    experiments: dict[str, Experiment] = {}
    for name, entry in file.experiments.items():
        experiment = resolver.experiment(name, entry, ("experiments", name))
        if experiment is not None and not resolver.checked(experiment, ("experiments", name)):
            experiments[name] = experiment
    _check_unused(resolver)
    sweeps: dict[str, Sweep] = {}
    for name, swept in file.sweeps.items():
        if name in file.experiments:
            resolver.faults.append(Fault(("sweeps", name), "an experiment has this name", "rename one", True))
        sweeps[name], points = resolve_sweep(resolver, name, swept)
        experiments |= points
    known = [*file.experiments, *file.sweeps]
    for number, name in enumerate(file.default):
        if name not in known:
            resolver._dangling("experiments and sweeps", name, known, ("default", number))
    if resolver.faults:
        raise source.refuse(resolver.faults)
    return Registry(source.file, experiments, sweeps, file.default or tuple(known))


def _check_unused(resolver: Resolver) -> None:
    """Entries that no experiment uses are checked all the same."""
    for slot, section in SECTIONS.items():
        for name in getattr(resolver.file, section):
            resolver.component(slot, name, {}, (section, name))
    for name in resolver.file.training:
        resolver._training(name, ("training", name), {})


def _sections(source: Source) -> File:
    """The sections of a file; raises `RegistryError` where they are not what they should be."""
    if not isinstance(source.values, dict):
        raise source.refuse(
            [*source.faults, Fault((), "a registry file is a mapping of sections", "see docs/registry.md")]
        )
    try:
        return File.model_validate(source.values)
    except ValidationError as error:
        faults = list(source.faults)
        for one in error.errors(include_url=False):
            location = tuple(
                part for part in one["loc"] if not str(part).startswith(("tuple[", "constrained-", "function-"))
            )
            if one["type"] == "extra_forbidden":
                known = _known_keys(location)
                close = difflib.get_close_matches(str(location[-1]), known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(known)}"
                faults.append(Fault(location, f"{str(location[-1])!r} is not known here", hint, True))
            elif one["type"] == "missing":
                faults.append(Fault(location[:-1], f"{location[-1]!r} is missing", at_key=True))
            elif location == ("version",):
                faults.append(
                    Fault(location, f"this gad reads version 1, not {one.get('input')!r}", "write `version: 1`")
                )
            else:
                faults.append(Fault(location, one["msg"][:1].lower() + one["msg"][1:]))
        raise source.refuse(faults) from error


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """The keys that are allowed beside the last one of a location."""
    from gad_core.registry.schema import ExperimentEntry, SweepEntry

    inside: dict[str, type[BaseModel]] = {"experiments": ExperimentEntry, "sweeps": SweepEntry}
    model = File if len(location) == 1 else inside.get(str(location[0]), File)
    return list(model.model_fields)


# ------------------------------------------------------------------------------------------------------ there and back


def dump(experiments: Sequence[Experiment]) -> str:
    """A registry file that holds these experiments, every option written out: how a failing composition is shown."""
    file: dict[str, Any] = {"version": 1}
    for experiment in experiments:
        resolved = experiment.resolved()
        uses: dict[str, Any] = {}
        for slot, section in SECTIONS.items():
            entries = resolved[slot] if isinstance(resolved[slot], list) else [resolved[slot]] if resolved[slot] else []
            names = [_entry(file.setdefault(section, {}), entry) for entry in entries]
            if names:
                uses[slot] = names if slot == "auxiliary" else names[0]
        recipes = file.setdefault("training", {})
        uses["training"] = next((n for n, known in recipes.items() if known == resolved["training"]), None)
        if uses["training"] is None:
            uses["training"] = f"recipe-{len(recipes) + 1}"
            recipes[uses["training"]] = resolved["training"]
        uses["seeds"] = list(experiment.seeds)
        uses |= {"description": experiment.description} if experiment.description else {}
        uses |= {"expected": dict(experiment.expected)} if experiment.expected else {}
        file.setdefault("experiments", {})[experiment.name] = uses
    return yaml.safe_dump(file, sort_keys=False, allow_unicode=True, width=120)


def _entry(entries: dict[str, Any], entry: dict[str, Any]) -> str:
    """The name of an entry in a section, where it is put unless it is there."""
    for name, known in entries.items():
        if known == entry:
            return name
    name = entry["use"] if entry["use"] not in entries else f"{entry['use']}-{len(entries) + 1}"
    entries[name] = entry
    return name


def rebuild(
    resolved: Mapping[str, Any], name: str, plugins: Plugins | None = None, root: Path | None = None
) -> Experiment:
    """The experiment of `Experiment.resolved()`. Raises `RegistryError` or `PluginError` where it cannot be made."""
    from gad_core.training_options import Training

    plugins = plugins or installed()

    def component(slot: str, entry: Mapping[str, Any] | None) -> Any:
        if entry is None:
            return None
        options = {key: value for key, value in entry.items() if key != "use"}
        try:
            return plugins.find(slot, entry["use"]).component.model_validate(options, context={"root": root})
        except ValidationError as error:
            first = error.errors()[0]
            raise RegistryError(
                f"{slot} {entry['use']!r}: {'.'.join(map(str, first['loc']))}: {first['msg']}",
                where=name,
                hint="the plugin has changed since the run: train again, or install the version in results.json",
            ) from error

    return Experiment(
        name=name,
        dataset=component("dataset", resolved["dataset"]),
        backbone=component("backbone", resolved["backbone"]),
        head=component("head", resolved["head"]),
        labels=component("labels", resolved["labels"]),
        auxiliary=tuple(component("auxiliary", task) for task in resolved["auxiliary"]),
        training=Training.model_validate(resolved["training"]),
    )
