"""Windows see no future and ask every frame exactly once; relations agree with a slow re-statement."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gad_core.contracts.values import LabelRef, LabelSpace
from gad_core.data.relations import StreamRelations, segment_relations
from gad_core.data.windows import Windows, blocks, every_end, phase, thinned, window

LENGTHS = st.integers(1, 200)
WINDOWS = st.builds(
    Windows,
    long=st.integers(0, 60),
    short=st.integers(1, 40),
    stride=st.integers(1, 40),
    protocol=st.sampled_from(["window", "dense"]),
    queries=st.sampled_from(["last", "dense"]),
)


def asked(plan: tuple[np.ndarray, np.ndarray]) -> list[int]:
    return [frame for end, count in zip(*plan, strict=True) for frame in range(end + 1 - count, end + 1)]


@given(end=st.integers(0, 300), long=st.integers(0, 200), short=st.integers(1, 60))
def test_a_window_ends_at_its_frame_and_is_as_long_as_there_are_frames(end: int, long: int, short: int) -> None:
    frames = window(end, long, short)
    assert frames[-1] == end
    assert len(frames) == min(end + 1, long + short)
    assert frames[0] >= 0


@given(windows=WINDOWS, length=LENGTHS)
def test_scoring_asks_every_frame_once_and_shows_it(windows: Windows, length: int) -> None:
    ends, counts = windows.evaluation(length)
    assert asked((ends, counts)) == list(range(length))
    for end, count in zip(ends, counts, strict=True):
        frames = windows.frames(int(end))
        assert frames[-1] == end < length
        assert count <= len(frames)


@given(length=LENGTHS, long=st.integers(0, 60), short=st.integers(1, 40))
def test_a_dense_query_sees_a_part_of_its_window_that_holds_all_older_frames(
    length: int, long: int, short: int
) -> None:
    for end, count in zip(*blocks(length, short), strict=True):
        trunk = window(int(end), long, short)
        for frame in range(end + 1 - count, end + 1):
            seen, alone = range(trunk.start, frame + 1), window(frame, long, short)
            assert set(seen) <= set(alone)
            assert len(seen) >= min(frame + 1, long + 1)
        assert trunk == window(int(end), long, short)


@given(windows=WINDOWS, length=LENGTHS, seed=st.integers(0, 5), epoch=st.integers(0, 5), name=st.text(max_size=5))
def test_training_windows_are_a_function_of_seed_epoch_and_recording(
    windows: Windows, length: int, seed: int, epoch: int, name: str
) -> None:
    ends, counts = windows.training(length, seed=seed, epoch=epoch, recording=name)
    again = windows.training(length, seed=seed, epoch=epoch, recording=name)
    assert np.array_equal(ends, again[0])
    assert np.array_equal(counts, again[1])
    assert 0 <= ends[0] < windows.stride
    assert ends[-1] < length
    if windows.queries == "dense":
        assert asked((ends, counts)) == list(range(length))
    else:
        assert np.all(np.diff(ends) == windows.stride)
        assert np.all(counts == 1)


def test_the_phase_changes_with_epoch_seed_and_recording_and_covers_the_stride() -> None:
    draws = {phase(1000, 32, seed=0, epoch=epoch, recording="a") for epoch in range(400)}
    assert draws == set(range(32))
    assert {phase(3, 32, seed=0, epoch=epoch, recording="a") for epoch in range(60)} == {0, 1, 2}
    other = [phase(1000, 32, seed=1, epoch=epoch, recording="a") for epoch in range(20)]
    third = [phase(1000, 32, seed=0, epoch=epoch, recording="b") for epoch in range(20)]
    assert other != third
    assert other != [phase(1000, 32, seed=0, epoch=epoch, recording="a") for epoch in range(20)]


def test_the_phase_is_the_same_on_every_machine() -> None:
    drawn = [phase(1000, 32, seed=3, epoch=epoch, recording="video_1") for epoch in range(4)]
    assert drawn == [13, 12, 5, 28]


def test_a_training_window_may_end_at_the_last_frame() -> None:
    windows = Windows(8, 4, 4, "window", "last")
    last = {int(windows.training(21, seed=0, epoch=epoch, recording="a")[0][-1]) for epoch in range(40)}
    assert 20 in last


def test_no_frames_no_windows() -> None:
    assert asked(every_end(0)) == asked(blocks(0, 4)) == []


@given(start=st.integers(0, 50), length=st.integers(1, 100), most=st.integers(1, 60))
def test_thinning_is_even_and_keeps_both_ends(start: int, length: int, most: int) -> None:
    frames = range(start, start + length)
    for kept in (list(thinned(frames, most)), list(thinned(frames, most, truncated=True))):
        looks_even(frames, most, kept)


def looks_even(frames: range, most: int, kept: list[int]) -> None:
    length = len(frames)
    assert len(kept) == min(length, most)
    assert set(kept) <= set(frames)
    steps = np.diff(kept)
    assert np.all(steps >= 1)
    if most > 1:
        assert kept[0] == frames[0]
        assert kept[-1] == frames[-1]
        assert not len(steps) or steps.max() - steps.min() <= 1


def test_thinning_rounds_and_the_papers_code_truncates() -> None:
    assert list(thinned(range(10, 20), 4)) == [10, 13, 16, 19]
    assert list(thinned(range(10, 21), 4)) == [10, 13, 17, 20]
    assert list(thinned(range(10, 21), 4, truncated=True)) == [10, 13, 16, 20]


SPACE = LabelSpace("action", ("background", "a", "b", "c", "d", "vague"), background=0, ignored=(5,))
LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=40)
GOAL = LabelRef("goal", 1)


def slow(labels: list[int], frame: int, short: int) -> dict[str, tuple[int, ...]]:
    """The definition, frame by frame."""
    now = labels[frame]
    before = [label for label in reversed(labels[:frame]) if label not in (0, 5, now)]
    after = [label for label in labels[frame + 1 :] if label not in (0, 5, now)]
    recent = [label for label in reversed(labels[max(0, frame + 1 - short) : frame]) if label not in (0, 5, now)]
    return {
        "current": (now,),
        "previous": tuple(before[:1]),
        "next": tuple(after[:1]),
        "past": tuple(dict.fromkeys(recent)),
    }


@given(labels=LABELS, short=st.integers(1, 12))
@settings(max_examples=300)
def test_relations_of_frames_agree_with_the_definition(labels: list[int], short: int) -> None:
    relations = StreamRelations(np.array(labels), SPACE, short, GOAL)
    for frame in range(len(labels)):
        found = {name: tuple(ref.index for ref in refs) for name, refs in relations.at(frame).items()}
        assert found.pop("goal") == (1,)
        assert found == {name: refs for name, refs in slow(labels, frame, short).items() if refs}


@given(labels=LABELS, short=st.integers(1, 12), calls=st.lists(st.integers(0, 10**6), max_size=20))
def test_what_holds_at_a_frame_depends_on_no_other_call(labels: list[int], short: int, calls: list[int]) -> None:
    asked = StreamRelations(np.array(labels), SPACE, short, GOAL)
    for call in calls:
        found = asked.at(call % len(labels))
        found["current"] = ()
        found.clear()
    for frame in range(len(labels)):
        assert asked.at(frame) == StreamRelations(np.array(labels), SPACE, short, GOAL).at(frame)


@given(labels=LABELS, short=st.integers(1, 12))
def test_past_by_first_sight_is_the_authors_order(labels: list[int], short: int) -> None:
    relations = StreamRelations(np.array(labels), SPACE, short, first_seen=True)
    for frame in range(len(labels)):
        seen = [label for label in labels[max(0, frame + 1 - short) : frame] if label not in (0, 5, labels[frame])]
        past = tuple(ref.index for ref in relations.at(frame).get("past", ()))
        assert past == tuple(dict.fromkeys(seen))[::-1]


@given(labels=LABELS)
def test_relations_of_segments_agree_with_the_definition(labels: list[int]) -> None:
    for place, found in enumerate(segment_relations(labels, SPACE, GOAL)):
        expected = slow(labels, place, len(labels))
        following = labels[place + 1 : place + 2]
        expected["next"] = tuple(label for label in following if label not in (0, 5))
        assert found.pop("goal") == (GOAL,)
        assert {name: tuple(ref.index for ref in refs) for name, refs in found.items()} == {
            name: refs for name, refs in expected.items() if refs
        }
