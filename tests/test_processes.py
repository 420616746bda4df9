"""Two processes give what one gives: the same updates, the same answers, each of them once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from gad_core.results import load_predictions

REGISTRY = """\
version: 1
backbones: {tiny: {use: llama-tiny, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 16, vocabulary: 400}}
labels: {text: {use: text}}
heads: {gad: {use: gad}}
auxiliaries: {goal: {use: goal}}
datasets: {kitchen: {use: kitchen, train: 6, test: 3, asks: [current, goal]}}
training: {quick: {epochs: 1, batch: 5, learning_rate: 1e-3, evaluate_every: 1, keep: best}}
experiments: {gad: {dataset: kitchen, backbone: tiny, head: gad, labels: text, auxiliary: goal, training: quick}}
"""


def test_two_processes_equal_one(tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    arguments = ["-m", "gad_core.cli", "run", str(tmp_path / "registry.yaml"), "--runs"]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29511"]
    for launch, name in (([], "one"), (launcher, "two")):
        call = [sys.executable, *launch, *arguments, str(tmp_path / name)]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
    runs = [tmp_path / name / "gad" / "0" for name in ("one", "two")]
    one, two = (load_predictions(run / "predictions.npz") for run in runs)
    assert one.uids == two.uids
    assert len(set(two.uids)) == len(two.uids)
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-3, atol=1e-4)
    weights = [load_file(run / "checkpoints" / "last" / "weights.safetensors") for run in runs]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-2, atol=1e-4, msg=name)
