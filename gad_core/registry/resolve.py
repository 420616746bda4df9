"""From the values of a file to experiments, collecting every fault on the way."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gad_core.compatibility import Problem, compatibility
from gad_core.contracts import Component
from gad_core.errors import GadError, PluginError
from gad_core.experiment import Experiment
from gad_core.plugins import Plugins
from gad_core.registry.schema import SECTIONS, ExperimentEntry, File
from gad_core.registry.source import Fault, Path_, Source
from gad_core.training_options import Training

FRIENDLY = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "dict_type": "should be a mapping of options",
    "model_type": "should be a mapping of options",
    "model_attributes_type": "should be a mapping of options",
}
"""Pydantic's kinds of error in our words; the others keep theirs."""


@dataclass
class Resolver:
    """Builds components and experiments out of a file; `faults` grows."""

    source: Source
    file: File
    plugins: Plugins
    root: Path
    faults: list[Fault] = field(default_factory=list)

    # --------------------------------------------------------------------------------------------------- components

    def component(self, slot: str, name: str, changes: Mapping[str, tuple[Any, Path_]], at: Path_) -> Component | None:
        """The entry `name` of a slot's section with some options changed; None where there is a fault.

        `changes` maps a dotted option to its value and the place that asks for it; `at` is the place of the name.
        """
        section = SECTIONS[slot]
        entries = getattr(self.file, section)
        if name not in entries:
            self._dangling(section, name, entries, at)
            return None
        path: Path_ = (section, name)
        try:
            offer = self.plugins.find(slot, entries[name].use)
        except PluginError as error:
            self.faults.append(Fault((*path, "use"), error.message, error.hint or ""))
            return None
        options = dict(self.source.values[section][name])
        del options["use"]
        for option, (value, place) in changes.items():
            if not _set(options, option.split("."), value):
                self.faults.append(Fault(place, f"{option!r} leads through something that has no options"))
                return None
        return self._validated(offer.component, options, path, changes, offer.name)

    def _validated(
        self,
        model: type[BaseModel],
        options: Any,
        path: Path_,
        changes: Mapping[str, tuple[Any, Path_]],
        name: str,
    ) -> Any:
        try:
            return model.model_validate(options, context={"root": self.root})
        except ValidationError as error:
            self.faults += self._told(error, model, path, changes, name)
            return None

    def _told(
        self,
        error: ValidationError,
        model: type[BaseModel],
        path: Path_,
        changes: Mapping[str, tuple[Any, Path_]],
        name: str,
    ) -> Iterable[Fault]:
        """Pydantic's errors at the places of the file that cause them."""
        for one in error.errors(include_url=False):
            location = self._known(path, one["loc"])
            dotted = ".".join(map(str, location[len(path) :]))
            changed = next((place for option, (_, place) in changes.items() if dotted.startswith(option)), None)
            where = changed if changed is not None else location
            if one["type"] == "extra_forbidden":
                owner = _model_at(model, one["loc"][:-1])
                key = str(one["loc"][-1])
                known = sorted(_names(owner)) if owner else []
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"the options are {', '.join(known) or 'none'}"
                yield Fault(where, f"{name!r} has no option {key!r}", hint, at_key=True)
            elif one["type"] == "missing":
                message = f"{name!r} needs the option {one['loc'][-1]!r}"
                yield Fault(where if changed else path, message, at_key=True)
            else:
                given = one.get("input")
                shown = f", not {given!r}" if isinstance(given, str | int | float | bool | None) else ""
                message = FRIENDLY.get(one["type"], one["msg"].removeprefix("Value error, "))
                message = message[:1].lower() + message[1:]
                yield Fault(where, message + (shown if one["type"] != "value_error" else ""))

    def _known(self, path: Path_, location: Sequence[str | int]) -> Path_:
        """Pydantic's location without the names of union members, which stand nowhere in the file."""
        found = path
        for part in location:
            step = (*found, part)
            if step in self.source.places or step in self.source.key_places or part == location[-1]:
                if part == location[-1] and step not in self.source.places and found in self.source.places:
                    return step if self._is_mapping(found) else found
                found = step
        return found

    def _is_mapping(self, path: Path_) -> bool:
        value: Any = self.source.values
        for part in path:
            value = value[part]
        return isinstance(value, dict)

    def _dangling(self, section: str, name: Any, known: Iterable[str], at: Path_) -> None:
        close = difflib.get_close_matches(str(name), list(known), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known) or 'no entries'}"
        self.faults.append(Fault(at, f"{section} has no entry {name!r}", hint))

    # -------------------------------------------------------------------------------------------------- experiments

    def experiment(
        self,
        name: str,
        entry: ExperimentEntry,
        at: Path_,
        places: Mapping[str, Path_] = {},
        changes: Mapping[str, tuple[Any, Path_]] = {},
    ) -> Experiment | None:
        """The experiment of an entry; None where there is a fault. `places` says where a slot's value stands, if not
        under `at`; `changes` are options to change, by `slot.option`."""

        def place(slot: str) -> Path_:
            return places.get(slot, (*at, slot))

        def part(slot: str, chosen: str, where: Path_) -> Any:
            own = {key.partition(".")[2]: change for key, change in changes.items() if key.startswith(slot + ".")}
            return self.component(slot, chosen, own, where)

        chosen = {slot: part(slot, getattr(entry, slot), place(slot)) for slot in ("dataset", "backbone", "head")}
        labels = part("labels", entry.labels, place("labels")) if entry.labels else None
        tasks = (entry.auxiliary,) if isinstance(entry.auxiliary, str) else entry.auxiliary or ()
        auxiliary = [part("auxiliary", task, self._task_place(place("auxiliary"), n)) for n, task in enumerate(tasks)]
        training = self._training(entry.training, place("training"), changes)
        if None in chosen.values() or None in auxiliary or training is None or (entry.labels and labels is None):
            return None
        return Experiment(
            name=name,
            labels=labels,
            auxiliary=tuple(auxiliary),
            training=training,
            seeds=entry.seeds,
            description=entry.description,
            expected=dict(entry.expected),
            **chosen,
        )

    def _task_place(self, place: Path_, number: int) -> Path_:
        return (*place, number) if (*place, number) in self.source.places else place

    def _training(self, name: str | None, at: Path_, changes: Mapping[str, tuple[Any, Path_]]) -> Training | None:
        own = {key.partition(".")[2]: change for key, change in changes.items() if key.startswith("training.")}
        if name is not None and name not in self.file.training:
            self._dangling("training", name, self.file.training, at)
            return None
        options = dict(self.file.training[name]) if name is not None else {}
        for option, (value, _) in own.items():
            _set(options, option.split("."), value)
        path: Path_ = ("training", name) if name is not None else at
        return self._validated(Training, options, path, own, "training")

    def checked(self, experiment: Experiment, at: Path_) -> tuple[Problem, ...]:
        """The problems of an explicit experiment, noted as faults at its slots."""
        problems = problems_of(experiment)
        self.faults += [Fault((*at, problem.slot), problem.message, problem.hint) for problem in problems]
        return problems


def problems_of(experiment: Experiment) -> tuple[Problem, ...]:
    """`compatibility`, where a component that cannot even say what it needs is a problem too."""
    try:
        return compatibility(experiment)
    except GadError as error:
        return (Problem("dataset", str(error)),)


def _set(options: dict[str, Any], keys: Sequence[str], value: Any) -> bool:
    """Sets a nested option in place; False where the way leads through something else than a mapping."""
    for key in keys[:-1]:
        inner = options.get(key)
        if inner is not None and not isinstance(inner, dict):
            return False
        options[key] = options = dict(inner or {})
    options[keys[-1]] = value
    return True


def _names(model: type[BaseModel]) -> set[str]:
    """What the options of a model are called in the file."""
    return {entry.alias or name for name, entry in model.model_fields.items()}


def _model_at(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model whose option a location names, following nested models."""
    for part in location:
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        if field is None:
            continue
        inner = [kind for kind in _kinds(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return None
        model = inner[0]
    return model


def _kinds(annotation: Any) -> list[Any]:
    from typing import get_args

    arguments = get_args(annotation)
    return [kind for argument in arguments for kind in _kinds(argument)] if arguments else [annotation]
