"""Where tables are printed. Names and labels are shown as they are, and steer nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gad_core.errors import visible

WIDE = 240


class PlainConsole(Console):
    """A console to which brackets are no markup, and which shows `\\x1b` for a character that would steer the terminal:
    all it prints was written by somebody."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text) and visible(renderable.plain) != renderable.plain:
            renderable = Text(visible(renderable.plain), renderable.style, justify=renderable.justify)
        return super().render(renderable, options)

    def on_broken_pipe(self) -> None:
        """Called while a `BrokenPipeError` is handled: how a command ends is the command line's affair, not rich's."""
        raise


def make_console(**options: Any) -> Console:
    """A console on the standard output, with options of rich. Where that is a file or a pipe and `COLUMNS` does not say
    otherwise, tables are as wide as they need: nobody wants the names in a log broken at 80 characters."""
    console = PlainConsole(**options)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console
