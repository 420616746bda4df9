"""What all inputs came to: a table by kind, findings that have one cause together, and an input of each kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from .lab import Finding, Tried


def table(tried: Sequence[Tried]) -> str:
    """A row for each kind of input."""
    lines = [f"{'kind':<18}{'input':<24}{'inputs':>8}{'refused':>9}{'accepted':>10}{'findings':>10}{'ms each':>9}"]
    ordered = sorted(tried, key=lambda one: (one.kind, one.name))
    for (kind, name), group in groupby(ordered, key=lambda one: (one.kind, one.name)):
        lines.append(f"{kind:<18}{name:<24}{_counts(list(group))}")
    return "\n".join([*lines, f"{'all':<42}{_counts(ordered)}"])


def _counts(tried: Sequence[Tried]) -> str:
    found = sum(one.finding is not None for one in tried)
    refused = sum(one.code == 2 and one.finding is None for one in tried)
    milliseconds = 1e3 * sum(one.seconds for one in tried) / max(1, len(tried))
    return f"{len(tried):>8}{refused:>9}{len(tried) - refused - found:>10}{found:>10}{milliseconds:>9.0f}"


def findings(tried: Sequence[Tried]) -> list[list[Finding]]:
    """The findings by cause: what happened, and where."""
    found = sorted((one.finding for one in tried if one.finding), key=lambda finding: finding.key)
    return [sorted(group, key=_size) for _, group in groupby(found, key=lambda finding: finding.key)]


def _size(finding: Finding) -> int:
    return len(finding.case.text())


def keep(found: Sequence[Sequence[Finding]], folder: Path) -> Iterator[str]:
    """Keeps the smallest input of every cause; yields a line for each that says how to try it again."""
    for group in found:
        what, at = group[0].key
        name = f"{hashlib.sha256(f'{what} {at}'.encode()).hexdigest()[:8]}.json"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(group[0].case.text())
        kinds = ", ".join(sorted({f"{one.case.kind} {one.case.name}" for one in group}))
        yield f"{what} at {at or '?'} ({len(group)} of {kinds})"
        yield (
            f"  {group[0].ending.error.strip().splitlines()[-1][:200]!r}"
            if group[0].ending.error.strip()
            else "  no message"
        )
        yield f"  PYTHONPATH=tests python -m fuzz --replay {folder / name}"
