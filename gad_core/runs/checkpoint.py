"""What a training leaves to be loaded: a folder with `weights.safetensors`, every parameter that was trained and none
that was not, and `labels.json`, the label spaces, prompts and codes it was trained for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gad_core.contracts.values import Codebook, LabelSpace, Prompt
from gad_core.errors import CheckpointError
from gad_core.files.writing import write_folder, write_json
from gad_core.model.action_model import ActionModel

WEIGHTS, LABELS = "weights.safetensors", "labels.json"


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
    weights = read_tensors(path)
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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises `CheckpointError` when it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot be read: {error}", where=str(path), hint="restore the file, or train again with `gad run --force`"
        ) from error


def read_record(path: Path) -> dict[str, Any]:
    """The object of a JSON file; raises `CheckpointError` when it is missing or damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot be read: {error}", where=str(path), hint=_RESTORE) from error
    if not isinstance(record, dict):
        raise CheckpointError(f"holds a {type(record).__name__}, not an object", where=str(path), hint=_RESTORE)
    return record


_RESTORE = "restore the file, or run the experiment again with `gad run --force`"


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


@dataclass(frozen=True)
class Labels:
    """A labels record, read: label spaces by relation, prompts by asked relation, codes by space (None where nothing is
    written), and the shape of the features."""

    spaces: Mapping[str, LabelSpace]
    prompts: Mapping[str, Prompt]
    codes: Mapping[str, tuple[tuple[int, ...], ...]] | None
    width: int
    tokens: int
    fps: float


def read_labels(folder: Path) -> Labels:
    """The labels of a checkpoint; raises `CheckpointError` when they are missing or damaged."""
    record = read_record(folder / LABELS)
    try:
        codes, shape = record["codes"], record["features"]
        return Labels(
            spaces={relation: _space(fields) for relation, fields in record["spaces"].items()},
            prompts={asked: Prompt(**fields) for asked, fields in record["prompts"].items()},
            codes=codes and {space: tuple(tuple(map(int, code)) for code in codes[space]) for space in codes},
            width=int(shape["width"]),
            tokens=int(shape["tokens"]),
            fps=float(shape["fps"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"is damaged: {error!r}", where=str(folder / LABELS), hint=_RESTORE) from error


def _space(fields: Mapping[str, Any]) -> LabelSpace:
    return LabelSpace(**{**fields, **{key: tuple(fields[key]) for key in ("labels", "written", "ignored")}})


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


def same_codes(known: Labels, codebook: Codebook | None, folder: Path) -> None:
    """Raises `CheckpointError` unless the labels are written as they were in training."""
    if known.codes != (dict(codebook.codes) if codebook else None):
        raise CheckpointError(
            "was trained with other codes for the labels",
            where=str(folder),
            hint="the tokenizer or the label tokenizer has changed since: use the versions in results.json",
        )
