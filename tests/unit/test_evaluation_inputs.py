"""What an evaluation reads: pairs of pictures and masks, their sizes and hashes, masks drawn from a specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluated_pictures import hole, picture, save_mask, three_pictures
from PIL import Image

from retouche.errors import DataError, InputError
from retouche.evaluation.pack import items_of, read_pack, write_pack
from retouche.evaluation.pictures import (
    Item,
    Preparation,
    PreparedItem,
    Skipped,
    check_items,
    find_items,
    prepare,
    several,
    sha256_of_hole,
    sized,
    sized_mask,
)
from retouche.evaluation.protocol import list_sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return three_pictures(tmp_path)


def test_pairs_by_stem_by_suffix_and_in_subfolders(folder: Path) -> None:
    items, spec = find_items(folder, None)
    assert [item.name for item in items] == ["0.png", "1.png", "2.png"] and spec is None
    assert [item.mask.name for item in items if item.mask] == ["0.png", "1.png", "2.png"]
    (folder / "masks" / "1.png").rename(folder / "masks" / "1_mask.png")
    items, _ = find_items(folder / "images", str(folder / "masks"), limit=2)
    assert [item.mask.name for item in items if item.mask] == ["0.png", "1_mask.png"]
    items, _ = find_items(folder / "images", str(folder / "masks" / "0.png"))
    assert {item.mask for item in items} == {folder / "masks" / "0.png"}
    items, spec = find_items(folder / "images", "box:1,strokes:2")
    assert spec == "box:1,strokes:2" and items[0].mask is None


def remove_a_mask(folder: Path) -> None:
    (folder / "masks" / "1.png").unlink()


def add_a_mask(folder: Path) -> None:
    save_mask(folder / "masks" / "7.png", hole(0))


def rename_all(folder: Path) -> None:
    for path in list((folder / "masks").iterdir()):
        path.rename(path.with_stem(f"m{path.stem}"))


def double_a_name(folder: Path) -> None:
    Image.fromarray(picture(5)).save(folder / "images" / "1.jpg")


def double_a_mask(folder: Path) -> None:
    save_mask(folder / "masks" / "1_mask.png", hole(0))


def empty_the_pictures(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


def empty_the_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (remove_a_mask, r"3 pictures, 2 masks: 1 pictures have no mask \(first: 1\)"),
        (add_a_mask, r"3 pictures, 4 masks: 1 masks belong to no picture \(first: 7\)"),
        (rename_all, r"3 pictures have no mask \(first: 0\)"),
        (double_a_name, "have one name"),
        (double_a_mask, "two masks"),
        (empty_the_pictures, "holds no pictures"),
        (empty_the_masks, "masks holds no pictures"),
    ],
)
def test_what_does_not_pair_is_named(folder: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(folder)
    with pytest.raises(DataError, match=words):
        find_items(folder, None)


def test_missing_folders_and_makers_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        find_items(tmp_path / "nowhere", None)
    with pytest.raises(DataError, match="--masks is missing"):
        find_items(folder / "images", None)
    with pytest.raises(DataError, match="is not there"):
        find_items(folder / "images", "no/such/folder")
    with pytest.raises(InputError, match="no maker"):
        find_items(folder / "images", "cloud:2")
    with pytest.raises(InputError, match="--limit"):
        find_items(folder, None, limit=0)


def checked(folder: Path, **options: bool) -> None:
    check_items(find_items(folder, None)[0], **{"large_holes": False, "invert": False, **options})


def test_sizes_that_differ_are_named(folder: Path) -> None:
    save_mask(folder / "masks" / "1.png", hole(0, 61, 48))
    with pytest.raises(DataError, match=r"1 of 3 masks.*first: 1.png is 48x61, 1.png is 48x60"):
        checked(folder)


def test_inverted_and_empty_masks_are_named(folder: Path) -> None:
    checked(folder)
    for seed in range(3):
        save_mask(folder / "masks" / f"{seed}.png", ~hole(seed))
    with pytest.raises(DataError, match=r"3 of 3 masks.*as if inverted: say --invert-mask"):
        checked(folder)
    checked(folder, large_holes=True)
    checked(folder, invert=True)
    for seed in range(3):
        save_mask(folder / "masks" / f"{seed}.png", hole(seed) & False)
    with pytest.raises(DataError, match="all masks are empty"):
        checked(folder)


def test_the_middle_square_is_cut_after_lanczos() -> None:
    wide = picture(0, 64, 100)
    got = sized(wide, 32)
    expected = Image.fromarray(wide).resize((50, 32), Image.Resampling.LANCZOS).crop((9, 0, 41, 32))
    assert got.shape == (32, 32, 3) and np.array_equal(got, np.asarray(expected))
    assert sized(wide, None) is wide and sized(wide, 32, "squash").shape == (32, 32, 3)


def test_a_pixel_is_hole_where_a_quarter_of_it_is() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[2:4, 2:4] = mask[5, 0:2] = True
    got = sized_mask(mask, 4)
    assert got.tolist() == [
        [True, False, False, False],
        [False, True, False, False],
        [True, False, False, False],
        [False] * 4,
    ]
    assert not sized_mask(mask, 2)[1, 1] and sized_mask(mask, 2)[0, 0]


def test_hashes_are_of_names_files_and_bits(folder: Path) -> None:
    assert sha256_of_hole(hole(0)) != sha256_of_hole(hole(1))
    assert sha256_of_hole(np.zeros((2, 3), bool)) != sha256_of_hole(np.zeros((3, 2), bool))
    assert list_sha256([("a", "1")]) != list_sha256([("b", "1")])
    items, _ = find_items(folder, None)
    first = prepare(items[0], Preparation(size=32))
    assert isinstance(first, PreparedItem) and first.truth.shape == (32, 32, 3) and first.hole.shape == (32, 32)
    broken = Item(0, "0.png", items[0].image, items[0].mask, picture_sha256="0" * 64)
    with pytest.raises(DataError, match="not the picture of the pack"):
        prepare(broken, Preparation())
    with pytest.raises(DataError, match="not the pack's"):
        prepare(Item(0, "0.png", items[0].image, items[0].mask, mask_sha256="0" * 64), Preparation())


def test_drawn_masks_depend_on_seed_and_number_alone(folder: Path) -> None:
    items, spec = find_items(folder / "images", "strokes")
    same = [prepare(items[1], Preparation(size=64, masks=spec, mask_seed=3)) for _ in range(2)]
    other = prepare(items[1], Preparation(size=64, masks=spec, mask_seed=4))
    assert isinstance(same[0], PreparedItem) and isinstance(same[1], PreparedItem) and isinstance(other, PreparedItem)
    assert same[0].mask_sha256 == same[1].mask_sha256 != other.mask_sha256


def test_unusable_pictures_are_skipped_with_a_reason_without_paths(folder: Path) -> None:
    items, _ = find_items(folder, None)
    whole = items[0].image.read_bytes()
    items[0].image.write_bytes(whole[: len(whole) // 2])
    save_mask(folder / "masks" / "1.png", hole(0) & False)
    save_mask(folder / "masks" / "2.png", hole(0) | True)
    found = [prepare(item, Preparation()) for item in items]
    assert all(isinstance(one, Skipped) for one in found)
    reasons = [one.reason for one in found if isinstance(one, Skipped)]
    assert str(folder) not in reasons[0] and reasons[1:] == ["its mask is empty", "its mask leaves nothing known"]


def test_several_masks_for_each_picture(folder: Path, tmp_path: Path) -> None:
    items, spec = find_items(folder / "images", "box(0.2);box(0.6)")
    assert spec == "box(0.2);box(0.6)"
    again = several(items, 4)
    assert [item.number for item in again] == list(range(12))
    assert [item.label for item in again[:5]] == ["0.png", "0-mask2.png", "0-mask3.png", "0-mask4.png", "1.png"]
    preparation = Preparation(48, "crop", spec, 0, False, 4)
    samples = [prepare(item, preparation) for item in again]
    assert all(isinstance(one, PreparedItem) for one in samples)
    ratios = [float(one.hole.mean()) for one in samples if isinstance(one, PreparedItem)]
    assert max(ratios[::2]) < 0.06 < 0.2 < min(ratios[1::2])  # the two specifications take turns
    assert len({one.mask_sha256 for one in samples if isinstance(one, PreparedItem)}) == 12
    done = [(one.item, one.picture_sha256, one.mask_sha256) for one in samples if isinstance(one, PreparedItem)]
    write_pack(tmp_path / "pack.json", "several", preparation, done)
    repeated, how = items_of(read_pack(str(tmp_path / "pack.json")), None, None, None)
    assert [item.label for item in repeated] == [item.label for item in again] and how == preparation
    for one, item in zip(samples, repeated, strict=True):
        other = prepare(item, how)
        assert (
            isinstance(one, PreparedItem) and isinstance(other, PreparedItem) and np.array_equal(one.hole, other.hole)
        )
    with pytest.raises(InputError, match="give 1 or more"):
        several(items, 0)
    with pytest.raises(InputError, match="give a specification"):
        several(find_items(folder, None)[0], 2)
    drawn, spec = find_items(folder / "images", f"{folder / 'masks'}(flip=xy)")
    assert spec is not None and drawn[0].mask is None  # files drawn from, not paired
