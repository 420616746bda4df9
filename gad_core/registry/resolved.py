"""Experiments written out in full, and read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gad_core.discovery.plugin_files import PluginFile, beside, load_file, plugins_of
from gad_core.discovery.plugins import Plugins, installed
from gad_core.errors import PluginError, RegistryError
from gad_core.registry.experiment import Experiment
from gad_core.registry.schema import SECTIONS
from gad_core.registry.source import write
from gad_core.registry.told import faults_of, validated
from gad_core.registry.training_options import Training


def dump(experiments: Sequence[Experiment], path: Callable[[Path], str] = str) -> str:
    """A registry file that holds these experiments, every option written out; `loads` reads equal ones from it. `path`
    says how input paths are written."""
    file: dict[str, Any] = {"version": 1}
    for experiment in experiments:
        resolved = experiment.resolved(path)
        files = [*file.get("plugins", []), *resolved.get("plugins", [])]
        file |= {"plugins": list(dict.fromkeys(files))} if files else {}
        uses: dict[str, Any] = {}
        for slot, section in SECTIONS.items():
            entries = resolved[slot] if slot == "auxiliary" else [entry for entry in (resolved[slot],) if entry]
            chosen = [_entry(file.setdefault(section, {}), entry, entry["use"]) for entry in entries]
            if chosen:
                uses[slot] = chosen if slot == "auxiliary" else chosen[0]
        uses["training"] = _entry(file.setdefault("training", {}), resolved["training"], "recipe")
        uses["seeds"] = list(experiment.seeds)
        uses |= {"description": experiment.description} if experiment.description else {}
        uses |= {"expected": dict(experiment.expected)} if experiment.expected else {}
        file.setdefault("experiments", {})[experiment.name] = uses
    return write({section: entries for section, entries in file.items() if entries})


def _entry(entries: dict[str, Any], entry: dict[str, Any], stem: str) -> str:
    """The name of an entry in a section, where it is put unless it is there."""
    for name in (stem, *(f"{stem}-{number}" for number in range(2, len(entries) + 2))):
        if entries.setdefault(name, entry) == entry:
            return name
    raise AssertionError("one name more than entries is free")


def rebuild(
    resolved: Mapping[str, Any], name: str, plugins: Plugins | None = None, root: Path | None = None
) -> Experiment:
    """The experiment of `Experiment.resolved()`, paths seen from `root`; its plugin files are loaded. Raises
    `RegistryError` or `PluginError` where it cannot be made."""
    files = tuple(_plugin_file(written, name, root) for written in resolved.get("plugins", ()))
    found = (plugins or installed()) + plugins_of(files)

    def component(slot: str, entry: Mapping[str, Any]) -> Any:
        options = {key: value for key, value in entry.items() if key != "use"}
        return _rebuilt(found.find(slot, entry["use"]).component, options, f"{slot} {entry['use']!r}", name, root)

    return Experiment(
        name=name,
        dataset=component("dataset", resolved["dataset"]),
        backbone=component("backbone", resolved["backbone"]),
        head=component("head", resolved["head"]),
        labels=component("labels", resolved["labels"]) if resolved["labels"] else None,
        auxiliary=tuple(component("auxiliary", task) for task in resolved["auxiliary"]),
        training=_rebuilt(Training, resolved["training"], "training", name, root),
        root=root,
        files=files,
    )


def _plugin_file(written: str, name: str, root: Path | None) -> PluginFile:
    try:
        return load_file(beside(written, root or Path.cwd()))
    except PluginError as error:
        message = f"the plugin file {error.where} of this run: {error.message}"
        raise PluginError(message, where=name, hint="put it back as it was in the run") from error


def _rebuilt(model: Any, options: Mapping[str, Any], subject: str, name: str, root: Path | None) -> Any:
    try:
        return validated(model, dict(options), root)
    except ValidationError as error:
        fault = faults_of(error, model, options, subject)[0]
        place = f": {'.'.join(map(str, fault.path))}" if fault.path else ""
        raise RegistryError(
            f"{subject}{place}: {fault.message}",
            where=name,
            hint=fault.hint or "if the plugin has changed since the run, install the version in results.json",
        ) from error
