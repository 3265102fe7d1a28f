"""The hole is grown in the box around it: the same as over the whole picture, and nothing of the user's is changed."""

import numpy as np
import pytest

import retouche
from retouche.inference.growing import grown_hole
from retouche.masks import dilate, dilate_thick, feather_weight, open_mask


def scene(seed, with_fresh, with_unseen):
    """A hole of a few rectangles, a new border, and what is wholly transparent."""
    draw = np.random.default_rng(seed)
    height, width = (int(side) for side in draw.integers(2, 90, 2))
    hole = np.zeros((height, width), bool)
    for _ in range(draw.integers(0, 4)):
        top, left = draw.integers(0, height), draw.integers(0, width)
        hole[top : top + draw.integers(1, 30), left : left + draw.integers(1, 30)] = True
    fresh = unseen = None
    if with_fresh:
        fresh = np.zeros_like(hole)
        fresh[:, : width // 3] = True
    if with_unseen:
        unseen = draw.random(hole.shape) < draw.choice([0.1, 0.9, 1.0])
    return hole, fresh, unseen, int(draw.integers(0, 40)), int(draw.integers(0, 20)), bool(draw.integers(2))


@pytest.mark.parametrize(("with_fresh", "with_unseen"), [(False, False), (True, False), (False, True), (True, True)])
def test_growing_near_the_hole_is_growing_the_whole(with_fresh, with_unseen):
    compared = refused = 0
    for seed in range(60):
        hole, fresh, unseen, grow, soft, by_thickness = scene(seed, with_fresh, with_unseen)
        none = np.zeros_like(hole)
        new, hidden = (none if each is None else each for each in (fresh, unseen))
        wanted = hole | new
        if wanted.any() and (wanted | hidden).all():
            with pytest.raises(retouche.InputError, match="the mask covers"):
                grown_hole(hole, grow, soft, by_thickness, fresh, unseen)
            refused += 1
            continue
        found = grown_hole(hole, grow, soft, by_thickness, fresh, unseen)
        used = grow if hole.any() or not wanted.any() else 0
        grown = wanted
        if used and hole.any():
            grown = (dilate_thick if by_thickness else dilate)(hole, used) | new
            if (grown | hidden).all():
                grown, used = wanted, 0
                assert found.remarks
        weight = feather_weight(wanted, grown, min(soft, used))
        weight[grown & hidden] = 1
        assert np.array_equal(found.hole, grown) and np.array_equal(found.unknown, grown | hidden)
        assert np.array_equal(found.weight, weight)
        assert (found.pixels, found.grow, found.soft) == (grown.sum(), used, min(soft, used))
        compared += 1
    assert compared > 20 and (refused > 0 or not with_unseen)


def test_a_mask_of_booleans_is_taken_as_it_is_and_not_changed():
    given = np.zeros((40, 60), bool)
    given[10:20, 10:30] = True
    hole, remarks = open_mask(given, (40, 60))
    assert np.shares_memory(hole, given) and not hole.flags.writeable and not remarks
    before = given.copy()
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    retouche.inpaint(picture, given, model="harmonic")
    assert np.array_equal(given, before) and given.flags.writeable


def test_a_picture_is_filled_in_place_only_where_its_giver_wants_it_no_more():
    from retouche.pictures import open_picture

    given = np.zeros((40, 60), bool)
    given[10:20, 10:30] = True
    for expendable in (False, True):
        picture = open_picture(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
        before = picture.pixels.copy()
        picture.expendable = expendable
        filled = retouche.load("harmonic")(picture, given)
        assert np.shares_memory(filled.pixels, picture.pixels) == expendable
        assert np.array_equal(filled.pixels[~dilate(given, 2)], before[~dilate(given, 2)])
        assert np.array_equal(picture.pixels, before) != expendable
