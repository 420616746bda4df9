"""Seconds to frames: the rules by known times, and what floating point makes of none of them."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gad_core.plugin import Rounding, frames_between, in_frames


@pytest.mark.parametrize(
    ("rounding", "frames"),
    [("centre", range(1, 4)), ("overlap", range(0, 5)), ("floor", range(0, 4)), ("nearest", range(1, 4))],
)
def test_the_rules_of_rounding_by_hand(rounding: Rounding, frames: range) -> None:
    """0.2 s to 1.1 s at 4 fps: frames 0.8 to 4.4."""
    assert frames_between(0.2, 1.1, 4.0, rounding) == frames


def test_halves_belong_to_the_later_frame() -> None:
    assert frames_between(0.125, 0.625, 4.0) == range(0, 2)  # centres 0.5 in, 2.5 out
    assert frames_between(0.7, 1.0, 5.0) == range(3, 5)  # 3.5 in, whatever floating point makes of 0.7 × 5
    assert frames_between(0.125, 0.625, 4.0, "nearest") == range(1, 3)


@given(
    st.floats(0, 1e4), st.floats(0, 50), st.floats(0.5, 60), st.sampled_from(["centre", "overlap", "floor", "nearest"])
)
def test_an_action_has_a_frame_and_lies_within_its_overlap(
    start: float, lasts: float, fps: float, rounding: Rounding
) -> None:
    frames, widest = (
        frames_between(start, start + lasts, fps, rounding),
        frames_between(start, start + lasts, fps, "overlap"),
    )
    assert len(frames) >= 1
    assert frames.start >= widest.start - 1 and frames.stop <= widest.stop + 1


@given(start=st.floats(0, 100), duration=st.floats(0.001, 50), fps=st.sampled_from([1, 4, 5, 15, 25, 29.97, 30, 60]))
def test_a_segment_holds_the_frames_whose_centre_it_holds(start: float, duration: float, fps: float) -> None:
    end = start + duration
    frames = frames_between(start, end, fps)
    assert len(frames) >= 1
    inside = [frame for frame in range(int((end + 2) * fps) + 2) if start <= (frame + 0.5) / fps < end]
    if inside and abs((start * fps) % 1 - 0.5) > 1e-3 and abs((end * fps) % 1 - 0.5) > 1e-3:
        assert list(frames) == inside


@given(
    cuts=st.lists(st.integers(0, 10_000), min_size=2, max_size=9, unique=True).map(sorted), fps=st.sampled_from([5, 30])
)
def test_times_on_the_grid_of_frames_come_back(cuts: list[int], fps: int) -> None:
    for first, stop in itertools.pairwise(cuts):
        assert frames_between(first / fps, stop / fps, fps) == range(first, stop)


def test_half_frames_are_exact_whatever_floating_point_makes_of_them() -> None:
    for fps in (15, 29.97, 30):
        for frame in range(3000):
            assert frames_between((frame + 0.5) / fps, (frame + 5.5) / fps, fps) == range(frame, frame + 5)


@given(frame=st.integers(0, 10_000), fps=st.sampled_from([1, 5, 7.5, 15, 23.976, 25, 29.97, 30, 59.94]))
def test_a_time_on_the_grid_is_a_whole_number_of_frames(frame: int, fps: float) -> None:
    found = in_frames(frame / fps, fps)
    assert math.floor(found) == math.ceil(found) == frame


def test_an_action_between_two_centres_has_the_frame_it_lies_in() -> None:
    """0.58 s to 0.60 s at 10 fps is 5.8 to 6.0: no centre inside, its middle in frame 5."""
    assert frames_between(0.58, 0.60, 10.0) == range(5, 6)
    assert frames_between(0.6, 0.6, 10.0) == range(6, 7)
