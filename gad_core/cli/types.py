"""What the options of commands may be: numbers within bounds, a device that is there."""

from __future__ import annotations

import math
from typing import Any

import click

COUNT = click.IntRange(1, 2**31 - 1)
"""How many of something."""


class Number(click.FloatRange):
    """A number within bounds that is one: NaN lies within all of them."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number", param, ctx)
        return number


SECONDS = Number(0, 1e9)
"""A time in a recording."""
RATE = Number(0, 1e6, min_open=True)
"""Something a second."""


class Device(click.ParamType):
    """A device of torch that can be used here."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        import torch

        try:
            torch.empty(0, device=value).cpu()
        except (RuntimeError, AssertionError) as error:
            self.fail(f"{value!r} cannot be used: {str(error).splitlines()[0]}", param, ctx)
        return str(value)
