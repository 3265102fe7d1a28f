"""Marks, dust and scratches that are drawn here are found where they were drawn, and what is beneath comes back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from retouche.apps.cli import main
from retouche.finders.dust import find_dust
from retouche.finders.planes import filled, touching
from retouche.finders.watermark import estimate
from retouche.masks import dilate

SIZE = 96, 160


def scenes(count: int, seed: int = 0) -> np.ndarray:
    """(count, H, W, 3), 0..1: discs and bars of any colour, blurred, with grain; each another."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        picture = Image.new("RGB", SIZE[::-1], tuple(int(v) for v in rng.integers(0, 256, 3)))
        draw = ImageDraw.Draw(picture)
        for _ in range(14):
            x, y, w, h = (float(v) for v in rng.uniform(0, 1, 4) * (SIZE[1], SIZE[0], 90, 60))
            kind = draw.ellipse if rng.random() < 0.5 else draw.rectangle
            kind((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
        soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(2))) / 255
        made.append((soft + rng.normal(0, 0.01, soft.shape)).clip(0, 1))
    return np.stack(made).astype(np.float32)


def stamp(opacity: float) -> np.ndarray:
    """(H, W) opacity of a ring, a bar and a frame with soft edges."""
    large = Image.new("L", (SIZE[1] * 4, SIZE[0] * 4))
    draw = ImageDraw.Draw(large)
    draw.ellipse((120, 80, 280, 240), outline=255, width=28)
    draw.rectangle((340, 120, 520, 160), fill=255)
    draw.rectangle((360, 200, 500, 280), outline=255, width=16)
    return np.asarray(large.resize(SIZE[::-1], Image.Resampling.BOX)) / 255 * opacity


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(-10 * np.log10(((a - b)[where] ** 2).mean()))


@pytest.mark.parametrize(("opacity", "colour"), [(0.4, (1, 1, 1)), (0.6, (0.1, 0.1, 0.6)), (0.25, (1, 1, 1))])
def test_a_translucent_mark_is_found_and_taken_off(opacity: float, colour: tuple[float, float, float]) -> None:
    pictures = scenes(30)
    share = stamp(opacity)[..., None]
    marked = np.rint(255 * (pictures * (1 - share) + share * np.array(colour))) / 255
    mark = estimate(marked.astype(np.float32))
    assert mark is not None
    truth = share[..., 0] > 0.02
    assert (mark.mask & truth).sum() / (mark.mask | truth).sum() > 0.85
    full = share[..., 0] > 0.99 * opacity
    assert abs(float(np.median(mark.opacity[full])) - opacity) < 0.05
    gains = [psnr(mark.removed(m)[0], p, truth) - psnr(m, p, truth) for m, p in zip(marked, pictures, strict=True)]
    assert np.mean(gains) > 10


def test_pictures_without_a_mark_have_none() -> None:
    assert estimate(scenes(30, seed=5)) is None


def test_an_opaque_mark_is_left_to_be_filled() -> None:
    pictures, share = scenes(20), stamp(1.0)[..., None]
    marked = (pictures * (1 - share) + share * 0.9).astype(np.float32)
    mark = estimate(marked)
    assert mark is not None
    recovered, hole = mark.removed(marked[0])
    assert hole[share[..., 0] == 1].mean() > 0.95
    assert np.array_equal(recovered[~mark.mask], marked[0][~mark.mask])


def test_specks_and_a_scratch_are_found() -> None:
    picture = np.asarray(Image.fromarray((scenes(1)[0] * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(3)))
    layer = Image.new("1", SIZE[::-1])
    draw = ImageDraw.Draw(layer)
    rng = np.random.default_rng(1)
    for x, y in rng.uniform(0.05, 0.95, (8, 2)) * SIZE[::-1]:
        draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=1)
    draw.line((10, 5, 150, 80), fill=1, width=2)
    dirt = np.asarray(layer)
    scan = picture / 255
    scan[dirt] = np.where(scan[dirt].mean(-1, keepdims=True) > 0.5, 0.02, 0.98)
    found = find_dust(scan)
    assert (found & dirt).sum() / dirt.sum() > 0.9
    assert (found & dilate(dirt, 3)).sum() / found.sum() > 0.8
    assert find_dust(picture / 255).mean() < 0.01
    infrared = np.where(dirt, 0.3, 0.9).astype(np.float32)
    by_infrared = find_dust(picture / 255, infrared=infrared)
    assert by_infrared[dirt].all() and not by_infrared[~dilate(dirt, 2)].any()


def test_enclosed_and_touching_parts() -> None:
    ring = np.zeros((9, 9), np.bool_)
    ring[2:7, 2:7] = True
    ring[3:6, 3:6] = False
    assert filled(ring)[2:7, 2:7].all() and filled(ring).sum() == 25
    both = ring.copy()
    both[0, 0] = True
    seed = np.zeros_like(ring)
    seed[2, 2] = True
    assert np.array_equal(touching(both, seed), ring)


def test_the_command_writes_masks_a_preview_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    share = stamp(0.5)[..., None]
    (tmp_path / "in").mkdir()
    for number, picture in enumerate(scenes(12)):
        values = np.rint(255 * (picture * (1 - share) + share)).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / "in" / f"{number}.png")
    words = ["mask", "find", "--kind", "watermark", "--image", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main([*words, "--recover", str(tmp_path / "clean"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["pictures"] == 12 and summary["failed"] == 0
    mask = np.asarray(Image.open(tmp_path / "out" / "mask.png"))
    before, after = (np.asarray(Image.open(tmp_path / folder / "3.png")) for folder in ("in", "clean"))
    assert np.array_equal(before[~mask], after[~mask]) and not np.array_equal(before, after)
    assert (tmp_path / "out" / "preview.png").exists() and (tmp_path / "out" / "mark.png").exists()
    clean, left, end = (str(tmp_path / name) for name in ("clean", "out/left", "end"))
    assert main(["run", "--image", clean, "--mask", left, "--output", end, "--model", "mean"]) == 0
    assert len(list((tmp_path / "end").glob("*.png"))) == 12
    capsys.readouterr()
    assert main(words) == 2  # the folder holds files already
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--kind", "dust", "--recover", "x"], "--recover is for watermarks"),
        (["--kind", "dust", "--sensitivity", "0"], "--sensitivity is 0"),
        (["--kind", "dust", "--widest", "0"], "--widest is 0"),
        (["--kind", "watermark"], "8 or more of one size"),
        (["--kind", "dust", "--infrared", "nowhere"], "holds 0 pictures named"),
    ],
)
def test_wrong_use_is_one_line(more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    code = main(["mask", "find", "--image", str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), *more])
    assert code in {1, 2}
    assert told in capsys.readouterr().err
