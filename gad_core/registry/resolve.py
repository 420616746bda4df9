"""From the values of a file to experiments, collecting every fault on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from gad_core.contracts.components import Component
from gad_core.discovery.guard import guarded
from gad_core.discovery.plugin_files import PluginFile
from gad_core.discovery.plugins import Plugins
from gad_core.errors import GadError, PluginError
from gad_core.files.suggestions import suggestion
from gad_core.registry.compatibility import Problem, compatibility
from gad_core.registry.experiment import Experiment
from gad_core.registry.schema import SLOTS, ExperimentEntry, File, section_of
from gad_core.registry.source import Fault, Path_, Source
from gad_core.registry.told import faults_of, validated
from gad_core.registry.training_options import Training


@dataclass(frozen=True)
class Change:
    """A value that a sweep gives an option, and where it stands in the file."""

    value: Any
    place: Path_


NOTHING: Mapping[str, Any] = MappingProxyType({})
NOBODY = Plugins(())
RAISED = "mend the plugin, or tell its authors"


@dataclass
class Resolver:
    """Builds components and experiments out of a file; `faults` grows."""

    source: Source
    file: File
    plugins: Plugins
    root: Path
    faults: list[Fault] = field(default_factory=list)
    files: tuple[PluginFile, ...] = ()
    _outcomes: dict[tuple[type[BaseModel], str], tuple[Any, tuple[Fault, ...]]] = field(default_factory=dict)

    # --------------------------------------------------------------------------------------------------- components

    def component(
        self, slot: str, name: str, at: Path_, changes: Mapping[str, Change] = NOTHING
    ) -> Component | Training | None:
        """The entry `name` of a slot's section with some options changed; None where there is a fault.

        `at` is the place of the name; `changes` go by dotted option.
        """
        section = section_of(slot)
        if name not in self.entries(slot):
            self.dangling(section, name, at)
            return None
        model = self.model(slot, name)
        if model is None:
            return None
        options = {key: value for key, value in self.source.values[section][name].items() if key != "use"}
        subject = "training" if model is Training else model.name  # type: ignore[attr-defined]
        return self._built(model, options, (section, name), changes, subject)

    def entries(self, slot: str) -> Mapping[str, Any]:
        """The entries of a slot's section, by name."""
        return getattr(self.file, section_of(slot))

    def model(self, slot: str, name: str) -> type[BaseModel] | None:
        """The class of an entry that is there; None where there is a fault: no plugin offers it."""
        if slot == "training":
            return Training
        try:
            return self.plugins.find(slot, self.entries(slot)[name].use).component
        except PluginError as error:
            self.faults.append(Fault((section_of(slot), name, "use"), error.message, error.hint or ""))
            return None

    def _built(
        self, model: type[BaseModel], options: dict[str, Any], path: Path_, changes: Mapping[str, Change], subject: str
    ) -> Any:
        """The component of the plain options, then with the changes: only what was sound before is a change's fault."""
        built = self._validated(model, options, subject, lambda fault: replace(fault, path=(*path, *fault.path)))
        if built is None or not changes:
            return built
        sound = dict(options)
        for option, change in changes.items():
            if not _set(options, option.split("."), change.value):
                self.faults.append(Fault(change.place, f"{option!r} leads through something that has no options"))
                return None

        def needed(option: str) -> bool:
            others = {other: change for other, change in changes.items() if other != option}
            return self._sound(model, sound, others, subject)

        return self._validated(model, options, subject, lambda fault: _blamed(fault, changes, needed))

    def _sound(
        self, model: type[BaseModel], options: Mapping[str, Any], changes: Mapping[str, Change], subject: str
    ) -> bool:
        """Whether some options are sound with some changes; notes nothing."""
        changed = dict(options)
        for option, change in changes.items():
            _set(changed, option.split("."), change.value)
        built, _ = self._outcome(model, changed, subject)
        return built is not None

    def _validated(
        self, model: type[BaseModel], options: dict[str, Any], subject: str, placed: Callable[[Fault], Fault]
    ) -> Any:
        """The component of some options; None where there is a fault, which `placed` puts in its place in the file."""
        built, faults = self._outcome(model, options, subject)
        self.faults += map(placed, faults)
        return built

    def _outcome(self, model: type[BaseModel], options: dict[str, Any], subject: str) -> tuple[Any, tuple[Fault, ...]]:
        """The component of some options, or None and what is wrong with them; equal options are validated once."""
        key = model, repr(options)
        if key not in self._outcomes:
            built, faults = None, list[Fault]()
            guest = self.plugins.guest(model) if issubclass(model, Component) else None

            def raised(said: str) -> None:
                faults.append(Fault((), f"{guest} raised {said}", RAISED))

            with ExitStack() as stack:
                if guest is not None:
                    stack.enter_context(guarded(str(guest), raised))
                try:
                    built = validated(model, options, self.root)
                except ValidationError as error:
                    faults += faults_of(error, model, options, subject)
            self._outcomes[key] = built, tuple(faults)
        return self._outcomes[key]

    def dangling(self, section: str, name: str, at: Path_, *also: str) -> None:
        """Notes a name that leads nowhere, neither in a section nor in one of those it might be in also; quiet where it
        may lead to something whose own fault has been told."""
        sections, written = (section, *also), self.source.values
        misspelt = set(written) - set(File.model_fields)
        for one in sections:
            entries = written.get(one, {})
            if not isinstance(entries, dict) or name in entries or (misspelt and one not in written):
                return
        known = [entry for one in sections for entry in getattr(self.file, one)]
        hint = suggestion(name, known, f"known here: {', '.join(known) or 'nothing'}")
        self.faults.append(Fault(at, f"no entry {name!r} in {' or '.join(sections)}", hint))

    # -------------------------------------------------------------------------------------------------- experiments

    def experiment(
        self,
        name: str,
        entry: ExperimentEntry,
        at: Path_,
        places: Mapping[str, Path_] = NOTHING,
        changes: Mapping[str, Change] = NOTHING,
    ) -> Experiment | None:
        """The experiment of an entry; None where there is a fault. `places` says where a slot's value stands, if not
        under `at`; `changes` are options to change, by `slot.option`."""

        parts: dict[str, list[Any]] = {}
        for slot in SLOTS:
            place = places.get(slot, (*at, slot))
            own = {key.partition(".")[2]: change for key, change in changes.items() if key.startswith(f"{slot}.")}
            parts[slot] = [
                self.component(slot, chosen, inner if inner in self.source.places else place, own)
                for number, chosen in enumerate(entry.chosen(slot))
                for inner in [(*place, number)]
            ]
            if slot == "training" and entry.training is None:
                parts[slot] = [self._built(Training, {}, place, own, "training")]
        if any(None in built for built in parts.values()):
            return None
        return Experiment(
            name=name,
            auxiliary=tuple(parts.pop("auxiliary")),
            seeds=entry.seeds,
            description=entry.description,
            expected=dict(entry.expected),
            root=self.root,
            files=self.files,
            **{slot: built[0] for slot, built in parts.items() if built},
        )

    def checked(self, experiment: Experiment, at: Path_) -> tuple[Problem, ...]:
        """The problems of an explicit experiment, noted as faults at its slots."""
        problems = problems_of(experiment, self.plugins)
        self.faults += [Fault((*at, problem.slot), problem.message, problem.hint) for problem in problems]
        return problems


def problems_of(experiment: Experiment, plugins: Plugins = NOBODY) -> tuple[Problem, ...]:
    """`compatibility`, where a component that cannot even say what it needs is a problem too, and so is a guest of
    these plugins that raises when it is asked what every command asks."""
    guests = [(slot, guest) for slot, one in experiment.slots() if (guest := plugins.guest(type(one)))]
    if not guests:
        return _problems(experiment)
    found: list[Problem] = []
    names = " or ".join(str(guest) for _, guest in guests)
    with guarded(names, lambda said: found.append(Problem(guests[0][0], f"{names} raised {said}", RAISED))):
        found += _problems(experiment)
        experiment.options_key()
        for path in experiment.dataset.files():
            path.exists()
    return tuple(found)


def _problems(experiment: Experiment) -> tuple[Problem, ...]:
    try:
        return compatibility(experiment)
    except GadError as error:
        message = f"{error.where}: {error.message}" if error.where else error.message
        return (Problem("dataset", message, error.hint or ""),)


def _blamed(fault: Fault, changes: Mapping[str, Change], needed: Callable[[str], bool]) -> Fault:
    """A fault of changed options, at the change that touches its path; of several, as where options do not go
    together, at the last one without which all would be sound: it is `needed` for the fault."""

    def touches(option: str) -> bool:
        return all(one == other for one, other in zip(option.split("."), fault.path, strict=False))

    touching = [option for option in changes if touches(option)] or list(changes)
    if len(touching) > 1:
        touching = [option for option in touching if needed(option)] or touching
    change = changes[touching[-1]]
    return replace(fault, path=change.place[:-1] if fault.at_key else change.place)


def _set(options: dict[str, Any], keys: Sequence[str], value: Any) -> bool:
    """Sets a nested option in place; False where the way leads through something else than a mapping."""
    for key in keys[:-1]:
        inner = options.get(key)
        if inner is not None and not isinstance(inner, dict):
            return False
        options[key] = options = dict(inner or {})
    options[keys[-1]] = value
    return True
