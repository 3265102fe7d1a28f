"""Files of every kind through the page: what is known stays bit for bit, depth, profile and metadata are kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from editor_page import SIZE, drag, fill, mask_of, open_file, photograph, pixels, ready, said, saved
from PIL import Image, ImageCms

import retouche
from retouche.apps.cli import main
from retouche.pictures import Picture, open_picture, write_picture

GROW = 4
HOLE = (90, 70, 140, 110)  # left, top, right, bottom


@cache
def profile() -> bytes:
    """sRGB with red and blue changed over: shown with colour management, every colour would be another."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = range(132, 132 + 12 * int.from_bytes(made[128:132], "big"), 12)
    at = {bytes(made[entry : entry + 4]): entry + 4 for entry in entries}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    made[red : red + 8], made[blue : blue + 8] = made[blue : blue + 8], made[red : red + 8]
    return bytes(made)


def deep(size: tuple[int, int] = SIZE, channels: int = 3) -> np.ndarray:
    """(H, W, C) uint16, its low bytes at work."""
    smooth = np.asarray(photograph(4, size)).astype(np.int32) * 257
    noise = np.random.default_rng(0).integers(-120, 121, smooth.shape)
    colours = np.clip(smooth + noise, 0, 65535).astype(np.uint16)
    if channels == 4:
        return np.dstack([colours, np.full(size, 65535, np.uint16)])
    return colours[..., :channels]


def write_png16(path: Path, values: np.ndarray, **info: Any) -> None:
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[values.shape[2]]
    made = Picture(values, mode)
    made.source = type(made.source)(**info)
    write_picture(made, path)


def format_of(path: Path) -> str | None:
    with Image.open(path) as image:
        return image.format


def filled(page: Any, path: Path, to: Path, hole: tuple[int, int, int, int] = HOLE) -> np.ndarray:
    """Open, mask a box, fill, save; gives the mask."""
    open_file(page, path)
    return mend(page, to, hole)


def mend(page: Any, to: Path | None, hole: tuple[int, int, int, int] = HOLE) -> np.ndarray:
    left, top, right, bottom = hole
    page.fill("#dilate", str(GROW))
    page.keyboard.press("Enter")
    page.keyboard.press("m")
    drag(page, (left, top), (right, bottom))
    mask = mask_of(page)
    assert mask[top + 2 : bottom - 2, left + 2 : right - 2].all()
    fill(page)
    if to is not None:
        saved(page, to)
    return mask


def checked(source: Path, result: Path, mask: np.ndarray, *more: str) -> None:
    path = result.with_name(f"{result.name}_hole.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    assert main(["check", str(source), str(result), str(path), "--dilate", str(GROW), *more]) == 0


def test_sixteen_bits_stay_and_all_of_them_fill(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    page = ready(look(server))
    for kind in ("png", "tif", "grey.png", "rgba.png"):
        channels = {"grey.png": 1, "rgba.png": 4}.get(kind, 3)
        values, source, result = deep(channels=channels), tmp_path / f"deep.{kind}", tmp_path / f"result.{kind}"
        if kind == "tif":
            tifffile.imwrite(source, values, photometric="rgb", iccprofile=profile(), resolution=(300, 300))
        elif kind == "png":
            write_png16(source, values, icc=profile())
        else:
            write_png16(source, values)
        mask = filled(page, source, result)
        checked(source, result, mask)
        before, after = open_picture(source), open_picture(result)
        assert after.pixels.dtype == np.uint16 and after.mode == before.mode
        assert np.array_equal(before.pixels, values)
        assert after.source.icc == before.source.icc and (channels != 3 or before.source.icc == profile())
        made = after.pixels[mask][:, :3]
        assert (made % 257 != 0).mean() > 0.9  # more than eight bits spread over sixteen
        # the very values of a fill on the command line, which sees all bits
        once = retouche.load("harmonic")(source, mask, dilate=GROW)
        assert np.array_equal(after.pixels, np.asarray(once).reshape(values.shape))

        # a second fill sees what the first one made; taken back, it is not saved
        second = mend(page, tmp_path / f"both.{kind}", (130, 60, 170, 120))
        both = open_picture(tmp_path / f"both.{kind}").pixels
        checked(source, tmp_path / f"both.{kind}", mask | second)
        twice = retouche.load("harmonic")(result, second, dilate=GROW)
        assert np.array_equal(both, np.asarray(twice).reshape(both.shape))
        page.keyboard.press("Control+z")
        assert np.array_equal(open_picture(saved(page, tmp_path / f"one.{kind}")).pixels, after.pixels)


def test_sixteen_bits_in_the_server_s_folder_and_of_a_crop(
    serve: Callable[..., Any], look: Callable[..., Any], tmp_path: Path
) -> None:
    given, made = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    size = (1030, 1030)  # more than travels as a whole
    tifffile.imwrite(given / "a.tif", deep(size), photometric="rgb", iccprofile=profile())
    write_png16(given / "b.png", deep(size), icc=profile())
    with serve("--model", "harmonic", "--input", str(given), "--output", str(made)) as address:
        page = ready(look(address))
        for name in ("a.tif", "b.png"):
            if name == "b.png":
                page.locator("#overlay").focus()
                page.keyboard.press("ArrowRight")
            page.locator("#name b", has_text=name).wait_for()
            bodies: list[int] = []
            page.on("request", lambda request, bodies=bodies: bodies.append(len(request.post_data_buffer or b"")))
            mask = mend(page, None, (500, 480, 560, 530))
            page.keyboard.press("Control+s")
            said(page, f"Saved {name}")
            assert max(bodies) < 4_000_000  # the file's 6 million bytes stay where they are
            checked(given / name, made / name, mask)
            after = open_picture(made / name)
            assert after.pixels.dtype == np.uint16 and after.source.icc == profile()
            assert (after.pixels[mask] % 257 != 0).mean() > 0.9


def test_a_turned_jpeg(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    source, result = tmp_path / "turned.jpg", tmp_path / "result.jpg"
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "kept"
    photograph().save(source, quality=92, exif=exif, icc_profile=profile())
    page = ready(look(server))
    open_file(page, source)
    assert f"{SIZE[0]} × {SIZE[1]}" in page.inner_text("#name")  # upright
    square = pixels(page, SIZE[0] - 40, 40)  # stored at the left, shown at the right
    assert square[0] > 220 and square[2] < 60  # and in the file's own numbers
    mask = mend(page, result, (20, 120, 70, 160))
    checked(source, result, mask, "--lossy")
    with Image.open(result) as image:
        assert image.format == "JPEG" and image.info["icc_profile"] == profile()
        assert image.getexif()[0x010E] == "kept"
    assert open_picture(result).pixels.shape == (SIZE[1], SIZE[0], 3)


def test_transparency_stays(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    source, result = tmp_path / "clear.png", tmp_path / "result.png"
    image = photograph().convert("RGBA")
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[:, :80] = np.linspace(0, 255, 80).astype(np.uint8)
    alpha[75:85, 100:110] = 0  # inside the hole, too
    image.putalpha(Image.fromarray(alpha))
    image.save(source)
    page = ready(look(server))
    mask = filled(page, source, result)
    checked(source, result, mask)
    with Image.open(result) as after:
        assert after.mode == "RGBA" and np.array_equal(np.asarray(after)[..., 3], alpha)
        assert not np.array_equal(np.asarray(after)[mask], np.asarray(image)[mask])


OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95},
    ".webp": {"lossless": True},
    ".tif": {"compression": "tiff_lzw"},
}


def test_other_kinds(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    page = ready(look(server))
    for kind in ("grey.png", "grey.jpg", "inks.jpg", "inks.tif", "plain.webp", "plain.bmp"):
        source, result = tmp_path / kind, tmp_path / f"result_{kind}"
        image = photograph(6)
        if kind.startswith("grey"):
            image = image.convert("L")
        elif kind.startswith("inks"):
            image = image.convert("CMYK")
        options: dict[str, dict[str, Any]] = {
            "jpg": {"quality": 95},
            "webp": {"lossless": True},
            "tif": {"compression": "tiff_lzw"},
        }
        image.save(source, **options.get(source.suffix[1:], {}))
        mask = filled(page, source, result)
        checked(source, result, mask, *(["--lossy"] if source.suffix == ".jpg" else []))
        with Image.open(result) as after:
            assert after.mode == image.mode and after.format == format_of(source)
        # seen as the server sees it, so that the fill fits its surroundings
        shown = page.evaluate(
            """async () => {
              const { document } = (await import("/work.js")).work;
              return [...document.read({ left: 0, top: 0, right: 256, bottom: 8 }, true)];
            }"""
        )
        seen = np.array(shown, np.uint8).reshape(8, 256, 4)[..., :3].astype(int)
        read = np.rint((open_picture(source).rgb((0, 0, 256, 8))[0].permute(1, 2, 0).numpy() + 1) * 127.5)
        assert np.abs(seen - read).max() <= (0 if source.suffix != ".jpg" else 2)


def test_fifty_megapixels(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    source = tmp_path / "large.jpg"
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    small.resize((8660, 5774), Image.Resampling.BILINEAR).save(source, quality=80)
    page = ready(look(server))
    open_file(page, source)
    assert "8660 × 5774" in page.inner_text("#name")
    assert int(page.inner_text("#zoom").split()[0]) < 15
    measure = "async () => (await import('/work.js')).work.document.layers.mask.measure()"
    page.evaluate("async () => (await import('/work.js')).set({ size: 60 })")
    page.keyboard.press("Control+1")
    page.keyboard.press("b")
    drag(page, (4300, 2900), (4380, 2900))
    near = page.evaluate(measure)
    assert near["box"] == pytest.approx({"left": 4270, "top": 2870, "right": 4410, "bottom": 2930}, abs=1)
    page.keyboard.press("Control+0")
    drag(page, (1000, 1000), (7000, 1000))
    far = page.evaluate(measure)
    assert far["count"] - near["count"] == pytest.approx(6000 * 60 + np.pi * 30**2, rel=0.01)
    page.keyboard.press("Control+z")
    (crop,) = fill(page)["report"]["crops"]
    sent = crop["sent"]
    assert (sent["right"] - sent["left"]) * (sent["bottom"] - sent["top"]) < 1 << 20  # not the whole picture
    assert page.evaluate(measure)["count"] == 0
    changed = page.evaluate(
        """async () => {
          const { document } = (await import("/work.js")).work;
          return document.changed().map(({ inside }) => inside.filter(Boolean).length);
        }"""
    )
    assert near["count"] / 2 < sum(changed) < near["count"] * 4
