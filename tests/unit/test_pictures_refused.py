"""Files that cannot be read are one line; files are written whole or not at all."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pictures_made import chunk, pil, png16, values
from PIL import Image

from retouche import files
from retouche.errors import InputError
from retouche.files import atomic_write
from retouche.pictures import open_picture, png, write_picture

# Files that cannot be read -------------------------------------------------------------------------------------------


def refused(path: Path, **options: int) -> str:
    with pytest.raises(InputError) as caught:
        open_picture(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    pil(values(64, 64, 3), "RGB").save(path)
    data = path.read_bytes()
    for share in (0.02, 0.1, 0.5, 0.95):
        path.write_bytes(data[: max(5, int(len(data) * share))])
        assert "a." + suffix in refused(path)


def test_truncated_pictures_given_by_pil(tmp_path):
    pil(values(64, 64, 3), "RGB").save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    with (
        Image.open(io.BytesIO(data[: len(data) // 2])) as lazy,
        pytest.raises(InputError, match="the picture cannot be decoded"),
    ):
        open_picture(lazy)


@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
def test_truncated_sixteen_bit_files_are_refused(tmp_path, compression):
    array = values(64, 64, 3, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", compression=compression)
    (tmp_path / "a.png").write_bytes(png16(array))
    for name in ("a.tif", "a.png"):
        data = (tmp_path / name).read_bytes()
        for share in (0.1, 0.5, 0.95):
            (tmp_path / name).write_bytes(data[: int(len(data) * share)])
            assert name in refused(tmp_path / name)


def test_bombs_are_refused_from_the_header(tmp_path):
    head = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    bomb = png.SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(bomb)
    assert "400.0 megapixels" in refused(tmp_path / "a.png")
    exactly = struct.pack(">IIBBBBB", 10000, 10000, 8, 2, 0, 0, 0)
    (tmp_path / "b.png").write_bytes(bomb.replace(chunk(b"IHDR", head), chunk(b"IHDR", exactly)))
    assert "decoded" in refused(tmp_path / "b.png")  # 100 megapixels pass the limit; this file holds no pixels
    pil(values(10, 10, 3), "RGB").save(tmp_path / "c.webp")
    assert "limit" in refused(tmp_path / "c.webp", max_pixels=99)
    assert open_picture(tmp_path / "c.webp", max_pixels=100).width == 10
    (tmp_path / "d.bmp").write_bytes(
        b"BM" + struct.pack("<IHHIIIIHH", 99, 0, 0, 54, 40, 60000, 60000, 1, 24) + bytes(30)
    )
    assert "megapixels" in refused(tmp_path / "d.bmp")


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_text("hello, I am text")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(png.SIGNATURE + b"more")
    Image.new("P", (3, 3)).save(tmp_path / "d.gif")
    assert "convert it to PNG" in refused(tmp_path / "a.png")
    assert "empty" in refused(tmp_path / "b.png")
    assert "damaged" in refused(tmp_path / "c.png")
    assert "convert it to PNG" in refused(tmp_path / "d.gif")
    assert "does not exist" in refused(tmp_path / "none.png")
    assert "is a folder" in refused(tmp_path)
    assert "cannot be read" in refused(tmp_path / "a.png" / "b.png")


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_several_pages_or_frames_are_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert "pages or frames" in refused(tmp_path / f"a.{suffix}")


def test_other_depths_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png16(values(4, 4, 2, np.uint16)))
    assert "grey with alpha" in refused(tmp_path / "a.png")
    key = chunk(b"tRNS", struct.pack(">H", 7))
    (tmp_path / "b.png").write_bytes(png16(values(4, 4, 1, np.uint16), key))
    assert "transparency" in refused(tmp_path / "b.png")
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((4, 4)))
    assert "c.tif" in refused(tmp_path / "c.tif")
    tifffile.imwrite(tmp_path / "d.tif", values(4, 4, 4, np.uint16), photometric="separated")
    assert "16-bit" in refused(tmp_path / "d.tif")


# Writing whole or not at all -----------------------------------------------------------------------------------------


def test_existing_files_are_kept_unless_asked(tmp_path):
    picture = open_picture(values(3, 3, 3))
    write_picture(picture, tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(InputError, match="exists"):
        write_picture(open_picture(values(3, 3, 3, seed=1)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    (tmp_path / "a.png").chmod(0o640)
    write_picture(open_picture(values(3, 3, 3, seed=1)), tmp_path / "a.png", overwrite=True)
    assert (tmp_path / "a.png").read_bytes() != before
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("nameless", [True, False])
def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch, nameless):
    if not nameless:  # as on systems that have no files without a name
        monkeypatch.setattr(files, "_nameless", lambda folder: None)
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        others = [entry.name for entry in tmp_path.iterdir() if entry.name != "a.txt"]
        assert all(name.startswith(".retouche-") and str(os.getpid()) in name for name in others)
        assert not (others and files._nameless(tmp_path))
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "before"
    with pytest.raises(InputError, match="No space left"), atomic_write(tmp_path / "a.txt") as temporary:
        raise OSError(28, "No space left on device")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("after")
    assert (tmp_path / "a.txt").read_text() == "after"


def test_folders_that_cannot_take_a_file(tmp_path):
    picture = open_picture(values(3, 3, 3))
    with pytest.raises(InputError, match="make it first"):
        write_picture(picture, tmp_path / "none" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_picture(picture, tmp_path / "folder.png", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="make it first"):
        write_picture(picture, tmp_path / "file" / "a.png")


def test_folders_made_for_a_file_go_with_it(tmp_path):
    """Before: a full disk left the new folders of the file that was not written."""
    (tmp_path / "kept").mkdir()
    with (
        pytest.raises(InputError, match="No space left"),
        atomic_write(tmp_path / "kept" / "new" / "newer" / "a.txt", parents=True),
    ):
        raise OSError(28, "No space left on device")
    assert [entry.name for entry in tmp_path.rglob("*")] == ["kept"]
    with atomic_write(tmp_path / "kept" / "new" / "newer" / "a.txt", parents=True) as temporary:
        temporary.write_text("after")
    assert (tmp_path / "kept" / "new" / "newer" / "a.txt").read_text() == "after"
    with (
        pytest.raises(InputError, match="No space left"),
        atomic_write(tmp_path / "kept" / "new" / "b.txt", parents=True),
    ):
        raise OSError(28, "No space left on device")
    assert (tmp_path / "kept" / "new" / "newer" / "a.txt").is_file()
    with (
        pytest.raises(InputError, match="cannot be made"),
        atomic_write(tmp_path / "kept" / "new" / "newer" / "a.txt" / "b" / "c.txt", parents=True),
    ):
        raise AssertionError
    with (
        pytest.raises(InputError, match="exists"),
        atomic_write(tmp_path / "kept" / "new" / "newer" / "a.txt", overwrite=False, parents=True),
    ):
        raise AssertionError


def test_a_folder_that_refuses(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(files, "_nameless", lambda folder: None)
    with pytest.raises(InputError, match="Permission denied"):
        write_picture(open_picture(values(3, 3, 3)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.png").write_bytes(b"")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_picture(open_picture(values(3, 3, 3)), tmp_path / "link.png", overwrite=True)
    assert (tmp_path / "link.png").is_symlink() and open_picture(tmp_path / "real.png").width == 3
