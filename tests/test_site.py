"""The documentation site builds offline without a warning, and holds what it is made from."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_api import CALLED, SNAPSHOT

from gad_core.cli import COMMANDS
from gad_core.cli import reference as commands
from gad_core.contracts.hooks import HOOKS

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; no proxy leads anywhere while it is built."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(folder / "site")],
        cwd=PROJECT, env={**os.environ, **nowhere}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "site"


def words(page: Path) -> str:
    """The text of a page without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_page_is_there_and_can_be_reached(site: Path) -> None:
    menu = (site / "index.html").read_text()
    for page in (PROJECT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
        assert page.stem == "index" or f'href="{page.stem}.html"' in menu


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        sources = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text())
        assert not sources, page.name


def test_every_hook_and_contract_is_explained(site: Path) -> None:
    """What `PLUGIN_API` stands for, line by line, is on the page of hooks."""
    text = words(site / "hooks.html")
    for hook in HOOKS.values():
        assert hook in text
    lines = SNAPSHOT.read_text().splitlines()
    names = {re.split(r"[(:\s=]", line)[0] for line in lines if not line.endswith("(attribute)")}
    last = {name.rpartition(".")[2] for name in names}
    missing = sorted(name for name in last if name not in text and name not in CALLED)
    assert not missing


def test_the_commands_are_those_of_the_help() -> None:
    page = commands.page().read_text(encoding="utf-8")
    assert page == commands.reference(), "run `make docs`"
    assert all(f"## `gad {name}" in page for name in COMMANDS)
