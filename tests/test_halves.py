"""Rules of a half: what is just half counts as the rule says, not as rounding happens to fall."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from gad_oad import rasterise
from gad_segments import corpus as segments
from test_metrics import scored

from gad_core.files.matching import likely_pattern
from gad_core.metrics.segments import segments_of

HALF = Fraction(1, 2)


@pytest.mark.parametrize("length", range(1, 7))
def test_a_segment_lies_mostly_where_at_least_half_of_it_lies(length: int) -> None:
    """Behind two frames of another segment, for every mask of its own."""
    found = segments_of(np.array([0, 0, *[1] * length]))
    for mask in product([False, True], repeat=length):
        around, own = found.mostly(np.array([True, False, *mask]))
        assert around and own == (Fraction(sum(mask), length) >= HALF), mask


@pytest.mark.parametrize(("length", "vague"), [(n, k) for n in range(1, 7) for k in range(n + 1)])
def test_a_prediction_is_spared_that_lies_on_ambiguous_frames_for_at_least_half(length: int, vague: int) -> None:
    truth = [1, 1, 0, *[3] * vague, *[0] * (length - vague)]
    predicted = [1, 1, 0, *[2] * length]
    table = scored(truth, predicted, ignored=(0, 3))
    spared = Fraction(vague, length) >= HALF
    assert table["segment_precision/0.50/micro"] == table["point_precision/start/1s"] == (100 if spared else 50)


@pytest.mark.parametrize(("names", "explained"), [(n, k) for n in range(1, 7) for k in range(n + 1)])
def test_a_rule_is_told_that_explains_at_least_half_of_the_names(names: int, explained: int) -> None:
    lacking = [f"a{number}b" if number < explained else f"x{number}y" for number in range(names)]
    told = likely_pattern(lacking, {f"v_a{number}b" for number in range(names)})
    assert (told is not None) == (explained > 0 and Fraction(explained, names) >= HALF)


QUARTERS = [Fraction(number, 4) for number in range(13)]
CENTRES = [number + HALF for number in range(4)]


@pytest.mark.parametrize("fps", [1, 2, 5])
@pytest.mark.parametrize(("start", "stop"), [(a, b) for a in QUARTERS for b in QUARTERS if a < b])
def test_a_centre_on_a_bound_belongs_where_the_rule_says(start: Fraction, stop: Fraction, fps: int) -> None:
    """`centre`: the start holds it, the end does not; `nearest`, which rounds bounds up, the other way round."""
    times = float(start / fps), float(stop / fps)
    held = [number for number, centre in enumerate(CENTRES) if start <= centre < stop]
    near = [number for number, centre in enumerate(CENTRES) if start < centre <= stop]
    middle = [int((start + stop) / 2)]
    assert list(rasterise.frames_between(*times, fps, "centre")) == (held or middle)
    assert list(rasterise.frames_between(*times, fps, "nearest")) == (near or middle)
    assert list(segments.frames_between(*times, fps)) == (held or middle)
