"""Where a run is kept, and how a new one takes the place of an old one without anything being lost.

`runs/<experiment>/<seed>/` holds one run: `registry.yaml` (every option, defaults included), `state.json` (what it was
started with), `log.jsonl`, `checkpoints/`, `predictions.npz`, `results.json` and the pictures. An interrupted run goes
on there. One that cannot go on (its options, inputs or plugins have changed, or `--force`) leaves what is there alone:
the new run grows in `next/`, and takes the place of the old one when it is finished. Files that gad did not write stay
where they are. No torch here.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from pydantic import ValidationError

from gad_core.contracts.values import Predictions
from gad_core.errors import CheckpointError
from gad_core.files.writing import sweep, write_json, write_text
from gad_core.records.identity import Identity
from gad_core.records.results import RESULTS, Results, load_results, now, save_predictions, write_results

STATE, LOG, PREDICTIONS, REGISTRY = "state.json", "log.jsonl", "predictions.npz", "registry.yaml"
CHECKPOINTS, NEXT, READY, LOCK = "checkpoints", "next", "ready", "lock"
PARTS = ("weights.safetensors", "labels.json", "optimizer.safetensors", "place.json")
"""What checkpoints and resume points consist of."""


class RunFolder:
    """The files of one run; `home` is where they are when it is finished."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path, self.home = path, home
        self.log = path / LOG

    def checkpoint(self, which: str) -> Path:
        """The folder of the `best` or `last` checkpoint."""
        return self.path / CHECKPOINTS / which

    @property
    def finished(self) -> bool:
        """Whether there are results."""
        return (self.path / RESULTS).exists()

    @property
    def interrupted(self) -> bool:
        """Whether a training can go on from here."""
        return not self.finished and any(self.path.glob("resume-*/place.json"))

    def identity(self) -> Identity | None:
        """What the run was started with; None where that cannot be told."""
        try:
            return Identity.model_validate_json((self.path / STATE).read_bytes())
        except (OSError, ValidationError):
            return None

    def start(self, identity: Identity, registry: str) -> None:
        """Writes down what is run."""
        write_text(self.path / REGISTRY, registry)
        write_json(self.path / STATE, identity.model_dump(mode="json"))

    def write_predictions(self, predictions: Predictions, beside: Mapping[str, np.ndarray] | None = None) -> None:
        """Every answer with its scores, and other arrays beside them."""
        save_predictions(predictions, self.path / PREDICTIONS, beside)

    def write_results(self, results: Results) -> None:
        """Says that the run is finished."""
        write_results(results, self.path)

    def kept_files(self) -> list[str]:
        """The files whose hashes belong to the results, relative to the folder."""
        checkpoints = sorted(self.path.glob(f"{CHECKPOINTS}/*/*"))
        kept = [path for path in checkpoints if path.name in PARTS] + [self.path / PREDICTIONS]
        return [path.relative_to(self.path).as_posix() for path in kept if path.is_file()]

    def clear(self) -> None:
        """Removes what gad wrote; what anybody else put there stays."""
        pictures: tuple[str, ...] = ()
        with suppress(CheckpointError):  # damaged results tell no pictures; those then stay
            pictures = load_results(self.path).pictures
        for name in (*pictures, RESULTS, PREDICTIONS, LOG, STATE, REGISTRY):
            (self.path / name).unlink(missing_ok=True)
        for folder in (*self.path.glob("resume-*"), *self.path.glob(f"{CHECKPOINTS}/*"), self.path / CHECKPOINTS):
            for part in PARTS:
                (folder / part).unlink(missing_ok=True)
            _remove_if_empty(folder)

    def sweep(self) -> None:
        """Removes what killed processes have left half written or half removed."""
        for folder in (self.path, self.path / CHECKPOINTS, *self.path.glob(f"{CHECKPOINTS}/*")):
            sweep(folder)
        for folder in self.path.glob("resume-*"):
            if not (folder / "place.json").exists():
                for part in PARTS:
                    (folder / part).unlink(missing_ok=True)
                _remove_if_empty(folder)


class RunPlace:
    """`root/<experiment>/<seed>/`: the run that stands there, and perhaps the next one in it."""

    def __init__(self, root: Path, experiment: str, seed: int) -> None:
        self.root = Path(root)
        self.path = self.root / experiment / str(seed)
        self.standing = RunFolder(self.path, self.path)
        self.next = RunFolder(self.path / NEXT, self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps others out, and leaves nothing half written by those before. Raises `CheckpointError` when a living
        process holds the folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise CheckpointError(
                f"is being run by {self._holder()}", where=str(self.path), hint="wait for it, or keep this run "
                "elsewhere with --runs",
            ) from None  # fmt: skip
        try:
            holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": now()}
            (self.path / LOCK).write_text(json.dumps(holder), encoding="utf-8")
            self.standing.sweep()
            self.next.sweep()
            self.take_over()
            yield
        finally:
            (self.path / LOCK).unlink(missing_ok=True)
            lock.release()
            for folder in (self.next.path, self.path, *self._around()):
                _remove_if_empty(folder)

    def _around(self) -> list[Path]:
        """The folders of the experiment and of its sweep, the inner one first."""
        return [self.root / part for part in self.path.relative_to(self.root).parents][:-1]

    def _holder(self) -> str:
        try:
            told = json.loads((self.path / LOCK).read_text(encoding="utf-8"))
            return f"process {told['pid']} on {told['host']} since {told['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def finished(self, identity: Identity) -> Results | None:
        """The results of the standing run, if it is finished and is this one; None as well where an interrupted run of
        this identity is about to replace it.

        Raises `CheckpointError` when the results or the files they vouch for are damaged.
        """
        if not self.standing.finished or self._goes_on(self.next, identity):
            return None
        results = load_results(self.path)
        if results.identity != identity.key:
            return None
        results.require_files(self.path)
        return results

    def folder_for(self, identity: Identity, *, fresh: bool = False) -> RunFolder:
        """Where a run of this identity goes on or starts; `fresh` starts anew even where it could go on.

        Raises `CheckpointError` when the one other place holds an interrupted run too: only `fresh` gives that up.
        """
        if not fresh and self._goes_on(self.next, identity):
            return self.next
        if not fresh and self.next.interrupted and not self._goes_on(self.standing, identity):
            raise CheckpointError(
                "holds an interrupted run with other options, inputs or plugins",
                where=str(self.next.path),
                hint="change back to go on with it, keep this run elsewhere with --runs, or give it up with --force",
            )
        if fresh or not self.next.interrupted:
            self.next.clear()
        if not fresh and self._goes_on(self.standing, identity):
            return self.standing
        if self.standing.finished or self.standing.interrupted:
            return self.next
        self.standing.clear()
        return self.standing

    @staticmethod
    def _goes_on(folder: RunFolder, identity: Identity) -> bool:
        earlier = folder.identity()
        return folder.interrupted and earlier is not None and earlier.key == identity.key

    def take_over(self) -> None:
        """Puts a finished next run in the place of the standing one; goes on where a kill has interrupted that.

        The next run is complete before anything of the old one is removed, and has the name `ready` from then on.
        """
        ready = self.path / READY
        if self.next.finished:
            self.standing.clear()
            os.replace(self.next.path, ready)
        if ready.is_dir():
            files = sorted(path for path in ready.rglob("*") if path.is_file())
            for file in sorted(files, key=lambda path: path.name == RESULTS):  # the results last
                target = self.path / file.relative_to(ready)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
            for folder in sorted((path for path in ready.rglob("*") if path.is_dir()), reverse=True):
                _remove_if_empty(folder)
            _remove_if_empty(ready)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
