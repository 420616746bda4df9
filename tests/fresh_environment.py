"""A fresh virtual environment with gad's own wheel, in which packages of guests are installed and run.

What gad depends on is taken from the environment of the tests, since a torch of its own would cost minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

FEW = """from hypothesis import settings

settings.register_profile("few", max_examples=30, derandomize=True)
settings.load_profile("few")
"""
"""A pytest plugin that loads a profile before the kit looks at it."""


class FreshEnvironment:
    """A virtual environment in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = root / "venv" / "bin" / "python"
        self.home = root / "home"
        self.home.mkdir(parents=True)
        call([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")])
        (self.site,) = (root / "venv" / "lib").glob("python*/site-packages")
        (self.site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        source = root / "gad"
        source.mkdir()
        for name in ("gad_core", "plugins"):
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(PROJECT / name, source)
        self.install(source)

    def copy(self, package: Path) -> Path:
        """A copy of a package, so that building it leaves nothing beside its sources."""
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
        return Path(shutil.copytree(package, self.root / package.name, ignore=ignored))

    def install(self, package: Path) -> None:
        """Builds the wheel of a package and installs it."""
        wheels = self.root / "wheels" / package.name
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        call([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(package)])
        (wheel,) = wheels.glob("*.whl")
        call([*pip, "install", "--no-deps", "--no-index", "--target", str(self.site), str(wheel)])

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs Python in the environment, in a folder without our sources; whatever it returns."""
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            capture_output=True, text=True, check=False, cwd=self.home, env={**kept, "COLUMNS": "300"},
        )  # fmt: skip

    def gad(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`gad` in the environment."""
        return self.run("-m", "gad_core.cli", *arguments)

    def test(self, *packages: Path) -> subprocess.CompletedProcess[str]:
        """Runs the tests of some packages, in one process and with few examples: our own components get more."""
        (self.site / "few_examples.py").write_text(FEW)
        options = ("-q", "-p", "no:cacheprovider", "-p", "few_examples")
        return self.run("-m", "pytest", *options, *(package / "tests" for package in packages))


def call(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
