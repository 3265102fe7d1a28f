"""What is known: pixels that nobody sees never feed a fill, and whatever is known is enough to fill from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import retouche
from retouche.inference.strategy import Window, in_turn, with_something_known
from retouche.inference.windows import read_window
from retouche.methods.guided import _overview
from retouche.pictures import open_picture

RANDOM = np.random.default_rng(11)
BUDGETS = [None, 1]
FILLS = ["mean", "harmonic", "exemplar", "default", "telea"]


def clear_beside_the_hole(channels: int = 4, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose right part is wholly transparent, and a hole across the border of it."""
    white = np.iinfo(dtype).max
    picture = RANDOM.integers(0, white, (64, 80, channels), dtype)
    picture[..., -1] = white
    picture[:, 50:, -1] = 0
    picture[:9, :9, -1] = 0
    hole = np.zeros((64, 80), bool)
    hole[20:44, 30:60] = True
    hole[3:5, 3:30] = True
    return picture, hole


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", FILLS)
def test_hidden_colours_feed_nothing(name: str, budget: int | None) -> None:
    picture, hole = clear_beside_the_hole()
    other = picture.copy()
    clear = picture[..., -1] == 0
    other[clear, :3] = 255 - other[clear, :3]
    model = retouche.load(name)
    filled, again = model(picture, hole, dilate=3, memory=budget), model(other, hole, dilate=3, memory=budget)
    changed = (filled != picture).any(axis=2)
    assert np.array_equal(filled[changed & ~clear], again[changed & ~clear])
    assert np.array_equal(filled[hole], again[hole])  # what was under the hole is gone, seen or not
    assert np.array_equal(filled[clear & ~changed], picture[clear & ~changed])
    assert np.array_equal(filled[..., 3], picture[..., 3])


def test_a_logo_on_clear_black_gets_no_black_wedge() -> None:
    logo = np.zeros((120, 120, 4), np.uint8)
    logo[20:100, 20:100] = (230, 120, 40, 255)
    hole = np.zeros((120, 120), bool)
    hole[30:70, 85:110] = True
    for name in ("mean", "harmonic", "exemplar", "default"):
        filled = retouche.load(name)(logo, hole)
        assert np.abs(filled[20:100, 20:100, :3].astype(int) - (230, 120, 40)).max() <= 6, name


@pytest.mark.parametrize(
    "given",
    [
        clear_beside_the_hole(4, np.uint16)[0],
        torch.from_numpy(clear_beside_the_hole()[0]).permute(2, 0, 1).float() / 255,
    ],
    ids=["uint16", "tensor"],
)
def test_alpha_counts_in_every_kind_of_picture(given: np.ndarray | torch.Tensor) -> None:
    opened = open_picture(given)
    hole = clear_beside_the_hole()[1]
    clear = opened.alpha() == 0
    other = opened.copy()
    other.pixels[clear, :3] = 0
    model = retouche.load("harmonic")
    one, two = model(opened, hole, dilate=0), model(other, hole, dilate=0)
    assert np.array_equal(one.pixels[~clear], two.pixels[~clear])


def test_a_transparent_structure_picture_has_no_hidden_colours() -> None:
    picture, hole = clear_beside_the_hole(3)[0], clear_beside_the_hole()[1]
    structure = clear_beside_the_hole()[0]
    other = structure.copy()
    other[structure[..., 3] == 0, :3] = 9
    model = retouche.create("structure-flow", "texture")
    assert np.array_equal(model(picture, hole, structure=structure), model(picture, hole, structure=other))


def test_nothing_visible_left_is_said() -> None:
    picture, hole = clear_beside_the_hole()
    hole |= picture[..., -1] > 0
    with pytest.raises(retouche.InputError, match=r"wholly transparent.*take the picture's alpha away"):
        retouche.load("mean")(picture, hole)
    hole[40, 40] = False  # a dilation would take that one, too
    filled, report = retouche.load("mean")(picture, hole, dilate=4, report=True)
    assert report.dilate == 0 and (filled[hole, :3] == picture[40, 40, :3]).all()


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", ["mean", "harmonic", "exemplar"])
def test_half_of_a_long_picture_is_filled_from_the_other(name: str, budget: int | None) -> None:
    picture = RANDOM.integers(0, 256, (12, 700, 3), np.uint8)
    hole = np.zeros((12, 700), bool)
    hole[:, :350] = True
    filled = retouche.load(name)(picture, hole, dilate=0, memory=budget)
    assert np.array_equal(filled[~hole], picture[~hole]) and (filled[hole] != picture[hole]).any(axis=1).mean() > 0.8


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", ["mean", "harmonic", "exemplar", "default", "aot-gan", "context-encoder"])
def test_one_known_pixel_is_enough(name: str, budget: int | None) -> None:
    make = retouche.create if name in {"aot-gan", "context-encoder"} else retouche.load
    for height, width, known in ((160, 120, (7, 110)), (1, 300, (0, 0))):
        picture = RANDOM.integers(0, 256, (height, width, 3), np.uint8)
        hole = np.ones((height, width), bool)
        hole[known] = False
        filled = make(name)(picture, hole, memory=budget)
        assert np.array_equal(filled[known], picture[known])
        if name in {"mean", "harmonic", "exemplar", "default"}:
            assert np.abs(filled.astype(int) - picture[known]).max() <= 1


def test_windows_come_in_the_order_of_what_they_know() -> None:
    """A row of tiles with the only known pixels at the far end is filled from there."""
    windows = [Window((max(0, x - 8), 0, x + 24, 10), (x, 0, x + 16, 10)) for x in range(0, 160, 16)]
    unknown = np.ones((10, 170), bool)
    unknown[:, 160:] = False
    order = []
    for window in in_turn(windows, unknown):
        assert not unknown[window.crop[1] : window.crop[3], window.crop[0] : window.crop[2]].all()
        order.append(window.target[0])
        unknown[:, window.target[0] : window.target[2]] = False
    assert order == list(range(144, -1, -16))


def crop_sides(window: Window) -> tuple[int, int]:
    left, top, right, bottom = window.crop
    return right - left, bottom - top


def test_a_blind_window_grows_and_sees_as_much_as_before() -> None:
    unknown = np.ones((400, 300), bool)
    unknown[399, 299] = False
    window, scale = with_something_known(Window((10, 10, 74, 74), (30, 30, 60, 60)), 1.0, unknown)
    left, top, right, bottom = window.crop
    assert not unknown[top:bottom, left:right].all() and window.target == (30, 30, 60, 60)
    assert (right - left) * (bottom - top) * scale**2 <= 64 * 64 + 1 and max(crop_sides(window)) * scale <= 64 + 1e-6
    beyond, scale = with_something_known(Window((-20, 10, 108, 138), (30, 60, 60, 90)), 0.5, unknown)
    left, top, right, bottom = beyond.crop
    assert right - left == bottom - top and (right - left) * scale == 64


def test_the_layout_sees_pixels_that_are_far_between() -> None:
    hole = torch.ones(300, 300, dtype=torch.bool)
    hole[::9, ::9] = False
    image = torch.tensor([0.9, -0.5, -0.8]).view(1, 3, 1, 1).expand(1, 3, 300, 300).masked_fill(hole, 0)
    small, mask, _ = _overview(image, hole, None)
    known = mask[0, 0] == 0
    assert known.any()
    assert torch.allclose(small[0, :, known], torch.tensor([[0.9], [-0.5], [-0.8]]), atol=1e-5)


def test_shrinking_keeps_a_lone_known_pixel() -> None:
    picture = RANDOM.integers(0, 256, (500, 700, 3), np.uint8)
    unknown = np.ones((500, 700), bool)
    unknown[321, 123] = False
    image, mask = read_window(open_picture(picture), unknown, (0, 0, 700, 500), 0.03)
    known = mask[0, 0] == 0
    assert 1 <= int(known.sum()) <= 4
    wanted = torch.from_numpy(picture[321, 123].astype(np.float32)) / 127.5 - 1
    torch.testing.assert_close(image[0, :, known], wanted[:, None].expand(3, int(known.sum())), atol=1e-3, rtol=0)
