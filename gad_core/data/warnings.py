"""What is allowed and still likely a mistake: leaks between splits, repeated rows, labels that training never shows.

All of it is read from the samples of a corpus, so that every dataset gets it, those of plugins too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gad_core.contracts.components import Corpus, Features
from gad_core.contracts.values import LabelSpace, Sample
from gad_core.data.corpora import StreamCorpus
from gad_core.data.relations import unnamed
from gad_core.files.fields import likeness

UNEVEN = 10
"""From this ratio of the most to the least frequent class on, the classes are uneven."""
FEW = 5
"""Fewer examples of a class are few."""
SHOWN = 5
"""Examples that a warning lists."""
LISTED = 12
"""Up to so many classes are all listed, of more the extremes."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some frames of a recording that are asked about, and the class that is the answer."""

    recording: str
    asks: str
    label: int
    first: int
    stop: int


def stretches(corpus: Corpus, split: str) -> list[Stretch]:
    """What is asked in a split: clips as they are, streams in runs of one class."""
    if isinstance(corpus, StreamCorpus):
        return [
            Stretch(found.recording, "current", int(found.labels[first]), int(first), int(stop))
            for found in corpus.frame_labels(split)
            for first, stop in _runs(found.labels)
        ]
    return [stretch for sample in corpus.samples(split) for stretch in _asked(sample, whole=corpus.protocol == "clips")]


def _runs(labels: np.ndarray) -> Iterator[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(labels)]
    return ((first, stop) for first, stop in pairwise(edges) if stop > first)


def _asked(sample: Sample, *, whole: bool) -> Iterator[Stretch]:
    """The stretches of a sample: its clip, or where it is a window the frame of each query."""
    for query in sample.queries:
        truth, last = query.first(sample.asks), int(sample.clip.frames[query.at - 1])
        if truth is not None:
            first = int(sample.clip.frames[0]) if whole else last
            yield Stretch(sample.clip.recording, sample.asks, truth.index, first, last + 1)


@dataclass(frozen=True)
class Tally:
    """Examples and frames of every class that one relation is asked about in a split."""

    examples: Counter[int]
    frames: Counter[int]


def tallies(found: Iterable[Stretch]) -> dict[str, Tally]:
    """The tally of every asked relation."""
    counted: dict[str, Tally] = {}
    for stretch in found:
        tally = counted.setdefault(stretch.asks, Tally(Counter(), Counter()))
        tally.examples[stretch.label] += 1
        tally.frames[stretch.label] += stretch.stop - stretch.first
    return counted


def told(tally: Tally, space: LabelSpace, fps: float) -> str:
    """The classes of a tally with their examples and seconds, the most frequent first."""
    order = [label for label, _ in sorted(tally.examples.items(), key=lambda item: (-item[1], item[0]))]
    lines = [f"{space.labels[label]} {tally.examples[label]:,} ({tally.frames[label] / fps:,.4g} s)" for label in order]
    if len(lines) <= LISTED:
        return ", ".join(lines)
    return f"{len(lines)} of {len(space)}: {', '.join(lines[:SHOWN])}, …, {', '.join(lines[-SHOWN:])}"


def warnings(corpus: Corpus, found: Mapping[str, Sequence[Stretch]]) -> list[str]:
    """Everything that may be a mistake in a corpus; `found` are the stretches of its splits."""
    first = next(iter(corpus.prompts))
    rows = {split: [stretch for stretch in members if stretch.asks == first] for split, members in found.items()}
    spaces = {space.name: space for space in corpus.spaces.values()}
    return [
        *_shared_between_splits(rows, corpus.features.fps),
        *_repeated(rows, corpus.features.fps),
        *_same_features(rows, corpus.features),
        *(warning for asks in corpus.prompts for warning in _classes(asks, corpus, found)),
        *(warning for space in spaces.values() for warning in _alike(space)),
    ]


def _shared_between_splits(rows: Mapping[str, Sequence[Stretch]], fps: float) -> Iterator[str]:
    """What is trained on cannot measure."""
    trained = {stretch.recording for stretch in rows["train"]}
    spans = {_span(stretch) for stretch in rows["train"]}
    for split in rows:
        if split == "train":
            continue
        recordings = dict.fromkeys(stretch.recording for stretch in rows[split])
        shared = [name for name in recordings if name in trained]
        same = [stretch for stretch in rows[split] if _span(stretch) in spans]
        if same:
            yield f"{len(same)} of {len(rows[split])} rows of {split} are in train too: {_places(same, fps)}"
        if shared:
            yield f"{len(shared)} of {len(recordings)} recordings of {split} are in train too: {_listed(shared)}"


def _repeated(rows: Mapping[str, Sequence[Stretch]], fps: float) -> Iterator[str]:
    for split, members in rows.items():
        again = [stretch for stretch, count in Counter(members).items() if count > 1]
        if again:
            yield f"{len(again)} of {len(set(members))} rows of {split} are there more than once: {_places(again, fps)}"
        labels = defaultdict(set)
        for stretch in members:
            labels[_span(stretch)].add(stretch.label)
        several = [stretch for stretch in dict.fromkeys(members) if len(labels[_span(stretch)]) > 1]
        if several:
            rows_of = f"{len(several)} of {len(set(members))} rows of {split}"
            yield f"{rows_of} give the same frames different labels: {_places(several, fps)}"


def _same_features(rows: Mapping[str, Sequence[Stretch]], features: Features) -> Iterator[str]:
    """Recordings under two names; stores know the checksum of each, and what agrees in it is compared."""
    checksums = getattr(features, "checksums", {})
    named = {split: dict.fromkeys(stretch.recording for stretch in members) for split, members in rows.items()}
    trained = defaultdict(list)
    for name in named["train"]:
        if name in checksums:
            trained[features.lengths[name], checksums[name]].append(name)
    for split in named:
        pairs = []
        for name in named[split] if split != "train" else ():
            others = trained.get((features.lengths[name], checksums.get(name)), ())
            twin = next((other for other in others if other != name and _equal(features, name, other)), None)
            pairs += [f"{name} is {twin}"] if twin is not None else []
        if pairs:
            leaked = f"{len(pairs)} of {len(named[split])} recordings of {split}"
            yield f"{leaked} have the very features of one in train: {_listed(pairs)}"


def _equal(features: Features, one: str, other: str) -> bool:
    frames = range(features.lengths[one])
    return np.array_equal(features.read(one, frames), features.read(other, frames), equal_nan=True)


def _classes(asks: str, corpus: Corpus, found: Mapping[str, Sequence[Stretch]]) -> Iterator[str]:
    """What the counts of the classes say of one relation."""
    space, seconds = corpus.spaces[asks], corpus.protocol != "clips"
    counted = {split: tallies(members).get(asks) for split, members in found.items()}
    trained = counted["train"]
    if trained is None:
        return
    for split, tally in counted.items():
        if tally is None:
            continue
        unseen = {label: count for label, count in tally.examples.items() if label not in trained.examples}
        if unseen:
            listed = _listed([f"{space.labels[label]!r} ({count})" for label, count in unseen.items()])
            classes = f"{len(unseen)} of {len(tally.examples)} classes of `{asks}` in {split}"
            yield f"{classes} are never shown in training: {listed}"
    named = {label: count for label, count in trained.examples.items() if label not in unnamed(space)}
    few = [f"{space.labels[label]!r} ({count})" for label, count in sorted(named.items()) if count < FEW]
    if few:
        yield f"{len(few)} of {len(space)} classes of `{asks}` have fewer than {FEW} training examples: {_listed(few)}"
    sizes = {label: trained.frames[label] if seconds else count for label, count in named.items()}
    if sizes and max(sizes.values()) >= UNEVEN * min(sizes.values()):
        most, least = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
        yield (
            f"the classes of `{asks}` are uneven in training, {sizes[most] / sizes[least]:.3g} to 1 in "
            f"{'frames' if seconds else 'examples'}: {space.labels[most]!r} {sizes[most]:,}, "
            f"{space.labels[least]!r} {sizes[least]:,}"
        )


def _alike(space: LabelSpace) -> Iterator[str]:
    members = defaultdict(list)
    for label in space.labels:
        members[likeness(label)].append(label)
    groups = [" and ".join(map(repr, group)) for group in members.values() if len(group) > 1]
    if groups:
        yield f"classes of '{space.name}' that differ in case, blanks or punctuation only: {_listed(groups)}"


def _span(stretch: Stretch) -> tuple[str, int, int]:
    return stretch.recording, stretch.first, stretch.stop


def _places(found: Sequence[Stretch], fps: float) -> str:
    return _listed([f"{s.recording} {s.first / fps:.4g} to {s.stop / fps:.4g} s" for s in found])


def _listed(examples: Sequence[str]) -> str:
    more = f" and {len(examples) - SHOWN} more" if len(examples) > SHOWN else ""
    return ", ".join(examples[:SHOWN]) + more
