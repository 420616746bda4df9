"""Component swapping: every combination of what is installed has a stated problem, or trains a step and predicts."""

from __future__ import annotations

from collections import Counter

import pytest
from gad_kitchen.plugin import Kitchen
from gad_llama.plugin import Llama, LlamaTiny
from hypothesis import given, note, settings
from small_datasets import make_checkpoint, make_coin, make_oad, make_segments

from gad_core.contracts.components import Component
from gad_core.discovery.plugins import DISTRIBUTION, installed
from gad_core.errors import CodebookError, RegistryError
from gad_core.huggingface.lora_options import Lora
from gad_core.registry import dump, loads
from gad_core.registry.compatibility import compatibility
from gad_core.registry.experiment import Experiment
from gad_core.testing.composition import check_works, composed
from gad_core.testing.contract import reproduction
from gad_core.testing.strategies import experiments

COVERED: Counter[str] = Counter()
"""How the compositions ended that the test below has tried; printed at the end of the run (tests/conftest.py)."""
TRAINED = "trained a step and predicted"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Component]]:
    """Small instances of the components that need files or would be slow."""
    folder = tmp_path_factory.mktemp("product")
    small = {"train": 3, "test": 2, "width": 4}
    return {
        "kitchen": [
            Kitchen(**small, asks=("current", "next", "goal"), tokens=2),
            Kitchen(**small, mode="stream", long=4, short=3, queries="dense", protocol="dense"),
            Kitchen(**small, mode="stream", long=4, short=3),
        ],
        "segments": [make_segments(folder, "clips"), make_segments(folder, "stream")],
        "llama-tiny": [
            LlamaTiny(hidden=16, layers=1, heads=2, kv_heads=1, mlp=16, vocabulary=600),
            LlamaTiny(hidden=16, layers=1, heads=2, kv_heads=1, mlp=16, vocabulary=600, lora=Lora(rank=2, alpha=4)),
        ],
        "llama": [Llama(checkpoint=str(make_checkpoint(folder)), lora=Lora(rank=2, alpha=4), dtype="fp32")],
        "smollm2": [],  # 135 M parameters: tests/test_backbones.py tries it once
        "coin": [make_coin(folder)],
        "oad": [make_oad(folder, protocol) for protocol in ("window", "dense")],
    }


def outcome(experiment: Experiment) -> str:
    """How a composition ends: with a stated problem, or with a sound update and prediction."""
    note(reproduction(experiment))
    problems = compatibility(experiment)
    if problems:
        assert all(problem.message and problem.slot in experiment.resolved() for problem in problems)
        with pytest.raises(RegistryError, match=r"."):
            loads(dump([experiment]))
        return "with a stated problem"
    (again,) = loads(dump([experiment])).select([])
    assert again.resolved() == experiment.resolved()
    try:
        composition = composed(experiment)
    except CodebookError as error:
        note(f"refused: {error}")
        return "with labels the vocabulary cannot write"
    check_works(composition)
    return TRAINED


def test_every_combination_has_a_problem_or_works(ready: dict[str, list[Component]]) -> None:
    """And a quarter of what is drawn works: the others are refused with their reason, which trains nothing."""

    @settings(max_examples=max(200, settings().max_examples))
    @given(experiments(ready))
    def tried(experiment: Experiment) -> None:
        COVERED[outcome(experiment)] += 1

    tried()
    told = f"{COVERED[TRAINED]} of {COVERED.total()} compositions trained"
    print(told)
    assert COVERED.total() >= 200 and COVERED[TRAINED] >= COVERED.total() / 4, told


def test_nothing_installed_is_left_out(ready: dict[str, list[Component]]) -> None:
    left_out = {name for name, instances in ready.items() if not instances}
    assert left_out <= {"smollm2"}
    assert {offer.name for offer in installed().offers if offer.distribution == DISTRIBUTION} >= set(ready) - left_out
