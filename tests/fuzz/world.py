"""The whole inputs that are damaged: one project with every kind of file that gad reads, and two of its runs."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
from small_project import LABELS, Project

from .attempt import Call, run

REGISTRY = """\
version: 1
backbones: {tiny: {use: llama-tiny, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 16, vocabulary: 400}}
labels: {text: {use: text}}
heads:
  gad: {use: gad, generation_weight: 0.5}
  discriminative: {use: discriminative}
auxiliaries: {previous: {use: previous}}
datasets:
  csv: {use: segments, features: mine.lmdb, annotations: mine.csv, fps: 2, mode: clips, labels: labels.txt}
  tsv: {use: segments, features: mine.lmdb, annotations: mine.tsv, mode: clips}
  json: {use: segments, features: mine.lmdb, annotations: mine.json, mode: clips}
  stream: {use: segments, features: mine.lmdb, annotations: mine.csv, mode: stream, long: 4, short: 3}
  coin: {use: coin, features: mine.lmdb, annotations: COIN.json}
  oad: {use: oad, features: mine.lmdb, data_info: data_info.json, targets: targets, long: 4, short: 3}
training:
  quick: {epochs: 1, batch: 6, learning_rate: 1e-2, betas: [0.9, 0.95], evaluate_every: null}
  long: {epochs: 46, batch: 6, learning_rate: 1e-2, evaluate_every: null, save_every: 40, log_every: 10}
experiments:
  gad: {dataset: csv, backbone: tiny, head: gad, labels: text, auxiliary: previous, training: quick, seeds: [0]}
  cut: {dataset: csv, backbone: tiny, head: gad, labels: text, training: long}
  stream: {dataset: stream, backbone: tiny, head: discriminative, training: quick}
  tsv: {dataset: tsv, backbone: tiny, head: discriminative, training: quick}
  json: {dataset: json, backbone: tiny, head: discriminative, training: quick}
  coin: {dataset: coin, backbone: tiny, head: discriminative, training: quick}
  oad: {dataset: oad, backbone: tiny, head: discriminative, training: quick}
sweeps:
  heads: {base: gad, vary: {head: [gad, discriminative], training.batch: [2, 6]}}
default: [gad]
"""
THUMOS = (
    "video,type,type_idx,start,end,startFrame,endFrame\none,Diving,26,0.2,1.1,6,33\none,Ambiguous,0,1.0,2.0,30,60\n"
)
TASKS = "7\nMake Tea\nhttp://tea\n2\nboil water,pour water\n\n9\nMake Soup\nhttp://soup\n2\npour water,stir\n\n"
STEP = {"start_time": 0, "end_time": 4, "step_category": "Make tea: Boil water"}
GOALSTEP = {
    "videos": [
        {
            "video_uid": "v",
            "start_time": 0,
            "end_time": 5,
            "segments": [{**STEP, "segments": [{**STEP, "step_category": "Make tea: Stir"}]}],
        }
    ]
}
EPIC = "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\nx,P1,00:00:00.50,00:00:02.0,0,2\n"


def build(root: Path, scratch: Path, *, runs: bool) -> None:
    """Makes everything in an empty folder, with gad's own commands where it makes such files. What only torch makes,
    runs and .pt files, is left out unless asked for."""
    project = Project(root)
    project.write()
    (root / "registry.yaml").write_text(REGISTRY)
    (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
    _annotations(root, project.rows)
    _originals(root / "originals")
    _score_files(root)
    _feature_files(root)
    _gad(root, scratch, "features", "pack", "raw", "mine.lmdb", "--fps", "2", "--dtype", "float32")
    if runs:
        _tensors(root)
        _gad(root, scratch, "run", "registry.yaml", "gad", "stream", "--quiet")
        _interrupted(root, scratch)


def _annotations(root: Path, rows: list[tuple[object, ...]]) -> None:
    columns = ("recording", "start", "end", "label", "split")
    with (root / "mine.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([columns, *rows])
    (root / "mine.json").write_text(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
    steps = [{"id": str(n), "segment": [3 * n, 3 * n + 3], "label": label} for n, label in enumerate(LABELS)]
    videos = {
        f"r{n}": {"class": "SowBag" if n % 2 else "Weld", "subset": subset, "duration": 10, "annotation": steps}
        for n, subset in enumerate(("training", "training", "testing", "testing"))
    }
    (root / "COIN.json").write_text(json.dumps({"database": videos}))
    sessions = {"train_session_set": ["r0", "r1"], "test_session_set": ["r2", "r3"]}
    names = ["Background", "CleanAndJerk", "Diving"]
    (root / "data_info.json").write_text(json.dumps({"class_names": names, **sessions, "fps": 2}))
    (root / "targets").mkdir()
    for n in range(4):
        np.save(root / "targets" / f"r{n}.npy", np.eye(3)[(np.arange(20) // 3 + n) % 3])


def _originals(folder: Path) -> None:
    (folder / "texts").mkdir(parents=True)
    (folder / "thumos.csv").write_text(THUMOS)
    (folder / "texts" / "Diving_val.txt").write_text("one 0.2 1.1\n")
    with zipfile.ZipFile(folder / "crosstask.zip", "w") as archive:
        archive.writestr("crosstask_release/tasks_primary.txt", TASKS)
        archive.writestr("crosstask_release/annotations/9_a_b.csv", "1,0.5,1.5\n2,2,3\n")
    with zipfile.ZipFile(folder / "crosstask.zip") as archive:
        archive.extractall(folder)
    (folder / "goalstep.json").write_text(json.dumps(GOALSTEP))
    (folder / "goals.json").write_text(json.dumps({"class_names": ["background", "boil water", "stir"]}))
    (folder / "actions.csv").write_text("id,verb,noun,action\n0,0,2,take plate\n1,3,5,open door\n")
    (folder / "epic.csv").write_text(EPIC)
    (folder / "rulstm.csv").write_text("x,P1,15,60,3,5,1\n")
    (folder / "videos.csv").write_text("video_id,duration\nP1,4.0\n")


def _score_files(root: Path) -> None:
    truth, scores = [0, 0, 1, 1, 2, 0], np.round(np.random.default_rng(0).normal(size=(6, 3)), 3)
    head = {"fps": 4, "background": 0, "ignored": [0], "labels": ["background", "run", "jump"]}
    recording = {"truth": truth, "predicted": [0, 1, 1, 1, 2, 0], "scores": scores.tolist()}
    several = {**recording, "truth": [0, [1, 2], 1, 1, 2, 0]}
    (root / "score.json").write_text(json.dumps({**head, "recordings": {"a": recording, "b": several}}))
    arrays = {f"recordings/a/{name}": np.array(value) for name, value in recording.items()}
    np.savez(root / "score.npz", **{name: np.array(value) for name, value in head.items()}, **arrays)


def _feature_files(root: Path) -> None:
    """A folder for each format that is packed."""
    array = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    for suffix in ("npy", "npz", "h5"):
        (root / suffix).mkdir()
    np.save(root / "npy" / "a.npy", array)
    np.savez_compressed(root / "npz" / "a.npz", features=array, other=array[:2])
    with h5py.File(root / "h5" / "a.h5", "w") as file:
        file["a"], file["group/b"] = array, array[:6]


def _tensors(root: Path) -> None:
    import torch

    (root / "pt").mkdir()
    torch.save({"features": torch.arange(60.0).reshape(12, 5), "times": torch.arange(12)}, root / "pt" / "a.pt")


def _gad(root: Path, scratch: Path, *words: str) -> None:
    done = run(Call("gad", words), root, scratch)
    if done.code:
        raise RuntimeError(f"gad {' '.join(words)} failed: {done.error}")


def _interrupted(root: Path, scratch: Path) -> None:
    """A run that was killed behind its one resume point, so that what is run again goes on there."""

    def resume_point() -> bool:
        return any((root / "runs" / "cut").glob("**/resume-*/place.json"))

    run(Call("gad", ("run", "registry.yaml", "cut", "--quiet")), root, scratch, until=resume_point)
    if not resume_point() or any((root / "runs" / "cut").glob("**/results.json")):
        raise RuntimeError("the run that was to be interrupted was not")


def place(pristine: Path, folder: Path, entries: tuple[str, ...]) -> None:
    """A new copy of some files and folders of the project, times included."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for entry in entries:
        source, target = pristine / entry, folder / entry
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)


def names(pristine: Path, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The files that patterns name, in a fixed order."""
    found = [str(path.relative_to(pristine)) for pattern in patterns for path in pristine.glob(pattern)]
    return tuple(sorted(path for path in found if os.path.isfile(pristine / path)))
