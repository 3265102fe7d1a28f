"""The plan of windows: every hole pixel is pasted exactly where a window sees enough around it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouche import masks
from retouche.inference import strategy
from retouche.inference.strategy import affordable_pixels, plan, thickness
from retouche.inference.windows import reflected
from retouche.methods.method import Scope

SCOPE = Scope(side=128, hole=64, context=1.0, pixel_bytes=1000)


def box_hole(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        hole[top:bottom, left:right] = True
    return hole


def test_a_picture_smaller_than_the_method_is_taken_whole() -> None:
    (region,) = plan(box_hole(80, 70, (20, 20, 40, 50)), SCOPE)
    assert region.strategy == "whole" and region.scale == 1
    assert region.windows[0].crop == (0, 0, 70, 80)


def test_a_small_hole_in_a_large_picture_is_cropped() -> None:
    (region,) = plan(box_hole(1000, 2000, (900, 500, 930, 520)), SCOPE)
    assert region.strategy == "crop"
    left, top, right, bottom = region.windows[0].crop
    assert left <= 900 - 16 and right >= 930 + 16 and top <= 500 - 16 and bottom >= 520 + 16
    assert max(right - left, bottom - top) <= SCOPE.side


def test_a_hole_thicker_than_the_method_fills_is_scaled() -> None:
    (region,) = plan(box_hole(1000, 1000, (200, 200, 700, 700)), SCOPE)
    assert region.strategy == "scale"
    crop = region.windows[0].crop
    assert 500 * region.scale <= SCOPE.hole and (crop[2] - crop[0]) * region.scale <= SCOPE.side + 1


def test_a_long_scratch_is_tiled_at_full_size() -> None:
    hole = box_hole(1000, 3000, (0, 500, 3000, 506))
    (region,) = plan(hole, SCOPE)
    assert region.strategy == "tile" and region.scale == 1
    assert len(region.windows) > 10


def test_far_holes_are_filled_apart_and_near_ones_together() -> None:
    apart = plan(box_hole(1000, 1000, (10, 10, 20, 20), (900, 900, 910, 910)), SCOPE)
    together = plan(box_hole(1000, 1000, (100, 100, 110, 110), (114, 100, 124, 110)), SCOPE)
    assert len(apart) == 2 and len(together) == 1


def test_a_window_fills_all_holes_it_shows() -> None:
    hole = box_hole(128, 128, (2, 2, 12, 12), (40, 40, 90, 90), (110, 20, 120, 128))
    (region,) = plan(hole, Scope(side=128, hole=64))
    assert region.strategy == "whole" and region.box == (2, 2, 120, 128)


def test_a_small_budget_shrinks_the_windows() -> None:
    hole = box_hole(2000, 2000, (500, 500, 560, 560))
    scope = Scope(side=1024, hole=512, context=2.0, pixel_bytes=1000)
    areas = []
    for memory in (1 << 30, 50 << 20, 8 << 20):
        (region,) = plan(hole, scope, memory)
        left, top, right, bottom = region.windows[0].crop
        areas.append((right - left) * (bottom - top) * region.scale**2)
        assert areas[-1] <= affordable_pixels(scope, memory) * 1.02
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1]


def test_attention_memory_grows_with_the_square() -> None:
    scope = Scope(pixel_bytes=100, square_bytes=1)
    pixels = affordable_pixels(scope, 1 << 30)
    assert 100 * pixels + pixels**2 == pytest.approx(1 << 30, rel=1e-3)


def test_a_centre_network_gets_a_square_around_each_hole() -> None:
    hole = box_hole(300, 300, (0, 0, 20, 30), (200, 180, 312, 240))
    first, second = plan(hole, Scope(centre=(128, 56)))
    assert first.scale == 1 and first.windows[0].crop == (-54, -49, 74, 79)
    assert second.strategy == "centre" and 100 * second.scale <= 56


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5),
    st.sampled_from([8, 40, 300]),
)
def test_every_hole_pixel_is_in_a_target_inside_its_crop(
    height: int, width: int, boxes: list[tuple[float, ...]], hole_size: int
) -> None:
    hole = np.zeros((height, width), bool)
    for a, b, c, d in boxes:
        x, y = int(a * (width - 1)), int(b * (height - 1))
        hole[y : y + 1 + int(c * height / 2), x : x + 1 + int(d * width / 2)] = True
    left = hole.copy()
    for region in plan(hole, Scope(side=64, hole=hole_size, pixel_bytes=1000)):
        assert 0 < region.scale <= 1
        for window in region.windows:
            crop, target = window.crop, window.target
            assert crop[0] <= target[0] < target[2] <= crop[2] and crop[1] <= target[1] < target[3] <= crop[3]
            assert crop[0] >= 0 and crop[1] >= 0 and crop[2] <= width and crop[3] <= height
            left[target[1] : target[3], target[0] : target[2]] = False
    assert not left.any()


def test_thickness_is_between_once_and_one_and_a_half() -> None:
    for size in (4, 21, 100):
        measured = thickness(np.ones((size, 5 * size), bool))
        assert size * 0.9 <= measured <= max(1.6 * size, 8)
    scratch = np.eye(500, dtype=bool) | np.eye(500, k=1, dtype=bool)
    assert thickness(scratch) <= 8


def test_mirroring_repeats_no_border() -> None:
    assert reflected(-3, 8, 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert reflected(-2, 3, 1).tolist() == [0] * 5


def test_tiles_overlap_by_no_more_than_a_method_sees() -> None:
    hole = np.zeros((900, 1300), bool)
    hole[::20, ::20] = True
    sees = Scope(side=1 << 20, hole=1 << 20, pixel_bytes=1000.0, reach=64)
    (region,) = plan(hole, sees, memory=160_000_000)
    (blind,) = plan(hole, replace(sees, reach=0), memory=160_000_000)
    assert region.strategy == blind.strategy == "tile" and len(region.windows) < len(blind.windows)
    covered = np.zeros_like(hole)
    for window in region.windows:
        crop, target = window.crop, window.target
        covered[target[1] : target[3], target[0] : target[2]] = True
        for side, end in ((0, 0), (1, 0), (2, 1300), (3, 900)):
            assert crop[side] == end or abs(crop[side] - target[side]) >= 64
    assert covered[hole].all()


def test_no_window_is_seen_larger_than_the_method_knows() -> None:
    """A hole whose shrunk window would be a pixel too large, for a network that knows one size."""
    scope = Scope(side=256, hole=128, context=math.inf)
    for extent in range(129, 400, 7):
        hole = np.zeros((900, 1000), bool)
        hole[300 : 300 + extent, 310 : 310 + extent] = True
        for region in plan(hole, scope):
            for window in region.windows:
                left, top, right, bottom = window.crop
                assert max(round((right - left) * region.scale), round((bottom - top) * region.scale)) <= scope.side


def test_thickness_asks_for_the_disc_whatever_decides_it_quickly() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        known = rng.random((40, 50)) < 0.01
        known[tuple(rng.integers(0, (40, 50)))] = True
        far = masks.distance(known, 100).max()
        for radius in (2, 3, 5, 7, 10, 14, 20, 28, 40):
            assert strategy._within(known, radius) == (far <= radius)
