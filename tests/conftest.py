"""What all tests share: the real data beside the project, the profiles of the property tests."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_distributions import Site, site_at
from hypothesis import HealthCheck, Phase, settings

from gad_core.discovery.plugins import installed

PROJECT = Path(__file__).resolve().parents[1]
collect_ignore = ["guests"]  # packages of their own: tests/test_guests.py installs and tests them
RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("quick", max_examples=60, derandomize=True, **RELAXED)
settings.register_profile(
    "trial",
    max_examples=60,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    **RELAXED,
)  # of a deliberate bug (tests/mutations.py): that it is found counts, not how small the example is
settings.register_profile("thorough", max_examples=2000, print_blob=True, **RELAXED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture
def shared() -> Path:
    """Real data and reference vectors beside the project, where the machine has them."""
    folder = PROJECT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder of real data beside the project")
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder in which a test installs distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    with site_at(folder, monkeypatch) as made:
        yield made
    monkeypatch.undo()
    installed.cache_clear()


TRIED: Counter[str] = Counter()
"""How many compositions the product test has tried, by how they ended."""


def _tried_here() -> Counter[str]:
    product = sys.modules.get("test_product")
    return product.COVERED if product is not None else Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of several hands its count to the one that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["compositions"] = dict(_tried_here())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    TRIED.update(getattr(node, "workeroutput", {}).get("compositions", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counted = TRIED + _tried_here()
    if counted:
        parts = ", ".join(f"{count} {what}" for what, count in counted.most_common())
        terminalreporter.write_line(f"compositions: {counted.total()} tried, of which {parts}")
