"""What a training leaves on disk: weights to load, and points to resume from.

A checkpoint is a folder with `weights.safetensors`, every parameter that was trained and none that was not, and
`labels.json`, the label spaces, prompts and codes it was trained for. A resume point adds the optimiser and the place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gad_core.action_model import ActionModel
from gad_core.errors import CheckpointError
from gad_core.files import write_folder, write_json
from gad_core.values import Codebook, LabelSpace, Prompt

WEIGHTS, LABELS, OPTIMIZER, PLACE = "weights.safetensors", "labels.json", "optimizer.pt", "place.json"


def kept_tensors(model: ActionModel) -> dict[str, Tensor]:
    """What a checkpoint holds, by name: every parameter that training may change, and the scale of the features."""
    scale = {f"connector.{name}": buffer for name, buffer in model.connector.named_buffers()}
    return {name: model.get_parameter(name) for name in model.trainable} | scale


def trained_weights(model: ActionModel) -> dict[str, Tensor]:
    """A copy of what a checkpoint holds, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in kept_tensors(model).items()}


def save_checkpoint(model: ActionModel, labels: Mapping[str, Any], folder: Path) -> None:
    """Writes a checkpoint; the folder is complete or not there."""
    with write_folder(folder) as new:
        save_file(trained_weights(model), new / WEIGHTS)
        write_json(new / LABELS, labels)


def load_weights(model: ActionModel, folder: Path) -> None:
    """Puts a checkpoint's weights into a model of the same composition.

    Raises `CheckpointError` when the file is damaged or holds other parameters.
    """
    path = folder / WEIGHTS
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot be read: {error}", where=str(path), hint="train again, or restore the file"
        ) from error
    kept = kept_tensors(model)
    shapes = {name for name in kept.keys() & weights.keys() if kept[name].shape != weights[name].shape}
    if kept.keys() != weights.keys() or shapes:
        wrong = sorted((kept.keys() ^ weights.keys()) | shapes)
        raise CheckpointError(
            f"holds other parameters than this experiment trains: {', '.join(wrong[:4])} ({len(wrong)} in all)",
            where=str(path),
            hint="load it with the registry it was trained with (`registry.yaml` beside it)",
        )
    with torch.no_grad():
        for name, value in weights.items():
            kept[name].copy_(value)


# -------------------------------------------------------------------------------------------------- labels and prompts


def labels_record(model: ActionModel, *, width: int, tokens: int, fps: float) -> dict[str, Any]:
    """What a checkpoint must know to be used without its dataset, as plain JSON values."""
    assembler = model.assembler
    return {
        "spaces": {relation: asdict(space) for relation, space in assembler.spaces.items()},
        "prompts": {asked: asdict(prompt) for asked, prompt in assembler.prompts.items()},
        "codes": dict(assembler.writing.codebook.codes) if assembler.writing else None,
        "features": {"width": width, "tokens": tokens, "fps": fps},
    }


def read_labels(folder: Path) -> dict[str, Any]:
    """The labels record of a checkpoint; raises `CheckpointError` when it is missing or damaged."""
    path = folder / LABELS
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"cannot be read: {error}", where=str(path), hint="is this a checkpoint folder?"
        ) from error


def recorded_spaces(record: Mapping[str, Any]) -> dict[str, LabelSpace]:
    """The label spaces of a labels record, by relation."""
    return {
        relation: LabelSpace(**{**fields, **{key: tuple(fields[key]) for key in ("labels", "written", "ignored")}})
        for relation, fields in record["spaces"].items()
    }


def recorded_prompts(record: Mapping[str, Any]) -> dict[str, Prompt]:
    """The prompts of a labels record, by asked relation."""
    return {asked: Prompt(**fields) for asked, fields in record["prompts"].items()}


def same_labels(known: Mapping[str, LabelSpace], spaces: Mapping[str, LabelSpace], folder: Path) -> None:
    """Raises `CheckpointError` unless a dataset's label spaces are those (`known`) a checkpoint was trained for."""
    for relation, space in spaces.items():
        if relation not in known or known[relation].labels != space.labels:
            before = known[relation].labels if relation in known else ()
            other = sorted(set(space.labels) ^ set(before))[:3]
            what = f"differ in {', '.join(map(repr, other))}" if other else "stand in another order"
            raise CheckpointError(
                f"was trained for other labels: {len(before)} in '{relation}' then, {len(space)} now; they {what}",
                where=str(folder),
                hint="evaluate it with the annotations it was trained on, or train again",
            )


def same_codes(record: Mapping[str, Any], codebook: Codebook | None, folder: Path) -> None:
    """Raises `CheckpointError` unless the labels are written as they were in training."""
    stored = record["codes"] and {space: tuple(map(tuple, codes)) for space, codes in record["codes"].items()}
    if stored != (dict(codebook.codes) if codebook else None):
        raise CheckpointError(
            "was trained with other codes for the labels",
            where=str(folder),
            hint="the tokenizer or the label tokenizer has changed since: use the versions in results.json",
        )


# ----------------------------------------------------------------------------------------------------- resume points


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


def save_resume_point(
    folder: Path, model: ActionModel, optimizer: torch.optim.Optimizer, scheduler: Any, place: Place
) -> None:
    """Writes `resume-<step>` whole, then removes the older ones."""
    with write_folder(folder / f"resume-{place.step:08d}") as new:
        save_file(trained_weights(model), new / WEIGHTS)
        torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, new / OPTIMIZER)
        write_json(new / PLACE, asdict(place))
    for old in resume_points(folder)[:-1]:
        shutil.rmtree(old)


def resume_points(folder: Path) -> list[Path]:
    """The resume points in a folder, oldest first."""
    return sorted(path for path in folder.glob("resume-*") if (path / PLACE).is_file())


def remove_resume_points(folder: Path) -> None:
    """A finished training needs none."""
    for point in resume_points(folder):
        shutil.rmtree(point)


def load_place(point: Path) -> Place:
    """Where a resume point stands."""
    return Place(**json.loads((point / PLACE).read_text(encoding="utf-8")))


def load_optimizer(point: Path, optimizer: torch.optim.Optimizer, scheduler: Any, device: torch.device) -> None:
    """Restores the optimiser and the schedule of a resume point."""
    state = torch.load(point / OPTIMIZER, map_location=device, weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
