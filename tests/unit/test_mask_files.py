"""Masks of files: read as each paper's data set does, turned, grown, chosen by their hole, and the right way round."""

import numpy as np
import pytest
from PIL import Image

from retouche.data.mask_files import Reading, check_polarity, from_folder, parse_reading, read_mask
from retouche.data.mask_makers import mask_key, parse_masks
from retouche.errors import DataError, InputError
from retouche.masks import hole_ratio
from retouche.methods import find


def write(path, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for number, rows in enumerate((2, 6, 12)):
        grey = np.zeros((40, 40), np.uint8)
        grey[:rows, 5:30] = 255
        write(tmp_path / f"{number}.png", grey)
    return tmp_path


def test_words():
    reading = parse_reading("rotate=45, flip=none, dilate=2", Reading(above="zero"))
    assert reading == Reading("", 45.0, 2, "zero")
    assert parse_reading("ratio=0.1-0.25,invert=yes").ratio == (0.1, 0.25)
    for words, said in (
        ("turn=3", "know no"),
        ("flip=z", "does not fit"),
        ("ratio=0.5", "two fractions"),
        ("rotate=many", "does not fit"),
        ("dilate=-1", "0 to 500"),
    ):
        with pytest.raises(InputError, match=said):
            parse_reading(words)


def test_any_of_it_is_hole_for_structure_flow(tmp_path):
    """(mask > 0) of the bilinear resize, which PIL makes with the triangle's support: worked out here by its sums."""
    grey = np.zeros((64, 64), np.uint8)
    grey[10:13, 20:40] = 255
    grey[50, 50] = 3  # JPEG's dust is hole, too
    path = write(tmp_path / "m.png", grey)
    hole = read_mask(path, 16, 16, Reading(above="zero"))
    weights = np.zeros((16, 64))
    for i in range(16):
        for j in range(64):
            weights[i, j] = max(0.0, 1 - abs((j + 0.5) / 4 - (i + 0.5)))
    weights /= weights.sum(1, keepdims=True)
    rows = np.rint(grey.astype(float) @ weights.T)  # rounded after each axis, as bytes
    assert np.array_equal(hole, np.rint(weights @ rows) > 0)
    assert hole.sum() > read_mask(path, 16, 16, Reading()).sum()
    dust = read_mask(path, 64, 64, Reading(above="zero"))
    assert dust[50, 50] and np.array_equal(dust, grey > 0)


def test_presets_read_files_as_their_codes_do():
    read = {
        (name, preset): parse_reading(training.data.mask_files)
        for name in ("aot-gan", "sii-gan", "structure-flow", "deepfill-v2")
        for preset, training in find(name).recipes.items()
    }
    assert read["aot-gan", "aot"] == read["aot-gan", "mmagic"] == Reading(flip="x", rotate=45.0)
    assert read["sii-gan", "siigan-code"] == Reading(flip="x", rotate=45.0)
    assert read["structure-flow", "joint-celeba"] == Reading(flip="xy", above="zero")
    assert read["deepfill-v2", "places2"] == Reading()


def test_turned_one_way_by_up_to_45_degrees(tmp_path):
    """A bar across the middle: its direction in the result is between 0 and 45 degrees, anticlockwise as PIL turns."""
    grey = np.zeros((101, 101), np.uint8)
    grey[48:53, 10:91] = 255
    write(tmp_path / "bar.png", grey)
    angles = []
    for seed in range(60):
        hole = from_folder(np.random.default_rng(seed), 101, 101, str(tmp_path), parse_reading("flip=none,rotate=45"))
        y, x = (side - 50.0 for side in np.nonzero(hole))
        angles.append(np.degrees(0.5 * np.arctan2(-2 * (x * y).mean(), (x * x).mean() - (y * y).mean())))
        assert not hole[0].any() and not hole[:, 0].any()  # corners are known
    assert -1 < min(angles) < 5 and 40 < max(angles) < 46
    assert np.mean(angles) == pytest.approx(22.5, abs=5)


def test_grown_chosen_and_inverted(folder):
    plain = parse_masks(f"{folder}/(flip=none)")
    grown = parse_masks(f"{folder}/(flip=none, dilate=3)")
    sizes = {int(plain.draw(mask_key(0, i), 40, 40).hole.sum()) for i in range(20)}
    assert sizes == {2 * 25, 6 * 25, 12 * 25}
    assert all(int(grown.draw(mask_key(0, i), 40, 40).hole.sum()) > 5 * 25 for i in range(9))
    some = parse_masks(f"{folder}/(ratio=0.05-0.1)")
    assert {int(some.draw(mask_key(0, i), 40, 40).hole.sum()) for i in range(20)} == {150}
    with pytest.raises(DataError, match="40% to 50%"):
        parse_masks(f"{folder}/(ratio=0.4-0.5)").draw(0, 40, 40)
    other = parse_masks(f"{folder}/(invert=yes, ratio=0.8-0.87)")
    assert hole_ratio(other.draw(0, 40, 40).hole) == pytest.approx(1 - 12 * 25 / 1600)
    mixed = parse_masks(f"{folder}/(rotate=10):2,box(0.25):1", "flip=x")
    assert [one for _, one in mixed.folders] == [Reading("x", 10.0)] and mixed.weights == (2.0, 1.0)


def test_the_wrong_way_round_is_a_question(folder, tmp_path):
    assert check_polarity(str(folder), Reading()) == pytest.approx((2 + 6 + 12) * 25 / 1600 / 3)
    with pytest.raises(InputError, match=r"90% hole on average.*--invert-mask no if so, --invert-mask yes if they"):
        check_polarity(str(folder), Reading(invert=True))
