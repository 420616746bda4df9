"""Points from which an interrupted training goes on, bit-equal to one that was left alone.

A resume point is a folder `resume-<update>` with the weights, the optimiser's tensors and `place.json`: how far the
training has come, the optimiser's options, the schedule, and the hashes of it all.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from gad_core.errors import CheckpointError
from gad_core.files.writing import require_unchanged, seal_of, sha256_of, write_folder, write_json
from gad_core.model.action_model import ActionModel
from gad_core.runs.checkpoint import WEIGHTS, read_record, read_tensors, trained_weights

OPTIMIZER, PLACE = "optimizer.safetensors", "place.json"
KEPT = 2
"""Resume points that are kept: should the latest be damaged, the one before it serves."""
_START_OVER = "remove the folder to go on from an earlier point, or start over with `gad run --force`"


@dataclass
class Place:
    """How far a training has come: the next update to make, and what it remembers."""

    phase: int = 0
    epoch: int = 0  # within the phase
    update: int = 0  # within the epoch
    step: int = 0  # updates in all
    best: float | None = None
    stale: int = 0  # evaluations since the best
    seconds: float = 0.0
    samples: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class ResumePoint:
    """A resume point whose hashes hold; `groups` and `schedule` are states of the optimiser and the scheduler."""

    path: Path
    place: Place
    groups: list[dict[str, Any]]
    schedule: dict[str, Any]

    def load_optimizer(self, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
        """Restores the optimiser and the schedule; tensors go to the device of their parameters."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in read_tensors(self.path / OPTIMIZER).items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": self.groups})
        scheduler.load_state_dict(self.schedule)


def save_resume_point(
    folder: Path, model: ActionModel, optimizer: torch.optim.Optimizer, scheduler: Any, place: Place
) -> None:
    """Writes `resume-<update>` whole, then removes all older ones but the latest."""
    with write_folder(folder / f"resume-{place.step:08d}") as new:
        state = optimizer.state_dict()
        tensors = {f"{index}.{key}": tensor for index, one in state["state"].items() for key, tensor in one.items()}
        save_file(trained_weights(model), new / WEIGHTS)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, new / OPTIMIZER)
        record = {
            "place": asdict(place),
            "groups": state["param_groups"],
            "schedule": scheduler.state_dict(),
            "files": {name: sha256_of(new / name) for name in (WEIGHTS, OPTIMIZER)},
        }
        write_json(new / PLACE, record | {"seal": seal_of(record)})
    for old in resume_points(folder)[:-KEPT]:
        remove_resume_point(old)


def resume_points(folder: Path) -> list[Path]:
    """The resume points in a folder, oldest first."""
    return sorted(path for path in folder.glob("resume-*") if (path / PLACE).is_file())


def remove_resume_point(point: Path) -> None:
    """Removes what a resume point consists of, its place first; the folder stays if somebody has put files into it."""
    for name in (PLACE, OPTIMIZER, WEIGHTS):
        (point / name).unlink(missing_ok=True)
    with suppress(OSError):
        point.rmdir()


def latest_sound(folder: Path) -> tuple[ResumePoint | None, list[CheckpointError]]:
    """The latest resume point whose hashes hold, None where there is none, and what is wrong with the later ones.

    Raises `CheckpointError` when all of them are damaged.
    """
    faults: list[CheckpointError] = []
    for path in reversed(resume_points(folder)):
        try:
            return read_resume_point(path), faults
        except CheckpointError as error:
            faults.append(error)
    if faults:
        raise faults[0]
    return None, []


def read_resume_point(path: Path) -> ResumePoint:
    """A resume point; raises `CheckpointError` when any of its files is not what was written."""
    record = read_record(path / PLACE)
    seal = record.pop("seal", None)
    if seal != seal_of(record):
        raise CheckpointError("is not as it was written", where=str(path / PLACE), hint=_START_OVER)
    require_unchanged(path, record["files"], _START_OVER)
    return ResumePoint(path, Place(**record["place"]), record["groups"], record["schedule"])
