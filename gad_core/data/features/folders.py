"""The feature files of folders, and what lies there besides."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gad_core.errors import FeatureError
from gad_core.files.fields import clean
from gad_core.files.reading import damaged, require_file

HIDDEN = "hidden"
COPY = "copy of a notebook (-checkpoint)"
BROKEN = "broken link"
AGAIN = "second link to a folder"
OTHER_NAME = "not called as --name says"
RECORDING = "{recording}"


@dataclass(frozen=True)
class FeatureFile:
    """A file and the name it gives its recording."""

    path: Path
    recording: str


@dataclass(frozen=True)
class Survey:
    """The feature files found, and how many others were left out, by their kind."""

    files: tuple[FeatureFile, ...]
    skipped: Counter[str]

    def told(self) -> str:
        """What was left out, in words; empty if nothing was."""
        return ", ".join(f"{count} × {kind}" for kind, count in sorted(self.skipped.items()))


def survey(roots: Sequence[Path], suffixes: Collection[str], pattern: str | None = None) -> Survey:
    """The files of some folders that end in one of `suffixes`, in any case, in the order of their names.

    Links are followed, a folder is entered once; hidden files and copies of notebooks are left out. A recording is
    called as its file without the suffix, relative to the folder, or as the part that `pattern` ("{recording}_rgb.npy")
    leaves open. Raises `FeatureError` for a root that is not there, and a feature file that is a pipe or a device.
    """
    expression = None if pattern is None else _expression(pattern)
    skipped: Counter[str] = Counter()
    files = []
    for root in roots:
        alone = not root.is_dir()
        if alone:
            require_file(root, FeatureError, "name a folder of features, or a feature file")
            if root.suffix.lower() not in suffixes:
                raise FeatureError(f"has a suffix other than {', '.join(suffixes)}", where=str(root))
        for path in [root] if alone else sorted(_walk(root, skipped)):
            if path.suffix.lower() not in suffixes:
                skipped[path.suffix.lower() or "without a suffix"] += 1
                continue
            require_file(path, FeatureError, "take it out of the folder")
            name = _name(path.relative_to(root.parent if alone else root), expression)
            if name is None:
                skipped[OTHER_NAME] += 1
            else:
                files.append(FeatureFile(path, _spelt(name, path)))
    return Survey(tuple(files), skipped)


def _walk(root: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Every file below a folder. Real folders come before links, so that a folder is called by its own name."""
    real, linked = deque([root]), deque[Path]()
    entered = set()
    while real or linked:
        folder = (real or linked).popleft()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            skipped[AGAIN] += 1
            continue
        entered.add((status.st_dev, status.st_ino))
        with damaged(str(folder), FeatureError):
            members = sorted(folder.iterdir())
        for path in members:
            kind = _left_out(path)
            if kind is not None:
                skipped[kind] += 1
            elif path.is_dir():
                (linked if path.is_symlink() else real).append(path)
            else:
                yield path


def _left_out(path: Path) -> str | None:
    if path.name.startswith(".") or path.name == "__MACOSX":
        return HIDDEN
    if path.stem.endswith("-checkpoint"):
        return COPY
    return None if path.exists() else BROKEN


def _expression(pattern: str) -> re.Pattern[str]:
    if pattern.count(RECORDING) != 1:
        raise FeatureError(
            f"the name pattern {pattern!r} does not hold {RECORDING} once",
            hint="write for example '{recording}_rgb.npy'",
        )
    before, _, after = pattern.partition(RECORDING)
    return re.compile(f"{re.escape(before)}(?P<recording>.+){re.escape(after)}")


def _name(relative: Path, expression: re.Pattern[str] | None) -> str | None:
    """The name of a recording, or None where the file is not called as it should be. A pattern without a suffix stands
    for every suffix."""
    if expression is None:
        return relative.with_suffix("").as_posix()
    for spelt in (relative.with_suffix("").as_posix(), relative.as_posix()):
        found = expression.fullmatch(spelt)
        if found:
            return found["recording"]
    return None


def _spelt(name: str, path: Path) -> str:
    """The name as all names of recordings are spelt; raises `FeatureError` where the system's bytes are no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise FeatureError("its name is no UTF-8 text", where=repr(str(path)), hint="rename the file") from None
    return clean(name)
