"""Files of several pages or frames: filled ones change inside the hole only, all others nowhere."""

import io
import itertools
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence

from retouche.apps.cli import main
from retouche.errors import InputError
from retouche.pictures import Picture, decode
from retouche.pictures.pages import page, pages_of, rewrite, selection

HEIGHT, WIDTH, COUNT = 50, 70, 5
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[15:30, 20:40] = True
CHOICES = (range(COUNT), range(1, 3), range(1), range(COUNT - 1, COUNT))


def scenes() -> list[np.ndarray]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return [
        np.stack([(3 * x + 9 * k) % 256, (2 * y + x) % 256, 0 * x + 40 * k], 2).astype(np.uint8) for k in range(COUNT)
    ]


def gif(disposal: int = 0, colours: int = 128, moving: bool = False) -> bytes:
    """Frames of a gradient, or of a square that moves over a clear ground."""
    if moving:
        images = []
        for k in range(COUNT):
            canvas = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
            canvas[10 + 2 * k : 30 + 2 * k, 10 + 3 * k : 45] = (200, 30 * k, 90, 255)
            images.append(Image.fromarray(canvas))
    else:
        images = [Image.fromarray(scene).quantize(colours + k) for k, scene in enumerate(scenes())]
    stream = io.BytesIO()
    times = [50 + 10 * k for k in range(COUNT)]
    images[0].save(
        stream,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=times,
        loop=3,
        disposal=disposal,
        comment=b"mine",
    )
    return stream.getvalue()


def tiff(order: Literal["<", ">"] = "<", big: bool = False, dtype: str = "u1", compression: str | None = None) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=big, byteorder=order) as file:
        for k, scene in enumerate(scenes()):
            values = {"u1": scene, "u2": scene.astype("u2") * 257, "f4": scene.astype("f4") / 255}[dtype]
            words = [(285, 2, 0, f"name {k}", True)]
            file.write(
                values,
                photometric="rgb",
                compression=compression,
                metadata=None,
                description=f"no {k}",
                extratags=words,
            )
    return stream.getvalue()


def noise(number: int, picture: Picture) -> Picture:
    """A fill that needs more colours than a GIF has."""
    filled = picture.copy()
    values = np.random.default_rng(number).random((15, 20, 3))
    white = 1 if picture.pixels.dtype.kind == "f" else np.iinfo(picture.pixels.dtype).max
    filled.pixels[15:30, 20:40, :3] = (values * white).astype(picture.pixels.dtype)
    return filled


def shown(content: bytes) -> list[np.ndarray]:
    """What Pillow shows, which has its own reader."""
    with Image.open(io.BytesIO(content)) as image:
        return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]


def seen(frame: np.ndarray) -> np.ndarray:
    """Colours where there is something to see."""
    return np.where(frame[..., 3:] > 0, frame, 0)


@pytest.mark.parametrize("disposal", range(4))
@pytest.mark.parametrize("kind", ["full palettes", "small palettes", "moving"])
def test_gif_frames(kind: str, disposal: int) -> None:
    content = gif(disposal, 250 if kind == "full palettes" else 100, kind == "moving")
    old, pages = shown(content), pages_of(content, "a.gif")
    assert pages is not None and pages.count == len(old) == COUNT
    for number in range(COUNT):
        pixels = page(pages, number).pixels
        np.testing.assert_array_equal(
            seen(old[number])[..., :3], seen(np.dstack([pixels[..., :3], old[number][..., 3]]))[..., :3]
        )
    for chosen in CHOICES:
        made = rewrite(pages, chosen, noise)
        new, again = shown(made), pages_of(made, "b.gif")
        assert again is not None and again.timing == pages.timing and len(new) == COUNT
        with Image.open(io.BytesIO(made)) as image:
            assert image.info["loop"] == 3 and b"mine" in made
        for number in range(COUNT):
            apart = (seen(old[number]) != seen(new[number])).any(axis=2)
            assert not (apart & ~HOLE).any() and apart.any() == (number in chosen), (chosen, number)


def test_a_gif_whose_pages_are_not_filled_is_the_same_file() -> None:
    content = gif()
    pages = pages_of(content, "a.gif")
    assert pages is not None and rewrite(pages, range(COUNT), lambda number, picture: picture) == content


def test_gif_of_one_frame_keeps_its_colours_and_dithers_where_none_is_free() -> None:
    """All 256 colours are in use outside the hole, so the hole has to make do with them."""
    ramp = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) % 256
    image = Image.fromarray(ramp.astype(np.uint8)).convert("P")
    image.putpalette(bytes(value for k in range(256) for value in (k, 255 - k, k // 2)))
    stream = io.BytesIO()
    image.save(stream, "GIF")
    pages = pages_of(stream.getvalue(), "a.gif")
    assert pages is not None and pages.count == 1

    def grey(number: int, picture: Picture) -> Picture:
        filled = picture.copy()
        filled.pixels[HOLE] = 128
        return filled

    made = shown(rewrite(pages, range(1), grey))[0]
    apart = (made != shown(stream.getvalue())[0]).any(axis=2)
    assert apart.any() and not (apart & ~HOLE).any()


@pytest.mark.parametrize(
    ("order", "big", "dtype", "compression"),
    [
        case
        for case in itertools.product("<>", (False, True), ("u1", "u2", "f4"), (None, "zlib"))
        if case[:2] != (">", True)  # which Pillow cannot read
    ],
)
def test_tiff_pages(order: Literal["<", ">"], big: bool, dtype: str, compression: str | None) -> None:
    content = tiff(order, big, dtype, compression)
    pages = pages_of(content, "a.tif")
    assert pages is not None and pages.count == COUNT
    for chosen in CHOICES:
        made = rewrite(pages, chosen, noise)
        again = pages_of(made, "b.tif")
        assert again is not None and again.timing == pages.timing
        with tifffile.TiffFile(io.BytesIO(content)) as old, tifffile.TiffFile(io.BytesIO(made)) as new:
            assert len(new.pages) == COUNT
            for number in range(COUNT):
                first, second = (file.pages[number].asarray() for file in (old, new))
                apart = (first != second).any(axis=2)
                assert first.dtype == second.dtype and not (apart & ~HOLE).any()
                assert apart.any() == (number in chosen)
                assert new.pages[number].tags[285].value == f"name {number}"
                assert new.pages[number].description == f"no {number}"
                if number not in chosen:  # nothing of it has moved
                    assert old.pages[number].dataoffsets == new.pages[number].dataoffsets


def test_what_a_filled_tiff_page_held_is_gone_and_its_room_is_used() -> None:
    secret = b"\x11\x22\x33\x44\x55\x66\x77\x88" * 60
    images = [Image.fromarray(np.frombuffer(secret, np.uint8).reshape(20, 24)) for _ in range(2)]
    stream = io.BytesIO()
    images[0].save(stream, "TIFF", save_all=True, append_images=images[1:])
    pages = pages_of(stream.getvalue(), "a.tif")
    assert pages is not None

    def black(number: int, picture: Picture) -> Picture:
        filled = picture.copy()
        filled.pixels[:] = 0
        return filled

    made = rewrite(pages, range(2), black)
    assert secret[:8] in stream.getvalue() and secret[:8] not in made
    assert len(made) <= len(stream.getvalue()) + 16
    np.testing.assert_array_equal(decode(made_alone(made)).pixels, 0)


def made_alone(content: bytes) -> bytes:
    """The second page as a file."""
    with Image.open(io.BytesIO(content)) as image:
        stream = io.BytesIO()
        image.seek(1)
        image.save(stream, "PNG")
    return stream.getvalue()


def test_frames_that_would_take_forever_are_refused_at_once() -> None:
    """A few bytes a frame, and a canvas, or a frame, of gigapixels."""
    small = gif(moving=True)
    wide = small[:6] + (9000).to_bytes(2, "little") * 2 + small[10:]
    start, end = wide.index(b"\x2c"), len(wide) - 1
    with pytest.raises(InputError, match="in all"):
        pages_of(wide[:end] + wide[start:end] * 20 + wide[end:], "a.gif")
    huge = small[:start] + b"\x2c" + bytes(4) + b"\xff\xff\xff\xff" + small[start + 9 :]
    with pytest.raises(InputError, match="frame 1 is 65535x65535"):
        pages_of(huge, "a.gif")


@pytest.mark.parametrize("words", ["", "0", "2-1", "two", "1,2", "-3", "all pages"])
def test_choices_that_say_nothing(words: str) -> None:
    with pytest.raises(InputError, match="is no choice"):
        selection(words)


def test_choices() -> None:
    assert list(selection("all", 3)) == [0, 1, 2] and list(selection("2", 3)) == [1]
    assert list(selection("2-3", 3)) == [1, 2]
    with pytest.raises(InputError, match=r"a\.tif has 3 pages, not 4"):
        selection("2-4", 3, "a.tif")


@pytest.mark.parametrize("content", [gif(), tiff()], ids=["gif", "tiff"])
def test_damaged_files_are_one_line(content: bytes) -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(content[: int(random.integers(20, len(content)))] if random.random() < 0.3 else content)
        for place in random.integers(6, len(broken), 3):
            broken[place] = random.integers(256)
        try:
            pages = pages_of(bytes(broken), "a")
            if pages is not None:
                rewrite(pages, range(pages.count), noise)
        except InputError as error:
            assert "\n" not in str(error)


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.gif").write_bytes(gif())
    (tmp_path / "a.tif").write_bytes(tiff())
    Image.fromarray(np.uint8(255) * HOLE).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(image: str, output: str, *more: str, mask: str = "mask.png") -> int:
    words = ["run", "--image", image, "--mask", mask, "--output", output, "--model", "mean", "--dilate", "0"]
    return main([*words, *more])


@pytest.mark.parametrize("suffix", ["gif", "tif"])
def test_run_and_check(here: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    assert run(f"a.{suffix}", f"b.{suffix}", "--pages", "2-3") == 0
    told = [f"a.{suffix}", f"b.{suffix}", "mask.png", "--dilate", "0"]
    assert main(["check", *told, "--pages", "2-3"]) == 0
    assert main(["check", *told, "--pages", "3"]) == 1  # page 2 is not as it was
    assert "page 2: largest difference" in capsys.readouterr().out
    assert main(["check", *told, "--json"]) == 0


def test_a_mask_with_as_many_pages(here: Path) -> None:
    masks = [Image.fromarray(np.roll(np.uint8(255) * HOLE, 5 * k, axis=1)) for k in range(COUNT)]
    masks[0].save(here / "masks.tif", save_all=True, append_images=masks[1:])
    assert run("a.gif", "b.gif", "--pages", "all", mask="masks.tif") == 0
    for k, (old, new) in enumerate(
        zip(shown((here / "a.gif").read_bytes()), shown((here / "b.gif").read_bytes()), strict=True)
    ):
        apart = (old != new).any(axis=2)
        assert apart.any() and not (apart & ~np.roll(HOLE, 5 * k, axis=1)).any()


def test_a_folder_of_all_kinds(here: Path) -> None:
    (here / "in").mkdir()
    for name in ("a.gif", "a.tif"):
        (here / name).rename(here / "in" / f"{name[2:]}-{name}")
    Image.fromarray(scenes()[0]).save(here / "in" / "one.png")
    assert run("in", "out/", "--pages", "all") == 0
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "gif-a.gif",
        "manifest.jsonl",
        "one.png",
        "tif-a.tif",
    ]


def test_pages_are_not_extended(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("a.tif", "b.tif", "--pages", "all", "--extend", "left=5") == 2
    assert "leave out --pages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "output", "pages", "words"),
    [
        ("a.gif", "b.gif", "9", "a.gif has 5 pages, not 9"),
        ("a.gif", "b.gif", "x", "is no choice"),
        ("a.gif", "b.png", "all", "b.png cannot hold the pages of a.gif"),
        ("mask.png", "b.png", "2", "mask.png has 1 page, not 2"),
        ("a.gif", "b.png", None, "a.gif is a GIF: fill its frames (retouche run --pages all)"),
        ("a.gif", "b.gif", None, "use retouche run --pages all"),
        ("a.tif", "b.tif", None, "retouche run --pages"),
    ],
)
def test_refused(
    here: Path, capsys: pytest.CaptureFixture[str], image: str, output: str, pages: str | None, words: str
) -> None:
    assert run(image, output, *(() if pages is None else ("--pages", pages))) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (here / output).exists()
