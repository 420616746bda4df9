"""How the actions of a recording stand to one another: current, previous, next, past, goal.

- `current`: the label that is shown; the background too.
- `previous`: the most recent action before it that is another one.
- `next`: in a stream the first other action after it; among segments the label of the next segment.
- `past`: the distinct other actions before it, the most recent first; in a stream those within the short window.
- `goal`: what the recording as a whole is for.

Background and ignored classes are *unnamed*: they can be current and nothing else. A relation that does not hold is
absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gad_core.contracts.values import LabelRef, LabelSpace

Relations = dict[str, tuple[LabelRef, ...]]

ACTION_RELATIONS = ("current", "previous", "next", "past")
"""The relations between actions; they share one label space."""

NONE = -1


def unnamed(space: LabelSpace) -> frozenset[int]:
    """The classes that no relation but `current` names."""
    return frozenset(space.ignored) | ({space.background} if space.background is not None else frozenset())


def most_recent_other(labels: Iterable[int], silent: frozenset[int]) -> list[int]:
    """For each label the last one before it that differs and is not in `silent`; -1 where there is none."""
    found: list[int] = []
    last = before_last = NONE
    for label in labels:
        found.append(before_last if label == last else last)
        if label not in silent and label != last:
            before_last, last = last, label
    return found


class StreamRelations:
    """The relations at every frame of one recording.

    `labels` is (T,) int, the class of each frame; `short` the frames in which `past` is looked for. With
    `first_seen` the past is ordered by each action's first frame in the window instead of its last (REFERENCE: texts).
    Runs of one label are found once; what holds at a frame depends on its run and the oldest of its short window.
    """

    def __init__(
        self,
        labels: np.ndarray,
        space: LabelSpace,
        short: int,
        goal: LabelRef | None = None,
        *,
        first_seen: bool = False,
    ) -> None:
        changes = np.flatnonzero(np.diff(labels)) + 1
        starts = np.concatenate([[0], changes]) if len(labels) else np.empty(0, dtype=np.int64)
        self._silent = unnamed(space)
        self._space, self._short, self._goal, self._first_seen = space.name, short, goal, first_seen
        self._run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(labels)))
        self._labels: list[int] = labels[starts].tolist()
        self._previous = most_recent_other(self._labels, self._silent)
        self._next = most_recent_other(reversed(self._labels), self._silent)[::-1]
        self._found: dict[tuple[int, int], Relations] = {}

    def at(self, frame: int) -> Relations:
        """The relations at one frame, the caller's own: what is done to them changes no other frame's."""
        run, oldest = int(self._run[frame]), int(self._run[max(0, frame + 1 - self._short)])
        if (run, oldest) not in self._found:
            found = {
                "current": (self._labels[run],),
                "previous": _known(self._previous[run]),
                "next": _known(self._next[run]),
                "past": self._past(run, oldest),
            }
            self._found[run, oldest] = _referred(found, self._space, self._goal)
        return dict(self._found[run, oldest])

    def _past(self, run: int, oldest: int) -> list[int]:
        others = self._labels[oldest:run]
        distinct = [
            label
            for label in dict.fromkeys(others if self._first_seen else reversed(others))
            if label != self._labels[run] and label not in self._silent
        ]
        return distinct[::-1] if self._first_seen else distinct


def segment_relations(labels: Sequence[int], space: LabelSpace, goal: LabelRef | None = None) -> list[Relations]:
    """The relations of each segment of one recording; `labels` are their classes in temporal order."""
    silent = unnamed(space)
    previous = most_recent_other(labels, silent)
    recent: dict[int, None] = {}  # distinct named labels so far, the most recent last
    relations = []
    for index, label in enumerate(labels):
        following = labels[index + 1] if index + 1 < len(labels) else NONE
        found = {
            "current": (label,),
            "previous": _known(previous[index]),
            "next": _known(following if following not in silent else NONE),
            "past": [other for other in reversed(recent) if other != label],
        }
        relations.append(_referred(found, space.name, goal))
        if label not in silent:
            recent.pop(label, None)
            recent[label] = None
    return relations


def _known(label: int) -> tuple[int, ...]:
    return () if label == NONE else (label,)


def _referred(found: dict[str, Sequence[int]], space: str, goal: LabelRef | None) -> Relations:
    relations: Relations = {
        relation: tuple(LabelRef(space, label) for label in labels) for relation, labels in found.items() if labels
    }
    if goal is not None:
        relations["goal"] = (goal,)
    return relations
