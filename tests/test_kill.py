"""Killed at any moment and run again, a command ends bit-equal to one left alone, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gad_oad.__main__ import main as oad
from killing import STAGES, in_a_fork
from safetensors.torch import load_file

from gad_core.cli import main
from gad_core.records.results import load_predictions

REGISTRY = """\
version: 1
backbones: {tiny: {use: llama-tiny, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 16, vocabulary: 400,
            lora: {rank: 2, alpha: 4, dropout: 0.1}}}
labels: {unique: {use: unique-token}}
heads: {gad: {use: gad, dropout: 0.1}}
auxiliaries: {goal: {use: goal}}
datasets: {kitchen: {use: kitchen, mode: stream, long: 8, short: 6, queries: dense, protocol: dense, train: 4, test: 1}}
training: {quick: {epochs: 3, batch: 4, micro_batch: 3, learning_rate: 1e-2, save_every: 2, log_every: 1, keep: best}}
experiments: {gad: {dataset: kitchen, backbone: tiny, head: gad, labels: unique, auxiliary: goal, training: quick}}
"""
THOROUGH = bool(os.environ.get("GAD_THOROUGH"))
EACH = 6 if THOROUGH else 1
"""Moments of each stage: 5 stages of a run, packing and converting, 42 or 7 in all."""

Command = Callable[[Path], tuple[Callable[..., object], list[str]]]


def running(folder: Path) -> tuple[Callable[..., object], list[str]]:
    return main, ["run", str(folder / "registry.yaml"), "gad", "--quiet"]


def packing(folder: Path) -> tuple[Callable[..., object], list[str]]:
    return main, ["features", "pack", str(folder / "raw"), str(folder / "mine.lmdb"), "--fps", "2"]


def converting(folder: Path) -> tuple[Callable[..., object], list[str]]:
    return oad, ["convert", "thumos14", str(folder / "t.csv"), "--fps", "2", "--out", str(folder / "out")]


def prepared(folder: Path) -> Path:
    """What the three commands read; the run has a finished one of other options to replace."""
    (folder / "raw").mkdir(parents=True)
    for number in range(6):
        np.save(folder / "raw" / f"r{number}.npy", np.random.default_rng(number).normal(size=(20, 5)))
    rows = [f"v{number},Run,{start},{start + 2}" for number in range(6) for start in (0, 3)]
    (folder / "t.csv").write_text("\n".join(["video,type,start,end", *rows, ""]))
    (folder / "registry.yaml").write_text(REGISTRY.replace("epochs: 3", "epochs: 1"))
    command, arguments = running(folder)
    command(arguments, standalone_mode=False)  # in this process, which imports for all that are forked
    (folder / "registry.yaml").write_text(REGISTRY)
    (folder / "runs" / "gad" / "0" / "notes.md").write_text("mine")
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("start") / "start")


def left(folder: Path) -> dict[str, Any]:
    """Every file below a folder with what must be equal in it: neither times nor speeds."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if name.endswith("results.json"):
            told = json.loads(path.read_text())
            for key in ("timing", "peak_memory_mb", "finished", "seal"):
                del told[key]
            found[name] = told
        elif name.endswith("log.jsonl"):
            found[name] = re.sub(r'"samples_per_second": [^,}]*', "", path.read_text())
        else:
            found[name] = None if "comparison" in name or name.endswith("mine.lmdb") else path.read_bytes()
    return found


@pytest.mark.parametrize(("command", "stages"), [(running, STAGES), (packing, ()), (converting, ())])
def test_killed_at_any_moment_and_run_again(
    start: Path, tmp_path: Path, command: Command, stages: tuple[str, ...]
) -> None:
    whole = Path(shutil.copytree(start, tmp_path / "whole"))
    assert in_a_fork(*command(whole), whole, None) == 0, (tmp_path / "whole.output").read_text()
    told = (tmp_path / "whole.moments").read_text().split("\n")
    expected = left(whole)
    for stage in stages or (None,):
        members = [number for number, one in enumerate(told) if stage in (None, one)]
        chosen = np.linspace(0, len(members) - 1, EACH + 2)[1:-1].round().astype(int)
        assert len(members) >= EACH, (stage, told)
        for moment in (members[place] for place in chosen):
            cut = Path(shutil.copytree(start, tmp_path / f"cut-{moment}"))
            assert in_a_fork(*command(cut), cut, moment) == -signal.SIGKILL
            assert in_a_fork(*command(cut), cut, None) == 0, (tmp_path / f"{cut.name}.output").read_text()
            found = left(cut)
            assert found.keys() == expected.keys(), (stage, moment)
            assert [name for name in expected if found[name] != expected[name]] == [], (stage, moment)
            shutil.rmtree(cut)


def test_the_finished_run_stands_while_the_next_one_grows(start: Path, tmp_path: Path) -> None:
    before = left(start / "runs" / "gad" / "0")
    whole = Path(shutil.copytree(start, tmp_path / "whole"))
    assert in_a_fork(*running(whole), whole, None) == 0
    told = (tmp_path / "whole.moments").read_text().split("\n")
    for moment in (told.index("training") + 1, len(told) - 1 - told[::-1].index("training"), told.index("pictures")):
        cut = Path(shutil.copytree(start, tmp_path / f"cut-{moment}"))
        assert in_a_fork(*running(cut), cut, moment) == -signal.SIGKILL
        after = left(cut / "runs" / "gad" / "0")
        assert {name: after.get(name) for name in before} == before, moment


# -------------------------------------------------------------------------------------------- from process to process


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "gad_core.cli", "run", str(folder / "registry.yaml"), "gad"]


def fresh(folder: Path) -> Path:
    folder.mkdir()
    (folder / "registry.yaml").write_text(REGISTRY)
    return folder


def stopped(folder: Path, sign: signal.Signals) -> tuple[int, str]:
    """The exit code and the errors of a run that is sent a signal when it has begun to train."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command(folder), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if " updates of " in line:
                break
        time.sleep(0.5)
        process.send_signal(sign)
        return process.wait(60), process.stderr.read()


def test_another_process_goes_on_after_any_signal(tmp_path: Path) -> None:
    whole, cut = fresh(tmp_path / "whole"), fresh(tmp_path / "cut")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(whole), check=True, env=environment, capture_output=True, timeout=300)
    for sign, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)):
        ended, errors = stopped(cut, sign)
        assert ended == code
        assert len(errors.splitlines()) == (sign is not signal.SIGKILL), errors
        assert not (cut / "runs" / "gad" / "0" / "results.json").exists()
    subprocess.run(command(cut), check=True, env=environment, capture_output=True, timeout=300)
    runs = [folder / "runs" / "gad" / "0" for folder in (whole, cut)]
    weights = [load_file(run / "checkpoints" / "last" / "weights.safetensors") for run in runs]
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
    assert (
        load_predictions(runs[0] / "predictions.npz").scores == load_predictions(runs[1] / "predictions.npz").scores
    ).all()
    assert left(runs[0]) == left(runs[1])
