"""gad: closed-set action understanding with language models.

`gad_core.load(path)` opens a finished run; everything else is composed by a registry file and run by `gad run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from gad_core.loading import Loaded

__version__ = "0.1.0"


def load(path: str | Path, *, device: str | torch.device | None = None) -> Loaded:
    """The model of a finished run folder, ready to predict; see `gad_core.loading.load`."""
    from gad_core import loading

    return loading.load(path, device=device)
