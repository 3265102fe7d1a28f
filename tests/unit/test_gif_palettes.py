"""GIF frames whose palettes are full: what is known keeps its colours, the hole makes do with what is left."""

import io
import struct
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from retouche.apps.cli import main
from retouche.errors import InputError
from retouche.pictures import Picture
from retouche.pictures.gif_blocks import stored
from retouche.pictures.pages import page, pages_of, rewrite

HEIGHT, WIDTH = 30, 40


def frame(indices: np.ndarray, palette: np.ndarray, disposal: int = 0, clear: int | None = None, left: int = 0,
          top: int = 0) -> bytes:  # fmt: skip
    """A frame as a GIF holds it."""
    control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, disposal << 2 | (clear is not None), 10, clear or 0, 0)
    height, width = indices.shape
    return control + stored(indices, palette, (left, top, left + width, top + height))


def film(*frames: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", WIDTH, HEIGHT, 0, 0, 0) + b"".join(frames) + b";"


def random_film(random: np.random.Generator) -> tuple[bytes, int]:
    """Frames of 256 random colours: whole or partial, with and without clear pixels, all disposals."""
    frames = []
    for number in range(int(random.integers(1, 5))):
        left, top, right, bottom = 0, 0, WIDTH, HEIGHT
        if number and random.random() < 0.6:
            left, top = int(random.integers(WIDTH - 2)), int(random.integers(HEIGHT - 2))
            right, bottom = int(random.integers(left + 1, WIDTH + 1)), int(random.integers(top + 1, HEIGHT + 1))
        indices = random.integers(0, 256, (bottom - top, right - left), dtype=np.uint8)
        clear = int(random.integers(256)) if random.random() < 0.5 else None
        if clear is not None:
            indices[random.random(indices.shape) < random.choice([0, 0.1, 0.6])] = clear
        palette = random.integers(0, 256, (256, 3), dtype=np.uint8)
        frames.append(frame(indices, palette, int(random.integers(4)), clear, left, top))
    return film(*frames), len(frames)


def shown(content: bytes) -> list[np.ndarray]:
    """What each frame shows as (H, W, 4); hidden colours are 0."""
    pages = pages_of(content, "a.gif")
    assert pages is not None
    found = []
    for number in range(pages.count):
        pixels = page(pages, number).pixels
        full = pixels if pixels.shape[2] == 4 else np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
        found.append(np.where(full[..., 3:] > 0, full, 0))
    return found


def noisy(hole: np.ndarray, opaque: bool) -> Callable[[int, Picture], Picture]:
    """A fill of more colours than a GIF has; opaque, or as clear as it was."""

    def fill(number: int, picture: Picture) -> Picture:
        filled = picture.copy()
        filled.pixels[hole, :3] = np.random.default_rng(number).integers(0, 256, (int(hole.sum()), 3))
        if opaque and filled.pixels.shape[2] == 4:
            filled.pixels[hole, 3] = 255
        return filled

    return fill


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[top:bottom, left:right] = True
    return hole


def filled(content: bytes, chosen: Collection[int], hole: np.ndarray, opaque: bool = True) -> bytes:
    pages = pages_of(content, "a.gif")
    assert pages is not None
    return rewrite(pages, chosen, noisy(hole, opaque))


def assert_kept(content: bytes, made: bytes, chosen: Collection[int], hole: np.ndarray) -> None:
    for number, (old, new) in enumerate(zip(shown(content), shown(made), strict=True)):
        apart = (old != new).any(axis=2)
        assert not (apart & ~hole).any() and (number in chosen or not apart.any()), number


def test_photographs_with_palettes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbouring frames share some pixels, so that skipping them took a 257th colour."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:96, :128]
    waves = 128 + 60 * np.stack([np.sin(x / 9 + y / 30), np.cos(y / 11), np.sin((x + y) / 17)], 2)
    noise = np.random.default_rng(0).normal(0, 25, waves.shape)
    scene = Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))
    frames = [scene.rotate(3 * k).convert("P", palette=Image.Palette.ADAPTIVE) for k in range(4)]
    frames[0].save("a.gif", save_all=True, append_images=frames[1:], duration=100)
    hole = np.zeros((96, 128), np.uint8)
    hole[40:60, 50:80] = 255
    Image.fromarray(hole).save("m.png")
    words = ["--image", "a.gif", "--mask", "m.png", "--output", "b.gif", "--pages", "all", "--dilate", "0"]
    assert main(["run", *words, "--model", "mean"]) == 0
    assert main(["check", "a.gif", "b.gif", "m.png", "--dilate", "0"]) == 0
    with Image.open("a.gif") as old, Image.open("b.gif") as new:
        for first, second in zip(ImageSequence.Iterator(old), ImageSequence.Iterator(new), strict=True):
            apart = (np.asarray(first.convert("RGB")) != np.asarray(second.convert("RGB"))).any(axis=2)
            assert apart.any() and not (apart & (hole == 0)).any()


def test_all_frames_can_always_be_filled_at_one_place() -> None:
    for seed in range(60):
        random = np.random.default_rng(seed)
        content, count = random_film(random)
        top, left = int(random.integers(HEIGHT - 5)), int(random.integers(WIDTH - 5))
        hole = rectangle(top, left, top + int(random.integers(3, 15)), left + int(random.integers(3, 20)))
        made = filled(content, range(count), hole, opaque=seed % 3 > 0)
        assert_kept(content, made, range(count), hole)
        seen = shown(made)
        for number, old in enumerate(shown(content)):
            assert (old != seen[number]).any() or not old[hole][:, 3].any()


def test_another_reader_agrees() -> None:
    av = pytest.importorskip("av")

    def frames(content: bytes) -> list[np.ndarray]:
        with av.open(io.BytesIO(content), format="gif") as file:
            found = [one.to_ndarray(format="rgba") for one in file.decode(video=0)]
        return [np.where(one[..., 3:] > 0, one, 0) for one in found]

    for seed in range(20):
        content, count = random_film(np.random.default_rng(seed))
        made = filled(content, range(count), rectangle(5, 5, 18, 22))
        for one in (content, made):
            np.testing.assert_array_equal(frames(one), shown(one))


def test_what_cannot_be_kept_is_refused_with_a_remedy_that_works() -> None:
    """The second frame paints 255 colours of its own and shows the first's elsewhere, of which one alone is filled."""
    random = np.random.default_rng(0)
    first = np.arange(HEIGHT * WIDTH, dtype=np.int64).reshape(HEIGHT, WIDTH).astype(np.uint8)
    second = first.copy()
    second[second == 9] = 8
    second[10:20, 10:20] = 9
    palettes = random.integers(0, 256, (2, 256, 3), dtype=np.uint8)
    content = film(frame(first, palettes[0], 1), frame(second, palettes[1], 1, clear=9))
    hole = rectangle(5, 5, 25, 25)
    with pytest.raises(InputError, match=r"frame 2 would need more than 256 colours.*--pages all and one mask"):
        filled(content, range(1), hole)
    assert_kept(content, filled(content, range(2), hole), range(2), hole)


def test_frames_that_would_have_to_become_transparent_again() -> None:
    clear = np.zeros((HEIGHT, WIDTH), np.uint8)
    clear[:4] = 1
    palette = np.array([[0, 0, 0], [200, 10, 10]], np.uint8)
    content = film(*[frame(clear, palette, 1, clear=0)] * 2)
    hole = rectangle(2, 5, 25, 25)
    with pytest.raises(InputError, match=r"frame 2 would be transparent.*--pages all and one mask"):
        filled(content, range(1), hole)
    assert_kept(content, filled(content, range(2), hole), range(2), hole)


def test_a_frame_that_is_cleared_takes_nothing_else_along() -> None:
    """The hole lies beyond the second frame's box; a larger one would clear what the first frame left there."""
    random = np.random.default_rng(1)
    whole = random.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    palettes = random.integers(0, 256, (3, 256, 3), dtype=np.uint8)
    corner = random.integers(0, 256, (8, 8), dtype=np.uint8)
    third = random.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
    third[random.random(third.shape) < 0.5] = 255
    content = film(frame(whole, palettes[0], 1), frame(corner, palettes[1], 2), frame(third, palettes[2], 1, clear=255))
    hole = rectangle(20, 20, 28, 38)
    assert_kept(content, filled(content, range(3), hole), range(3), hole)
