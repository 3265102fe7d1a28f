"""Contact sheets: everything is on them, at its place, legible."""

import numpy as np

from retouche.inference.sheet import INK, MARK, Panel, contact_sheet, mark_hole, pixels_rgb
from retouche.pictures import open_picture


def flat(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_panels_keep_their_pixels_and_captions_take_ink() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    sheet = np.asarray(contact_sheet([Panel(flat(50, 200, colour), f"panel\n{colour}") for colour in colours]))
    for colour in colours:
        assert (sheet == colour).all(axis=2).sum() == 50 * 200
    assert (sheet == INK).all(axis=2).any()


def test_large_pictures_shrink_and_rows_fill_in_reading_order() -> None:
    panels = [Panel(flat(300, 300, (10 * i, 0, 0)), str(i)) for i in range(4)]
    sheet = np.asarray(contact_sheet(panels, longest=100, columns=4))
    assert sheet.shape[1] < 4 * 180 and sheet.shape[0] < 200
    square = contact_sheet(panels, longest=100)
    assert square.height > sheet.shape[0] and square.width < sheet.shape[1]


def test_long_captions_wrap_or_are_cut_inside_the_cell() -> None:
    long = "a-weight-file-with-a-name-that-is-very-much-longer-than-its-picture-is-wide.safetensors and words"
    sheet = np.asarray(contact_sheet([Panel(flat(20, 20, (255, 0, 0)), long)]))
    assert not (sheet[:, -6:] == INK).all(axis=2).any()


def test_the_hole_is_tinted_and_outlined_and_the_rest_kept() -> None:
    pixels, hole = flat(40, 40, (90, 90, 90)), np.zeros((40, 40), bool)
    hole[10:20, 10:20] = True
    marked = mark_hole(pixels, hole)
    assert (marked[hole] != 90).any(axis=1).all()
    assert (marked[9, 12] == MARK).all()
    assert (marked[:8] == 90).all() and (pixels == 90).all()


def test_any_picture_becomes_rgb() -> None:
    deep = np.full((300, 5, 3), 65535, np.uint16)
    assert (pixels_rgb(open_picture(deep)) == 255).all()
    assert pixels_rgb(open_picture(np.zeros((1, 1), np.uint8))).shape == (1, 1, 3)
