"""`retouche run` on one picture: what is refused, what is accepted with a remark, and that promises 1 and 2 hold."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

from retouche.apps.cli import main
from retouche.pictures import open_picture


def scene(height: int = 60, width: int = 80) -> np.ndarray:
    """A smooth coloured picture (H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(3 * x) % 256, (2 * y + x) % 256, np.full_like(x, 90)], axis=2).astype(np.uint8)


def box(height: int = 60, width: int = 80) -> np.ndarray:
    """A hole in the middle third, (H, W) uint8."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : max(2 * height // 3, 1), width // 3 : max(2 * width // 3, 1)] = 255
    return mask


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    Image.fromarray(scene()).save(tmp_path / "photo.png")
    Image.fromarray(box()).save(tmp_path / "mask.png")
    return tmp_path


def run(folder: Path, image: str = "photo.png", mask: str = "mask.png", output: str = "out.png", *more: str) -> int:
    files = ["--image", str(folder / image), "--mask", str(folder / mask), "--output", str(folder / output)]
    return main(["run", *files, *(more or ("--model", "mean"))])


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 60000x60000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def truncated() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene()).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()[:-300]


@pytest.mark.parametrize(
    ("image", "mask", "output", "more", "words"),
    [
        ("gone.png", "mask.png", "out.png", (), "gone.png is not there"),
        ("photo.png", "gone.png", "out.png", (), "gone.png is not there"),
        ("photo.png", "masks", "out.png", (), "is a folder but --image is one picture"),
        ("photo.png", "small.png", "out.png", (), "small.png is 40x30 but the picture is 80x60"),
        ("photo.png", "white.png", "out.png", (), "the mask covers the whole picture"),
        ("cut.jpg", "mask.png", "out.jpg", (), "cut.jpg cannot be decoded"),
        ("text.png", "mask.png", "out.png", (), "text.png is not a PNG, JPEG"),
        ("bomb.png", "mask.png", "out.png", (), "3600.0 megapixels"),
        ("photo.png", "mask.png", "out.png", ("--model", "deepfil-v2"), 'did you mean "deepfill-v2"'),
        ("photo.png", "mask.png", "photo.png/out.png", (), "photo.png is a file"),
        ("photo.png", "mask.png", "photo.png", (), "is its own input: say --overwrite"),
        ("photo.png", "mask.png", "out.png", ("--dilate", "wide"), '"wide" is no number of pixels'),
        ("photo.png", "mask.png", "out.png", ("--memory", "much"), 'memory "much" is no size'),
        ("photo.png", "mask.png", "out.png", ("--device", "cuda:77"), 'device "cuda:77" is not here'),
        ("photo.png", "mask.png", "out.png", ("--sketch", "photo.png", "--model", "mean"), "takes no sketch"),
    ],
)
def test_refused_with_one_line_and_nothing_written(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    image: str,
    mask: str,
    output: str,
    more: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(here)
    Image.fromarray(box(30, 40)).save(here / "small.png")
    Image.new("L", (80, 60), 255).save(here / "white.png")
    (here / "masks").mkdir()
    Image.fromarray(box()).save(here / "masks" / "photo.png")
    (here / "cut.jpg").write_bytes(truncated())
    (here / "text.png").write_text("no picture at all, whatever its name says")
    (here / "bomb.png").write_bytes(bomb())
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    assert run(here, image, mask, output, *more) == 2
    said = capsys.readouterr()
    assert not said.out and words in said.err
    assert [line for line in said.err.splitlines() if line.startswith("retouche: ")] == said.err.splitlines()
    assert len(said.err.splitlines()) == 1
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


def test_unwritable_output(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--image", str(here / "photo.png"), "--mask", str(here / "mask.png")]
    assert main(["run", *files, "--output", "/proc/retouche/out.png", "--model", "mean"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_unknown_flags_are_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--image", "a.png", "--output", "b.png", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err
    assert main(["run"]) == 2


def test_an_existing_output_is_kept_unless_asked(here: Path) -> None:
    assert run(here) == 0
    first = (here / "out.png").read_bytes()
    assert run(here) == 2 and (here / "out.png").read_bytes() == first
    assert run(here, "photo.png", "mask.png", "photo.png", "--overwrite", "--model", "mean") == 0
    assert (here / "photo.png").read_bytes() == first  # the same bytes twice


def test_an_empty_mask_changes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (80, 60), 0).save(here / "mask.png")
    assert run(here) == 0
    assert "warning: mask is empty" in capsys.readouterr().err
    assert np.array_equal(read(here / "out.png"), scene())


def test_grey_residue_of_a_jpeg_mask(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(box()).save(here / "mask.jpg", quality=60)
    assert run(here, mask="mask.jpg") == 0
    assert "grey values" in capsys.readouterr().err
    assert main(["check", str(here / "photo.png"), str(here / "out.png"), str(here / "mask.jpg")]) == 0


def test_an_inverted_looking_mask_and_invert_mask(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(255 - box()).save(here / "mask.png")
    assert run(here) == 0
    assert "is it inverted? --invert-mask" in capsys.readouterr().err
    assert run(here, "photo.png", "mask.png", "two.png", "--invert-mask", "--model", "mean") == 0
    assert "inverted" not in capsys.readouterr().err
    names = [str(here / name) for name in ("photo.png", "two.png", "mask.png")]
    assert main(["check", *names, "--invert-mask"]) == 0
    assert main(["check", *names]) == 1


def test_iopaint_commands_keep_working(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"--image={here / 'photo.png'}", f"--mask={here / 'mask.png'}", f"--output={here / 'filled'}"]
    assert main(["run", "--model=mat", "--device=cpu", *words]) == 2
    assert 'no model "mat"' in (said := capsys.readouterr().err) and '"default" needs no download' in said
    assert main(["run", "--model=default", "--device=cpu", *words]) == 0
    assert (here / "filled" / "photo.png").is_file()


def test_a_folder_named_as_a_method_does_not_capture_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    words = ["run", "--image=photo.png", "--mask=mask.png", "--output=exemplar/"]
    assert main([*words, "--model=exemplar"]) == 0
    assert main([*words, "--model=exemplar", "--overwrite"]) == 0, "the folder is there by now"
    assert main([*words, "--model=./exemplar", "--overwrite"]) == 2
    assert "exemplar holds no weight file" in capsys.readouterr().err


def test_alpha_is_the_hole_and_becomes_opaque(here: Path) -> None:
    opacity = np.where(box() > 0, 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([scene(), opacity])).save(here / "cut.png")
    assert main(["run", "--image", str(here / "cut.png"), "--output", str(here / "out.png"), "--model", "mean"]) == 0
    filled = read(here / "out.png")
    assert filled.shape == (60, 80, 4) and (filled[..., 3] == 255).all()
    assert main(["check", str(here / "cut.png"), str(here / "out.png"), "alpha"]) == 0
    assert main(["run", "--image", str(here / "photo.png"), "--output", str(here / "o.png")]) == 2


def test_json_and_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(here, "photo.png", "mask.png", "out.png", "--json", "--report", "--model", "mean", "--dilate", "0") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["output"] == str(here / "out.png") and said["error"] is None
    assert said["report"]["dilate"] == 0 and said["report"]["holes"][0]["hole_pixels"] == (box() > 0).sum()
    assert run(here, "photo.png", "mask.png", "two.png", "--report", "--model", "mean") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(here / "two.png") and "80x60" in lines[1]


def cmyk(path: Path) -> None:
    Image.fromarray(scene()).convert("CMYK").save(path, quality=90)


def rotated(path: Path) -> None:
    """A JPEG lying on its side, with a thumbnail in its EXIF: displayed 60 wide, 80 high."""
    thumbnail = io.BytesIO()
    Image.fromarray(scene()).resize((20, 15)).save(thumbnail, "JPEG")
    small = thumbnail.getvalue()
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 26)  # orientation 6, next directory at 26
    second = struct.pack("<H", 3) + struct.pack("<HHIHH", 0x0103, 3, 1, 6, 0)
    second += struct.pack("<HHII", 0x0201, 4, 1, 26 + 42) + struct.pack("<HHII", 0x0202, 4, 1, len(small))
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + struct.pack("<I", 0) + small
    Image.fromarray(scene()).save(path, quality=90, exif=exif)


def profiled(path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(np.dstack([scene(), scene()[..., 0] // 2 + 100])).save(path, icc_profile=profile)


def deep_tiff(path: Path) -> None:
    tifffile.imwrite(path, scene().astype(np.uint16) * 257 + 3, photometric="rgb")


def deep_png(path: Path) -> None:
    samples = (scene().astype(np.uint16) * 257 + 3).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 80, 60, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("suffix", "make"),
    [(".tif", deep_tiff), (".png", deep_png), (".png", profiled), (".jpg", cmyk), (".jpg", rotated)],
    ids=["16-bit TIFF", "16-bit PNG", "RGBA PNG with profile", "CMYK JPEG", "rotated JPEG with thumbnail"],
)
def test_what_goes_in_comes_out(here: Path, suffix: str, make: object, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = here / f"in{suffix}", here / f"out{suffix}"
    make(before)  # type: ignore[operator]
    given = open_picture(before)
    Image.fromarray(box(given.height, given.width)).save(here / "mask.png")
    assert run(here, before.name, "mask.png", after.name) == 0
    filled = open_picture(after)
    assert (filled.mode, filled.pixels.dtype, filled.pixels.shape) == (
        given.mode,
        given.pixels.dtype,
        given.pixels.shape,
    )
    with Image.open(before) as old, Image.open(after) as new:
        assert old.info.get("icc_profile") == new.info.get("icc_profile")
    capsys.readouterr()
    lossy = ["--lossy"] if suffix == ".jpg" else []
    assert main(["check", str(before), str(after), str(here / "mask.png"), "--json", *lossy]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["kept"] and not verdict["differences"]
    hole = box(given.height, given.width) > 0
    assert (filled.pixels[hole] != given.pixels[hole]).any()


def test_a_rotated_picture_is_upright_and_its_thumbnail_new(here: Path) -> None:
    rotated(here / "in.jpg")
    Image.fromarray(box(80, 60)).save(here / "mask.png")
    assert run(here, "in.jpg", "mask.png", "out.jpg", "--model", "mean") == 0
    with Image.open(here / "in.jpg") as old, Image.open(here / "out.jpg") as new:
        assert old.getexif()[0x0112] == 6 and new.size == (60, 80) and new.getexif().get(0x0112, 1) == 1
        thumbnails = [image.getexif().get_ifd(ExifTags.IFD.IFD1) for image in (old, new)]
    assert thumbnails[0][0x0202] and thumbnails[1][0x0202]
    data = (here / "out.jpg").read_bytes()
    start = data.index(b"\xff\xd8\xff", 4)
    with Image.open(io.BytesIO(data[start : start + thumbnails[1][0x0202]])) as thumbnail:
        assert thumbnail.height > thumbnail.width  # upright as the picture is now


@pytest.mark.parametrize(("width", "height"), [(7, 5), (1, 4000), (4000, 1), (3001, 2003)])
def test_any_size(here: Path, width: int, height: int) -> None:
    Image.fromarray(scene(height, width)).save(here / "photo.png", compress_level=1)
    Image.fromarray(box(height, width)).save(here / "mask.png")
    assert run(here) == 0
    names = [str(here / name) for name in ("photo.png", "out.png", "mask.png")]
    assert main(["check", *names]) == 0
    assert read(here / "out.png").shape == (height, width, 3)


def test_one_pixel(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (1, 1), (9, 8, 7)).save(here / "photo.png")
    Image.new("L", (1, 1), 0).save(here / "mask.png")
    assert run(here) == 0 and read(here / "out.png").tolist() == [[[9, 8, 7]]]
    Image.new("L", (1, 1), 255).save(here / "mask.png")
    assert run(here, output="two.png") == 2
