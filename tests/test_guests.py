"""Two guests as complete packages: each installs beside gad, passes its own tests, and runs with our components."""

from __future__ import annotations

from pathlib import Path

from fresh_environment import FreshEnvironment

GUESTS = sorted((Path(__file__).parent / "guests").iterdir())
REGISTRY = """\
version: 1
datasets: {memory: {use: memory, asks: [current, goal]}}
backbones: {small: {use: llama-tiny, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 16, lora: {rank: 2}}}
heads: {by-text: {use: label-embedding, unseen: [take onion]}}
auxiliaries: {previous: {use: previous, form: classified}}
training: {short: {epochs: 1, batch: 8, evaluate_every: 1}}
experiments:
  composed: {dataset: memory, backbone: small, head: by-text, auxiliary: previous, training: short}
"""


def test_guests_install_pass_their_tests_and_run(tmp_path: Path) -> None:
    fresh = FreshEnvironment(tmp_path)
    packages = [fresh.copy(guest) for guest in GUESTS]
    assert [package.name for package in packages] == ["gad-frame-labels", "gad-label-embedding"]
    for package in packages:
        fresh.install(package)
    tested = fresh.test(*packages)
    assert tested.returncode == 0, tested.stdout[-5000:]
    listed = fresh.gad("plugins").stdout
    assert all(f" {package.name} " in listed for package in packages) and "broken" not in listed
    registry = tmp_path / "registry.yaml"
    registry.write_text(REGISTRY)
    ended = fresh.gad("run", registry, "--quiet")
    assert ended.returncode == 0, ended.stderr
    checkpoint = tmp_path / "runs" / "composed" / "0" / "checkpoints"
    assert list(checkpoint.iterdir())
