"""Where tables are printed."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console

WIDE = 240


def make_console(**options: Any) -> Console:
    """A console on the standard output, with options of rich. Where that is a file or a pipe and `COLUMNS` does not say
    otherwise, tables are as wide as they need: nobody wants the names in a log broken at 80 characters."""
    console = Console(**options)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console
