"""Holes drawn at random: seeded, of any size, as their sources say."""

import numpy as np
import pytest
from PIL import Image

from retouche.data.mask_makers import MAKERS, box, histogram, local_box, mask_key, parse_masks, strokes
from retouche.errors import DataError, InputError
from retouche.masks import hole_ratio


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [(64, 64), (256, 256), (48, 96), (7, 5)])
def test_drawn_for_any_size(name, size):
    masks = parse_masks(name)
    for key in range(6):
        hole = masks.draw(key, *size).hole
        assert hole.shape == size and hole.dtype == np.bool_
        assert 0 < hole_ratio(hole) < 1
        assert np.array_equal(hole, masks.draw(key, *size).hole)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "centre"])
def test_each_key_has_its_own(name):
    masks = parse_masks(name)
    assert len({masks.draw(mask_key(0, i), 64, 64).hole.tobytes() for i in range(20)}) > 15
    assert any(
        not np.array_equal(masks.draw(mask_key(0, i), 64, 64).hole, masks.draw(mask_key(1, i), 64, 64).hole)
        for i in range(3)
    )


@pytest.mark.parametrize("name", ["box", "strokes", "irregular", "mmagic", "wide", "narrow", "objects"])
def test_scales_with_the_size(name):
    """The share of hole is the same at 64 and at 256."""
    masks = parse_masks(name)
    means = [
        np.mean([hole_ratio(masks.draw(mask_key(0, i), side, side).hole) for i in range(150)]) for side in (64, 256)
    ]
    assert means[0] == pytest.approx(means[1], abs=0.05)


def test_box_of_deepfill():
    """128 of 256, wholly inside, then 0..16 off two opposite sides alike: 96 to 128 a side."""
    sides, corners = set(), set()
    for seed in range(300):
        hole, local = box(np.random.default_rng(seed), 256, 256)
        left, top, right, bottom = local
        assert (right - left, bottom - top) == (128, 128)
        assert 0 <= left < 128 and 0 <= top < 128
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert rows[0] - top == bottom - 1 - rows[-1] and columns[0] - left == right - 1 - columns[-1]
        assert hole.sum() == len(rows) * len(columns)
        sides |= {len(rows), len(columns)}
        corners.add((left, top))
    assert min(sides) == 96 and max(sides) == 128
    assert len(corners) > 250
    assert box(np.random.default_rng(0), 64, 64)[1][2] - box(np.random.default_rng(0), 64, 64)[1][0] == 32


def test_strokes_of_deepfill():
    """One to three strokes 12 to 39 pixels wide: what little is possible and what much is."""
    ratios = [hole_ratio(strokes(np.random.default_rng(seed), 256, 256).hole) for seed in range(200)]
    assert 0.01 < min(ratios) < 0.08
    assert 0.1 < np.mean(ratios) < 0.3
    assert max(ratios) < 0.65


def test_mmagic_keeps_its_limits():
    masks = parse_masks("mmagic")
    ratios = [hole_ratio(masks.draw(i, 256, 256).hole) for i in range(60)]
    assert min(ratios) >= 0.15 and max(ratios) <= 0.65


def test_irregular_covers_its_range_evenly():
    masks = parse_masks("irregular")
    ratios = [hole_ratio(masks.draw(i, 128, 128).hole) for i in range(300)]
    counts = np.histogram(ratios, bins=6, range=(0, 0.6))[0]
    assert counts.min() > 25 and max(ratios) < 0.7
    narrow = parse_masks("irregular(0.2,0.3)")
    assert all(0.2 <= hole_ratio(narrow.draw(i, 128, 128).hole) < 0.36 for i in range(30))


def test_centre_in_the_middle():
    hole, local = parse_masks("centre(0.4375)").draw(0, 128, 128)
    assert local == (36, 36, 92, 92) and hole[36:92, 36:92].all() and hole.sum() == 56 * 56


def test_mixtures_and_unions():
    mixed = parse_masks("centre(0.25):3, centre(0.5):1")
    sums = [int(mixed.draw(mask_key(0, i), 32, 32).hole.sum()) for i in range(400)]
    assert set(sums) == {64, 256}
    assert sums.count(64) / 400 == pytest.approx(0.75, abs=0.07)
    united = parse_masks("strokes+centre")
    hole, local = united.draw(3, 64, 64)
    assert hole[16:48, 16:48].all() and hole.sum() > 32 * 32 and local is None


def test_masks_of_a_folder(tmp_path):
    for number, column in enumerate((3, 9)):
        hole = np.zeros((20, 20), np.uint8)
        hole[2:5, column] = 255
        Image.fromarray(hole).save(tmp_path / f"{number}.png")
    masks = parse_masks(f"{tmp_path}:1")
    holes = {masks.draw(i, 20, 20).hole.tobytes() for i in range(40)}
    assert len(holes) == 8  # two files, mirrored and turned upside down
    assert masks.draw(0, 40, 40).hole.sum() == 12
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="holds no mask picture"):
        parse_masks(str(tmp_path / "sub"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "name none"),
        ("wid:2", 'no maker or folder "wid"; known: box'),
        ("wide:0", "must be above 0"),
        ("box(2)", "box takes 1 number between 0 and 1"),
        ("wide(0.5)", "wide takes no number"),
        ("irregular(0.5)", "irregular takes 2 numbers"),
        ("irregular(0.5,0.1)", "the smaller first"),
        ("irregular(nan,0.5)", "irregular takes 2 numbers"),
    ],
)
def test_words_without_meaning(text, words):
    with pytest.raises(InputError) as caught:
        parse_masks(text)
    assert words in str(caught.value)


def test_local_box_stays_inside():
    hole = np.zeros((64, 64), np.bool_)
    hole[0:4, 60:64] = True
    assert local_box(hole, None, (32, 32)) == (32, 0, 64, 32)
    hole[0:10, 20:30] = True
    hole[:, 30:] = False
    assert local_box(hole, None, (16, 16)) == (17, 0, 33, 16)
    assert local_box(hole, (1, 2, 17, 18), (16, 16)) == (1, 2, 17, 18)  # the maker's own
    assert local_box(hole, (1, 2, 3, 4), (16, 16)) == (17, 0, 33, 16)  # of another size


def test_never_all_hole():
    """A box of nine tenths with strokes may cover everything: something always stays known."""
    masks = parse_masks("box(0.99)+wide+wide+wide")
    for i in range(20):
        assert 0 < hole_ratio(masks.draw(i, 64, 64).hole) <= 0.95


def test_histogram():
    assert histogram([0.05, 0.15, 0.19, 1.0]) == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]


def test_verb_writes_a_set_with_its_hash(tmp_path, capsys):
    from retouche.apps.cli import main

    def made(folder, *words):
        assert main(["mask", str(tmp_path / folder), "--count", "5", "--size", "24x32", *words]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    first = made("a")
    assert first.startswith("sha256 ") and made("b") == first != made("c", "--seed", "1")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"{i:05d}.png" for i in range(5)]
    with Image.open(tmp_path / "a" / names[0]) as one:
        assert one.size == (32, 24)
    assert main(["mask", str(tmp_path / "a")]) == 2
    assert "holds pictures already" in capsys.readouterr().err
    assert main(["mask", str(tmp_path / "d"), "--size", "0"]) == 2


@pytest.mark.parametrize("maker", ["box", "centre", "mmagic-box"])
def test_boxes_leave_something_known_at_any_size(maker):
    for height in range(1, 9):
        for width in range(1, 9):
            for fraction in (0.01, 0.5, 0.9, 0.999):
                if height * width == 1:
                    continue
                hole, local = MAKERS[maker](np.random.default_rng(height), height, width, (fraction,))
                left, top, right, bottom = local
                assert 0 < hole.sum() < hole.size, (height, width, fraction)
                assert 0 <= left < right <= width and 0 <= top < bottom <= height
                assert hole[top:bottom, left:right].sum() == hole.sum()  # the local box has all of it
    with pytest.raises(InputError, match="no room"):
        parse_masks(maker).draw(0, 1, 1)


def test_box_of_mmagic():
    """Of 128 in 256: top and left 20 to 107, then 0 to 20 off at the top and at the left; the local box around it."""
    ends, tops, cuts = set(), set(), set()
    for seed in range(400):
        hole, local = MAKERS["mmagic-box"](np.random.default_rng(seed), 256, 256, ())
        for axis, (start, end) in ((1, (local[1], local[3])), (0, (local[0], local[2]))):
            places = np.flatnonzero(hole.any(axis))
            cut = 128 - len(places)
            # bbox_utils.py: the new start is the hole's, less half of what is missing, rounded down
            assert start == places[0] - cut // 2 and end - start == 128
            cuts.add(cut)
            ends.add(int(places[-1]) + 1)
            tops.add(int(places[0]) - cut)
    assert (min(cuts), max(cuts)) == (0, 20)
    assert (min(tops), max(tops)) == (20, 107)  # the upper end, 108, is never drawn
    assert (min(ends), max(ends)) == (148, 235)


def test_blots_of_the_context_encoder():
    """More than 20 and less than 30 % at both sizes, in blots of one size in pixels."""
    masks = parse_masks("blots")
    runs = {}
    for side in (64, 128):
        holes = [masks.draw(mask_key(0, i), side, side).hole for i in range(60)]
        ratios = [hole_ratio(hole) for hole in holes]
        assert min(ratios) > 0.2 and max(ratios) < 0.3
        assert 0.22 < np.mean(ratios) < 0.28
        edges = sum(int((hole[:, 1:] != hole[:, :-1]).sum()) for hole in holes)
        runs[side] = 60 * side * side / edges
    assert runs[64] == pytest.approx(runs[128], rel=0.15)  # pixels between two borders of blots, along a row


def test_noise_of_blots_is_enlarged_by_the_cubic():
    """Against PIL's bicubic of -0.5, which is Catmull and Rom's: 12 numbers enlarged to 200 pixels."""
    from retouche.data.mask_makers import CELL, _cubic

    noise = np.random.default_rng(0).uniform(size=16).astype(np.float32)
    weights = _cubic(100, 0.25)
    assert weights.sum(1) == pytest.approx(np.ones(100))
    ours = weights @ noise[: weights.shape[1]]
    # a pixel in the middle of a cell that starts at a whole number is the number itself
    starts = _cubic(100, 0.0)
    assert (starts @ noise[: starts.shape[1]])[0] == pytest.approx(noise[1])
    large = Image.fromarray(noise[None]).resize((1600, 1), Image.Resampling.BICUBIC)
    places = (1.25 + np.arange(100) / CELL + 0.5) * 100 - 0.5  # PIL's pixels have their middle at a half
    wanted = np.interp(places, np.arange(1600), np.asarray(large)[0])
    assert ours[:80] == pytest.approx(wanted[:80], abs=2e-3)


def test_strokes_of_mmagic_leave_the_picture():
    """Chains stopped at the border gather there: their holes touch it more, and its first row is fuller than inside."""
    holes = np.mean([MAKERS["mmagic"](np.random.default_rng(i), 256, 256, ()).hole for i in range(400)], axis=0)
    border = np.mean([holes[0].mean(), holes[-1].mean(), holes[:, 0].mean(), holes[:, -1].mean()])
    assert border < 0.9 * holes[64:192, 64:192].mean()


LAMA_SETS = {
    # chains at most (one more than configured, as drawn), their longest segment and widest line; boxes, or none
    "lama-narrow": (256, 4, 51, 49, 14, None),
    "lama-medium": (256, 4, 6, 109, 54, (1, 5, 10, 50)),
    "lama-wide": (256, 1, 6, 209, 104, (1, 3, 30, 150)),
    "lama-narrow-512": (512, 4, 71, 109, 24, None),
    "lama-medium-512": (512, 4, 11, 209, 104, (1, 5, 30, 150)),
    "lama-wide-512": (512, 1, 6, 459, 254, (1, 4, 30, 300)),
}


class Recording:
    """Random numbers, and between which whole ones they were asked for."""

    def __init__(self, seed: int) -> None:
        self.numbers, self.ranges = np.random.default_rng(seed), set[tuple[int, int]]()

    def integers(self, low: int, high: int) -> int:
        self.ranges.add((low, high - 1))
        return int(self.numbers.integers(low, high))

    def uniform(self) -> float:
        return float(self.numbers.uniform())


@pytest.mark.parametrize("name", LAMA_SETS)
def test_test_sets_of_lama(name: str) -> None:
    size, fewest, most, length, width, boxes = LAMA_SETS[name]
    draws = Recording(0)
    kinds = set()
    for _ in range(12):
        draws.ranges.clear()
        drawn = MAKERS[name](draws, size, size, ())  # type: ignore[arg-type]
        assert 0 < drawn.hole.mean() <= 0.5
        chains = {(fewest, most), (10, length), (5, width), (0, 3), (1, 5)} <= draws.ranges
        boxed = boxes is not None and {boxes[:2], boxes[2:]} <= draws.ranges
        assert chains or boxed
        kinds |= {word for word, here in (("chains", chains), ("boxes", boxed)) if here}
    assert kinds == ({"chains"} if boxes is None else {"chains", "boxes"})
    assert parse_masks(f"{name}:2,box:1") is not None
