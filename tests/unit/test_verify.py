"""The check behind "nothing outside the hole changes": it must see what it promises to see, and only that."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, features

from retouche.errors import InputError
from retouche.inference.verify import Verdict, verify
from retouche.pictures import open_picture, write_picture

H, W = 96, 128


def picture(seed: int = 0) -> np.ndarray:
    """A smooth picture with some grain, (H, W, 3) uint8."""
    y, x = np.mgrid[:H, :W]
    smooth = np.stack([90 + 60 * np.sin(x / 11), 120 + 50 * np.cos(y / 9), 60 + x + 0 * y], axis=2)
    return (smooth + np.random.default_rng(seed).normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


def hole() -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[40:56, 50:74] = True
    return mask


@pytest.fixture
def files(tmp_path: Path) -> Path:
    Image.fromarray(picture()).save(tmp_path / "before.png")
    Image.fromarray(picture()).save(tmp_path / "before.jpg", quality=85)
    Image.fromarray(hole()).convert("L").save(tmp_path / "mask.png")
    return tmp_path


def check(folder: Path, after: Any, **options: Any) -> Verdict:
    Image.fromarray(after).save(folder / "after.png")
    return verify(folder / "before.png", folder / "after.png", folder / "mask.png", **options)


def test_a_changed_hole_is_kept(files: Path) -> None:
    after = picture()
    after[hole()] = 7
    verdict = check(files, after, dilation=0)
    assert verdict.kept and verdict.largest == 0 and verdict.where is None
    assert verdict.known == H * W - hole().sum()


def test_one_level_in_one_pixel_is_found(files: Path) -> None:
    after = picture()
    after[3, 5, 1] += 1
    verdict = check(files, after)
    assert not verdict.kept and (verdict.largest, verdict.where, verdict.changed) == (1, (5, 3), 1)


def test_the_dilated_ring_may_change_and_not_a_pixel_more(files: Path) -> None:
    after = picture()
    after[38, 60] ^= 255  # two pixels above the hole
    assert check(files, after, dilation=2).kept
    assert not check(files, after, dilation=1).kept
    assert not check(files, after).kept  # auto: round(128 / 256), at least 1


def test_sixteen_bit_differences_are_native_levels(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (H, W, 3), np.uint16)
    tifffile.imwrite(tmp_path / "before.tif", deep, photometric="rgb")
    Image.fromarray(hole()).convert("L").save(tmp_path / "mask.png")
    deep[0, 0, 2] ^= 1
    tifffile.imwrite(tmp_path / "after.tif", deep, photometric="rgb")
    verdict = verify(tmp_path / "before.tif", tmp_path / "after.tif", tmp_path / "mask.png")
    assert not verdict.kept and verdict.largest == 1
    Image.fromarray((deep >> 8).astype(np.uint8)).save(tmp_path / "after.png")
    shallow = verify(tmp_path / "before.tif", tmp_path / "after.png", tmp_path / "mask.png")
    assert not shallow.kept and "16 bit became 8 bit" in shallow.differences


def test_size_mode_profile_and_alpha_are_reported(files: Path) -> None:
    assert "size 128x96 became 64x96" in check(files, picture()[:, :64]).differences
    grey = check(files, picture()[..., 0])
    assert not grey.kept and "mode RGB became L" in grey.differences
    Image.fromarray(picture()).save(files / "after.png", icc_profile=b"a profile")
    tagged = verify(files / "before.png", files / "after.png", files / "mask.png")
    assert tagged.kept and tagged.differences == ("colour profile added",)
    opacity = np.full((H, W, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([picture(), opacity], 2)).save(files / "before.png")
    opacity[hole()] = 9
    inside = check(files, np.concatenate([picture(), opacity], 2))
    assert inside.kept and inside.differences == ("alpha changed",)
    opacity[0, 0] = 9
    assert not check(files, np.concatenate([picture(), opacity], 2)).kept


def test_alpha_as_the_mask_may_become_opaque(tmp_path: Path) -> None:
    opacity = np.where(hole(), 0, 255).astype(np.uint8)[..., None]
    Image.fromarray(np.concatenate([picture(), opacity], 2)).save(tmp_path / "before.png")
    after = np.concatenate([picture(), np.full_like(opacity, 255)], 2)
    after[hole(), :3] = 1
    Image.fromarray(after).save(tmp_path / "after.png")
    assert verify(tmp_path / "before.png", tmp_path / "after.png", None).kept
    after[0, 0, 0] ^= 1
    Image.fromarray(after).save(tmp_path / "after.png")
    assert not verify(tmp_path / "before.png", tmp_path / "after.png", None).kept
    with pytest.raises(InputError, match="no alpha"):
        Image.fromarray(picture()).save(tmp_path / "before.png")
        verify(tmp_path / "before.png", tmp_path / "after.png", None)


def filled(path: Path, change: Any = None) -> Any:
    """A file's picture with another hole, and whatever else `change` does to its pixels."""
    made = open_picture(path).copy()
    made.pixels[hole()] = 200
    if change is not None:
        change(made.pixels)
    return made


def blot(pixels: np.ndarray) -> None:
    pixels[4:8, 100:104] //= 2


@pytest.mark.parametrize("sampling", [0, 2])
def test_jpeg_is_judged_by_what_encoding_does(files: Path, sampling: int) -> None:
    before, after = files / "before.jpg", files / "after.jpg"
    Image.fromarray(picture()).save(before, quality=70, subsampling=sampling)
    write_picture(filled(before), after)
    assert not verify(before, after, files / "mask.png").kept  # decoded values have moved
    verdict = verify(before, after, files / "mask.png", lossy=True)
    assert verdict.kept and verdict.lossy is not None and verdict.lossy.excess == 0
    assert verdict.lossy.block == ((16, 16) if sampling else (8, 8))
    write_picture(filled(before, blot), after, overwrite=True)
    assert not verify(before, after, files / "mask.png", lossy=True).kept


def test_jpeg_of_poorer_quality_than_the_source_is_a_violation(files: Path) -> None:
    before, after = files / "before.jpg", files / "after.jpg"
    Image.fromarray(filled(before).pixels).save(after, quality=30)
    assert not verify(before, after, files / "mask.png", lossy=True).kept


def test_png_to_jpeg_is_judged_with_the_jpegs_own_tables(files: Path) -> None:
    before, after = files / "before.png", files / "after.jpg"
    write_picture(filled(before), after)
    assert verify(before, after, files / "mask.png", lossy=True).kept


def test_lossy_webp(files: Path) -> None:
    before, after = files / "before.webp", files / "after.webp"
    Image.fromarray(picture()).save(before, quality=80)
    write_picture(filled(before), after)
    verdict = verify(before, after, files / "mask.png", lossy=True)
    assert verdict.kept and verdict.lossy is not None and verdict.lossy.format == "WebP"
    write_picture(filled(before, blot), after, overwrite=True)
    assert not verify(before, after, files / "mask.png", lossy=True).kept


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_avif_and_heic(files: Path, suffix: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif")
    elif not features.check("avif"):
        pytest.skip("this Pillow knows no AVIF")
    before, after = files / f"before.{suffix}", files / f"after.{suffix}"
    wide = np.tile(picture(), (2, 2, 1))
    Image.fromarray(np.pad(hole(), ((0, H), (0, W)))).convert("L").save(files / "mask.png")
    write_picture(open_picture(wide), before, overwrite=True)
    made = open_picture(before).copy()
    made.pixels[:H, :W][hole()] = 200
    write_picture(made, after)
    verdict = verify(before, after, files / "mask.png", lossy=True)
    assert verdict.kept and verdict.lossy is not None and verdict.lossy.format == suffix.upper()
    assert verdict.lossy.judged > H * W and verdict.lossy.excess <= 4
    made.pixels[-12:-4, -12:-4] //= 2
    write_picture(made, after, overwrite=True)
    assert not verify(before, after, files / "mask.png", lossy=True).kept


def test_lossy_forgives_nothing_in_a_lossless_file(files: Path) -> None:
    after = picture()
    after[3, 5, 1] += 1
    assert not check(files, after, lossy=True).kept
