"""The score file: predictions of any system beside the truth, as JSON or .npz. Format: docs/metrics.md."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from gad_core.errors import DataError
from gad_core.files.arrays import Archive
from gad_core.files.fields import FASTEST, shown
from gad_core.files.reading import damaged, reading, reason
from gad_core.metrics import StreamScore, Track, Variant

REQUIRED = ("fps", "background", "labels", "recordings")
OPTIONAL = ("ignored", "ambiguous", "subclasses")
PER_RECORDING = ("truth", "predicted")
SCORES = "scores"
_FORMAT = 'see docs/metrics.md, "The score file"'


@dataclass(frozen=True)
class ScoreFile:
    """What a score file says; `tracks` reads its recordings one at a time, in the order of the file."""

    fps: float
    background: int | None
    ignored: tuple[int, ...]
    ambiguous: int | None
    subclasses: Mapping[int, int] | None
    labels: tuple[str, ...]
    tracks: Callable[[], Iterator[tuple[str, Track]]]

    def metrics(self, *, variant: Variant = "corrected", smoothed: bool = False) -> dict[str, float]:
        """The flat table of stable keys; see `StreamScore`."""
        score = StreamScore(
            labels=self.labels,
            fps=self.fps,
            background=self.background,
            ignored=self.ignored,
            ambiguous=self.ambiguous,
            subclasses=self.subclasses,
            variant=variant,
            smoothed=smoothed,
        )
        for name, track in self.tracks():
            score.add(name, track)
        return score.metrics()


def score_file(path: Path, *, variant: Variant = "corrected", smoothed: bool = False) -> dict[str, float]:
    """Scores a JSON or .npz file; raises `DataError`, located in the file, where it does not hold together."""
    found = read(path)
    with _located(str(path)):
        return found.metrics(variant=variant, smoothed=smoothed)


def read(path: Path) -> ScoreFile:
    """The header of a score file, checked; raises `DataError`, located in the file, on one that is none."""
    with reading(path, hint="give a JSON or .npz file of truth and predictions"):
        archive = zipfile.is_zipfile(path)
    with _located(str(path)):
        return _read_npz(path) if archive else _read_json(path)


def _read_json(path: Path) -> ScoreFile:
    try:
        content = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", where=f"line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"neither .npz nor UTF-8 JSON: {error.reason} at byte {error.start}", hint=_FORMAT) from None
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else reason(error)
        raise DataError(f"not a score file: {what}", hint=_FORMAT) from None
    if not isinstance(content, dict):
        raise DataError(f"holds a {type(content).__name__}, not a JSON object", hint=_FORMAT)
    _check_keys(content, REQUIRED, OPTIONAL)
    recordings = content["recordings"]
    if not isinstance(recordings, dict):
        raise DataError("not an object of recordings by id", where="recordings", hint=_FORMAT)
    classes = len(content["labels"]) if isinstance(content["labels"], list) else 0

    def tracks() -> Iterator[tuple[str, Track]]:
        for name, members in recordings.items():
            with _located(f"recording '{name}'"):
                yield name, _json_track(members, classes)

    return _score_file(content, tracks, len(recordings))


def _read_npz(path: Path) -> ScoreFile:
    with damaged("archive", hint=_FORMAT):
        archive = Archive(path)
    header: dict[str, Any] = {}
    members: dict[str, set[str]] = {}
    for key in archive.names:
        if key.startswith("recordings/"):
            name, _, member = key.removeprefix("recordings/").rpartition("/")
            members.setdefault(name, set()).add(member)
        else:
            header[key] = _array(archive, key).tolist()
    _check_keys(header | ({"recordings": members} if members else {}), REQUIRED, OPTIONAL)
    if isinstance(header.get("subclasses"), list):
        header["subclasses"] = _pairs(header["subclasses"])

    def tracks() -> Iterator[tuple[str, Track]]:
        for name, present in members.items():
            with _located(f"recording '{name}'"):
                _check_keys(present, PER_RECORDING, (SCORES,))
                read_now = (*PER_RECORDING, *({SCORES} & present))
                arrays = {member: _array(archive, f"recordings/{name}/{member}") for member in read_now}
                yield name, _track(arrays["truth"], arrays["predicted"], arrays.get(SCORES))

    return _score_file(header, tracks, len(members))


def _score_file(
    header: Mapping[str, Any], tracks: Callable[[], Iterator[tuple[str, Track]]], recordings: int
) -> ScoreFile:
    """Checks the header's values."""
    labels = header["labels"]
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise DataError("not a list of label names", where="labels", hint="labels[i] is the name of class i")
    if len(set(labels)) < len(labels):
        twice = next(label for place, label in enumerate(labels) if label in labels[:place])
        raise DataError(f"{twice!r} is there twice", where="labels", hint="merge the classes or rename one")
    if not recordings:
        raise DataError("holds no recordings", where="recordings")
    fps = header["fps"]
    if isinstance(fps, bool) or not isinstance(fps, (int, float)):
        raise DataError(f"{shown(fps)} is not a number of frames per second", where="fps")
    if fps > FASTEST:
        raise DataError(f"fps is {shown(fps)}", where="fps", hint="give the frames per second of the labels")
    ignored = header.get("ignored") or []
    if not isinstance(ignored, list):
        raise DataError(f"{shown(ignored)} is not a list of labels", where="ignored")
    return ScoreFile(
        fps=fps,
        background=_label(header["background"], labels, "background"),
        ignored=tuple(_known_label(label, labels, "ignored") for label in ignored),
        ambiguous=_label(header.get("ambiguous"), labels, "ambiguous"),
        subclasses=_subclasses(header.get("subclasses"), labels),
        labels=tuple(labels),
        tracks=tracks,
    )


def _label(value: Any, labels: Sequence[str], where: str) -> int | None:
    return None if value is None or value == "" else _known_label(value, labels, where)


def _known_label(value: Any, labels: Sequence[str], where: str) -> int:
    """The class of a label given by its index or its name."""
    if isinstance(value, str) and value in labels:
        return labels.index(value)
    if isinstance(value, str) and value.isdecimal() and len(value) <= len(str(len(labels))):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(labels):
        raise DataError(
            f"{shown(value)} is not a label", where=where, hint=f"give an index from 0 to {len(labels) - 1} or a name"
        )
    return value


def _subclasses(value: Any, labels: Sequence[str]) -> dict[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise DataError("not an object of narrower to wider label", where="subclasses", hint=_FORMAT)
    return {_known_label(k, labels, "subclasses"): _known_label(v, labels, "subclasses") for k, v in value.items()}


def _json_track(members: Any, classes: int) -> Track:
    if not isinstance(members, dict):
        raise DataError("not an object with truth and predicted", hint=_FORMAT)
    _check_keys(members, PER_RECORDING, (SCORES,))
    truth, active = _json_truth(members["truth"], classes)
    scores = None if members.get(SCORES) is None else _numbers(members[SCORES], SCORES)
    return _track(truth, _numbers(members["predicted"], "predicted"), scores, active)


def _json_truth(values: Any, classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The main classes and, where a frame lists several, all active ones as (T, C)."""
    if not isinstance(values, list) or not any(isinstance(value, list) for value in values):
        return _numbers(values, "truth"), None
    rows = [value if isinstance(value, list) else [value] for value in values]
    active = np.zeros((len(rows), classes), bool)
    for frame, row in enumerate(rows):
        where = f"truth[{frame}]"
        if not row or len(set(map(str, row))) < len(row):
            raise DataError(
                f"{shown(row)} does not list the frame's labels",
                where=where,
                hint="a frame lists the indices of its labels, each once and the main one first, not zeros and ones",
            )
        for label in row:
            if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < classes:
                raise DataError(f"{shown(label)} is not among the {classes} labels", where=where)
            active[frame, label] = True
    return np.asarray([row[0] for row in rows]), active


def _track(
    truth: np.ndarray, predicted: np.ndarray, scores: np.ndarray | None, active: np.ndarray | None = None
) -> Track:
    for name, values in (("truth", truth), ("predicted", predicted)):
        if not len(np.atleast_1d(values)):
            raise DataError("no frames", where=name, hint="leave empty recordings out")
        if values.dtype.kind not in "biuf":
            raise DataError(f"holds {values.dtype}, not label indices", where=name, hint="indices count from 0")
    if scores is not None and scores.dtype.kind not in "fiu":
        raise DataError(f"holds {scores.dtype}, not numbers", where=SCORES)
    return Track(truth, predicted, scores if scores is None or scores.dtype.kind == "f" else scores * 1.0, active)


def _numbers(values: Any, where: str) -> np.ndarray:
    """JSON numbers as an array; the first thing that is not a number, or a ragged row, is named."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError("rows of different lengths", where=where, hint="one row a frame, one number a label") from None
    if array.ndim == 0 or (array.size and array.dtype.kind not in "iuf"):
        odd = next((value for value in np.asarray(values, object).ravel() if type(value) not in (int, float)), values)
        raise DataError(f"holds {shown(odd)} where a number belongs", where=where, hint=_FORMAT)
    return array


def _array(archive: Archive, key: str) -> np.ndarray:
    with damaged(key, hint="save plain arrays, not Python objects"):
        return np.asarray(archive[key])


def _pairs(listed: list[Any]) -> dict[Any, Any]:
    """The rows of an array [N, 2] as a mapping."""
    if not all(isinstance(pair, list) and len(pair) == 2 and not isinstance(pair[0], list) for pair in listed):
        raise DataError("not rows of narrower and wider label", where="subclasses", hint=_FORMAT)
    return dict(listed)


def _check_keys(present: Any, required: Sequence[str], optional: Sequence[str]) -> None:
    """Raises on missing keys, and on unknown ones that look like a slip of a known one."""
    missing = [key for key in required if key not in present]
    if missing:
        raise DataError(f"no {', '.join(map(repr, missing))} (there: {', '.join(sorted(present))})", hint=_FORMAT)
    known = (*required, *optional)
    for key in sorted(set(present) - set(known)):
        meant = get_close_matches(key, known, n=1, cutoff=0.8)
        if meant:
            raise DataError(f"unknown key {shown(key)}", hint=f"did you mean {meant[0]!r}?")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that is there twice would silently lose the first recording of that name."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise DataError(
            f"the key {shown(twice)} is there twice in one object", hint="every recording needs an id of its own"
        )
    return content


@contextmanager
def _located(place: str) -> Iterator[None]:
    """Puts `place` before the location of a `DataError` raised within."""
    try:
        yield
    except DataError as error:
        where = f"{place}: {error.where}" if error.where else place
        raise DataError(error.message, where=where, hint=error.hint) from None
