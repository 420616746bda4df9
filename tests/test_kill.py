"""Killed at any moment and run again, a training ends bit-equal to one that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from gad_core.results import load_predictions

REGISTRY = """\
version: 1
backbones: {tiny: {use: llama-tiny, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 16, vocabulary: 400,
            lora: {rank: 2, alpha: 4, dropout: 0.1}}}
labels: {unique: {use: unique-token}}
heads: {gad: {use: gad, dropout: 0.1}}
auxiliaries: {goal: {use: goal}}
datasets: {kitchen: {use: kitchen, mode: stream, long: 8, short: 6, queries: dense, protocol: dense, train: 8, test: 2}}
training: {quick: {epochs: 3, batch: 4, micro_batch: 3, learning_rate: 1e-2, save_every: 2, log_every: 1}}
experiments: {gad: {dataset: kitchen, backbone: tiny, head: gad, labels: unique, auxiliary: goal, training: quick}}
"""


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "gad_core.cli", "run", str(folder / "registry.yaml"), "gad", "--quiet"]


def prepared(folder: Path) -> Path:
    folder.mkdir()
    (folder / "registry.yaml").write_text(REGISTRY)
    return folder


def lines(folder: Path) -> list[dict[str, object]]:
    log = folder / "runs" / "gad" / "0" / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_and_run_again_is_bit_equal(tmp_path: Path, seed: int) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, cut = prepared(tmp_path / "whole"), prepared(tmp_path / "cut")
    subprocess.run(command(whole), check=True, env=environment, capture_output=True, timeout=300)
    updates = max(int(str(line["step"])) for line in lines(whole))
    moment = random.Random(seed).randint(2, updates - 5)
    with subprocess.Popen(command(cut), env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(lines(cut)) < moment:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (cut / "runs" / "gad" / "0" / "results.json").exists()
    assert list((cut / "runs" / "gad" / "0").glob("resume-*"))
    subprocess.run(command(cut), check=True, env=environment, capture_output=True, timeout=300)
    runs = [folder / "runs" / "gad" / "0" for folder in (whole, cut)]
    weights = [load_file(run / "checkpoints" / "last" / "weights.safetensors") for run in runs]
    assert weights[0].keys() == weights[1].keys()
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
    scores = [load_predictions(run / "predictions.npz").scores for run in runs]
    assert (scores[0] == scores[1]).all()
    results = [json.loads((run / "results.json").read_text())["metrics"] for run in runs]
    assert results[0] == results[1]
    logs = [
        [(line["step"], line.get("losses"), line.get("metrics")) for line in lines(folder)] for folder in (whole, cut)
    ]
    assert logs[0] == logs[1]
