"""A hole through a film: the fill moves with its surroundings, stands still with them, and begins anew after a cut."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from retouche.apps.video.steady import Steady

H, W = 96, 128
HOLE = np.zeros((H, W), bool)
HOLE[40:60, 50:85] = True
RING = np.zeros((H, W), bool)
RING[30:70, 40:95] = True
RING &= ~HOLE


def ground(seed: int) -> Image.Image:
    """Soft random colours, larger than a frame."""
    small = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), np.uint8)
    return Image.fromarray(small).resize((360, 270), Image.Resampling.BICUBIC)


def film(kind: str, count: int = 24) -> Iterator[np.ndarray]:
    for number in range(count):
        x, y, zoom = 60.0, 50.0, 1.0
        if kind == "pan":
            x, y = 60 + 1.3 * number, 50 + 0.4 * number
        elif kind == "zoom":
            zoom = 1 + 0.004 * number
        elif kind == "shake":
            x, y = 60 + 4 * np.sin(number), 50 + 3 * np.cos(1.7 * number)
        seed = 1 if kind == "cut" and number >= count // 2 else 0
        frame = ground(seed).resize((W, H), Image.Resampling.BICUBIC, box=(x, y, x + W / zoom, y + H / zoom))
        light = 1 - 0.2 * number / count if kind == "dusk" else 1.0
        yield (np.asarray(frame) * light).astype(np.uint8)


def mean(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    filled = picture.copy()
    filled[hole] = picture[~hole].mean(axis=0)
    return filled


def filled(kind: str) -> tuple[Steady, list[np.ndarray], list[np.ndarray]]:
    """The film with a mark drawn and taken away, and as it was."""
    steady, made, true = Steady(HOLE, mean), [], []
    for frame in film(kind):
        marked = frame.copy()
        marked[HOLE] = (250, 240, 10)
        result = marked.copy()
        result[steady.at] = steady.fill(marked)
        np.testing.assert_array_equal(result[~HOLE], frame[~HOLE])
        made.append(result.astype(int))
        true.append(frame.astype(int))
    return steady, made, true


def changes(frames: list[np.ndarray], at: np.ndarray) -> np.ndarray:
    return np.array([np.abs(after[at] - before[at]).mean() for before, after in itertools.pairwise(frames)])


@pytest.mark.parametrize("kind", ["still", "pan", "zoom", "shake", "dusk"])
def test_no_flicker_beyond_that_of_the_surroundings(kind: str) -> None:
    steady, made, true = filled(kind)
    inside, around = changes(made, HOLE), changes(true, RING)
    assert steady.invented == 1
    assert inside.mean() <= 1.2 * around.mean() + 0.3
    assert inside.max() <= 1.6 * around.max() + 0.5


def test_what_stands_still_is_the_same_to_the_bit() -> None:
    _, made, _ = filled("still")
    assert all((frame == made[0]).all() for frame in made)


def test_what_has_passed_the_surroundings_is_known() -> None:
    """The ground moves through the hole: in the end what is shown there is the film's own."""
    _, made, true = filled("pan")
    first, last = (np.abs(made[number][HOLE] - true[number][HOLE]).mean() for number in (0, -1))
    assert last < first / 2


def test_after_a_cut_it_is_filled_anew() -> None:
    assert filled("cut")[0].invented == 2


def test_a_hole_at_the_border_gets_what_comes_in_filled() -> None:
    hole = np.zeros((H, W), bool)
    hole[40:, 100:] = True
    steady = Steady(hole, mean)
    for frame in film("pan"):
        window = steady.fill(frame)
        assert window[hole[steady.at]].std() < 120
    assert steady.invented > 1


def test_it_goes_on_from_a_state() -> None:
    frames = list(film("pan", 12))
    whole = Steady(HOLE, mean)
    windows = [whole.fill(frame) for frame in frames]
    first = Steady(HOLE, mean)
    for frame in frames[:5]:
        first.fill(frame)
    second = Steady(HOLE, mean)
    second.restore(first.state())
    for number, frame in enumerate(frames[5:], 5):
        np.testing.assert_array_equal(second.fill(frame), windows[number])
    assert second.invented == whole.invented


def test_sixteen_bit_frames() -> None:
    steady = Steady(HOLE, mean)
    for frame in film("pan", 3):
        window = steady.fill(frame.astype(np.uint16) * 257)
        assert window.dtype == np.uint16 and window.max() > 255
