"""What must hold at the border for every picture and mask: known values survive, sizes come back, holes stay holes."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from retouche.image import composite, pad_to, to_uint8
from retouche.masks import components, dilate, distance, feather_weight, open_mask
from retouche.pictures import open_picture, png, write_picture

SIDES = st.integers(1, 24)


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(SIDES), draw(SIDES), draw(st.sampled_from([1, 3, 4])))
    return draw(arrays.arrays(draw(st.sampled_from([np.uint8, np.uint16])), shape))


MASKS = arrays.arrays(bool, st.tuples(SIDES, SIDES), elements=st.booleans(), fill=st.just(False))
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(pictures(), SEEDS)
def test_paste_keeps_every_bit_where_the_weight_is_nought(array, seed):
    generator = torch.Generator().manual_seed(seed)
    picture = open_picture(array)
    height, width = array.shape[:2]
    left, top = seed % width, seed % height
    box = (left, top, width, height)
    size = (height - top, width - left)
    weight = torch.rand(1, 1, *size, generator=generator) * (torch.rand(1, 1, *size, generator=generator) > 0.5)
    rgb = torch.randn(1, 3, *size, generator=generator)
    picture.paste(rgb, box, weight)
    changed = np.zeros((height, width), bool)
    changed[top:, left:] = weight[0, 0].numpy() > 0
    assert np.array_equal(picture.pixels[~changed], array[~changed])
    if array.shape[2] == 4:
        assert np.array_equal(picture.alpha(), array[..., 3])
    replaced = np.zeros((height, width), bool)
    replaced[top:, left:] = True
    picture.paste(rgb, box, torch.ones_like(weight))
    if array.shape[2] >= 3 and array.dtype == np.uint8:
        assert np.array_equal(picture.pixels[top:, left:, :3], to_uint8(rgb))


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 32), st.integers(1, 48), st.sampled_from(["reflect", "replicate", "zeros"]), SEEDS)
def test_pad_then_crop_is_identity(height, width, multiple, smallest, mode, seed):
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    padded, (left, top, right, bottom) = pad_to(image, multiple, smallest, mode)
    assert torch.equal(padded[..., top:bottom, left:right], image)
    for side, new in zip((height, width), padded.shape[-2:], strict=True):
        assert new % multiple == 0 and new >= max(side, smallest) and new < max(side, smallest) + multiple


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_mask_in_is_hole_out(mask):
    forms = [
        mask.astype(np.uint8) * 255,
        mask.astype(np.uint16) * 65535,
        mask.astype(np.float64),
        torch.from_numpy(mask),
        torch.from_numpy(mask.astype(np.float32))[None, None],
        mask,
    ]
    for form in forms:
        assert np.array_equal(open_mask(form, mask.shape)[0], mask)
        assert np.array_equal(open_mask(form, mask.shape, invert=True)[0], ~mask)


@settings(max_examples=60, deadline=None)
@given(MASKS, st.integers(0, 9), st.integers(0, 14))
def test_feather_stays_inside_the_dilated_mask(mask, grown, pixels):
    dilated = dilate(mask, grown)
    weight = feather_weight(mask, dilated, pixels)
    assert weight.dtype == np.float32
    assert (weight[mask] == 1).all() and (weight[~dilated] == 0).all()
    assert (weight[dilated] > 0).all() and weight.max(initial=0) <= 1
    away = distance(mask, max(grown, 1))
    order = np.argsort(away[dilated])
    assert (np.diff(weight[dilated][order]) <= 1e-6).all()  # farther away never weighs more


@settings(max_examples=60, deadline=None)
@given(MASKS, st.integers(0, 6))
def test_components_cover_the_hole(mask, gap):
    boxes = components(mask, gap)
    covered = np.zeros_like(mask)
    for left, top, right, bottom in boxes:
        covered[top:bottom, left:right] = True
        inside = mask[top:bottom, left:right]
        for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
            assert edge.any()  # tight
    assert (covered | ~mask).all()


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, SEEDS)
def test_composite_keeps_known_bits(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    image, prediction = torch.randn(2, 2, 3, height, width, generator=generator)
    mask = (torch.rand(2, 1, height, width, generator=generator) > 0.5).float()
    filled = composite(image, prediction, mask)
    hole = mask.bool().expand_as(image)
    assert torch.equal(filled[~hole], image[~hole]) and torch.equal(filled[hole], prediction[hole])


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint16, st.tuples(SIDES, SIDES, st.sampled_from([1, 3, 4]))))
def test_sixteen_bit_png_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_picture(open_picture(array), path)
    assert path.read_bytes().startswith(png.SIGNATURE)
    assert np.array_equal(open_picture(path).pixels, array)
