"""What makes a run the same run: its options, the content of its input files, and the code of its components.

Where files lie does not count: a project that was moved, a store that was copied again or staged on another disk give
the same identity. No torch here.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gad_core.contracts.components import Component
from gad_core.data.features.store import content_of_store
from gad_core.files.writing import seal_of, sha256_of
from gad_core.registry.experiment import Experiment
from gad_core.registry.training_options import Training


class Code(BaseModel):
    """Who supplies a component, and a hash of the sources of its package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distribution: str
    version: str
    source: str


class Identity(BaseModel):
    """What a run was started with.

    `components` are the options, paths as they are seen from the registry file; `inputs` maps the input files to a hash
    of their content; `code` maps each component (`head gad`) to where it comes from. `key` is one short hash of what
    decides the outcome: runs of equal keys and seeds end with equal results.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    components: dict[str, Any]
    inputs: dict[str, str]
    code: dict[str, Code]

    @staticmethod
    def of(experiment: Experiment) -> Identity:
        """The identity of an experiment on the files as they are now; reads all of them."""
        files = {path: told for _, part in experiment.slots() for path, told in part.files().items()}
        marks = {path: content_of(path) for path in files}
        code = {f"{slot} {part.name}": code_of(type(part), experiment) for slot, part in experiment.slots()}
        read = {*files, *(file.path for file in experiment.used_files())}
        decisive: dict[str, Any] = {
            "components": experiment.resolved(lambda path: "" if path in read else str(experiment.seen(path))),
            "inputs": sorted([told, marks[path]] for path, told in files.items()),
            "code": {name: found.model_dump() for name, found in code.items()},
        }
        for option in Training.indifferent():
            decisive["components"]["training"].pop(option)
        return Identity(
            key=seal_of(decisive)[:16],
            components=experiment.resolved(lambda path: str(experiment.seen(path))),
            inputs={experiment.seen(path).as_posix(): mark for path, mark in marks.items()},
            code=code,
        )

    def changes(self, earlier: Identity) -> tuple[str, ...]:
        """What is another than it was in an earlier run of this name, a line each."""
        before, now = _flat(earlier.components), _flat(self.components)
        found = [
            f"{option}: {before.get(option, 'absent')} then, {now.get(option, 'absent')} now"
            for option in dict.fromkeys([*before, *now])
            if before.get(option) != now.get(option) and option.removeprefix("training.") not in Training.indifferent()
        ]
        found += [f"the content of {path}" for path, mark in self.inputs.items() if earlier.inputs.get(path) != mark]
        for name, code in self.code.items():
            then = earlier.code.get(name)
            if then is not None and then != code:
                versions = f"{then.version} then, {code.version} now" if then.version != code.version else code.version
                found.append(f"the code of {name} ({f'{code.distribution} {versions}'.strip()})")
        return tuple(found)


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """The leaves of nested options by their dotted place."""
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        inner = {str(number): one for number, one in enumerate(value)}.items()
    else:
        return {place: value}
    return {name: leaf for key, one in inner for name, leaf in _flat(one, f"{place}.{key}".lstrip(".")).items()}


# ---------------------------------------------------------------------------------------------------- content of files


def content_of(path: Path) -> str:
    """A short hash of what a file or folder holds: of a feature store its checksums, of anything else its bytes.

    A folder counts with the names and the content of all its files but hidden ones; LMDB rewrites its lock file
    whenever somebody reads. Raises `OSError` where the system does not let it be read.
    """
    if not path.exists():
        return "missing"
    if path.is_file():
        return _content_of_file(path)
    digest = hashlib.sha256()
    for inner in sorted(_files_in(path)):
        digest.update(f"{inner.relative_to(path).as_posix()}\0{_content_of_file(inner)}\n".encode())
    return digest.hexdigest()[:16]


def _files_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place) / name for name in names if not name.startswith(".") and name != "lock.mdb")
        yield from (path for path in paths if path.is_file())


def _content_of_file(path: Path) -> str:
    status = path.stat()
    return _content_at(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=65536)
def _content_at(path: Path, *_state: int) -> str:
    """The content of a file in the given state; several seeds and experiments of one process read it once."""
    return (content_of_store(path) or sha256_of(path))[:16]


# ------------------------------------------------------------------------------------------------------ code of plugins


def code_of(component: type[Component], experiment: Experiment) -> Code:
    """Where a component of an experiment comes from. Its source is that of its plugin file as it was loaded, or of the
    whole package it lies in, since a component is a few options and the work is done by the modules beside it."""
    offer = next((offer for offer in experiment.offered().offers if offer.component is component), None)
    distribution, version = (offer.distribution, offer.version) if offer else ("unknown", "")
    file = next((file for file in experiment.used_files() if file.supplies(component)), None)
    source = file.source if file is not None else _source_of(component.__module__)
    return Code(distribution=distribution, version=version, source=source)


@lru_cache(maxsize=1024)
def _source_of(module: str) -> str:
    top = sys.modules.get(module.partition(".")[0])
    folders = [Path(folder) for folder in getattr(top, "__path__", ())]
    file = getattr(top, "__file__", None)
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))] or ([Path(file)] if file else [])
    digest = hashlib.sha256()
    for path in paths:
        root = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
