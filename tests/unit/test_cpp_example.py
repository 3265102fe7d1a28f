"""`examples/cpp/fill.cpp`, compiled and run: the same bytes as from Python.

Headers: the folder that ORT_INCLUDE names, else those of the system, else the few declarations of `tests/cpp`. The
library is the one inside Python's package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported import exported, photograph
from PIL import Image

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

ROOT = Path(__file__).parents[2]
HEADER = "onnxruntime_c_api.h"
SYSTEM = ("/usr/include/onnxruntime", "/usr/local/include/onnxruntime", "/usr/include", "/usr/local/include")


def headers() -> Path:
    """The folder of the C API's header."""
    places = [os.environ.get("ORT_INCLUDE", ""), *SYSTEM, str(ROOT / "tests/cpp")]
    return next(Path(place) for place in places if place and (Path(place) / HEADER).is_file())


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, compiled."""
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here: c++, g++ or clang++")
    if sys.platform != "linux":
        pytest.skip("linked on Linux only: elsewhere Python's package has no library that a linker takes")
    library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"), None)
    if library is None:
        pytest.skip("this build of onnxruntime has no libonnxruntime.so")
    folder = tmp_path_factory.mktemp("cpp")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(library)
    words = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", ROOT / "examples/cpp/fill.cpp", "-I", headers()]
    words += ["-L", folder, f"-Wl,-rpath,{folder}", "-lonnxruntime", "-o", folder / "fill"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "fill"


def run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *map(str, words)], capture_output=True, text=True)


def test_the_same_bytes_as_from_python(program: Path, tmp_path: Path) -> None:
    from retouche.engines.onnx_file import open_onnx
    from retouche.engines.sessions import open_session

    picture, mask = photograph(61, 83), np.zeros((61, 83), np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(picture).save(tmp_path / "p.ppm")
    Image.fromarray(mask).save(tmp_path / "m.pgm")
    done = run(program, exported("pipeline"), tmp_path / "p.ppm", tmp_path / "m.pgm", tmp_path / "f.ppm")
    assert done.returncode == 0, done.stderr
    filled = np.asarray(Image.open(tmp_path / "f.ppm"))
    expected = open_session(open_onnx(exported("pipeline")))({"picture": picture[None], "mask": mask[None]})[0]
    assert np.array_equal(filled, expected) and (filled != picture).any()
    assert np.array_equal(filled[mask == 0], picture[mask == 0])


def test_what_it_cannot_use_is_one_line(program: Path, tmp_path: Path) -> None:
    Image.fromarray(photograph(61, 83)).save(tmp_path / "p.ppm")
    Image.fromarray(np.zeros((61, 82), np.uint8)).save(tmp_path / "m.pgm")
    Image.fromarray(np.zeros((61, 83), np.uint8)).save(tmp_path / "fits.pgm")
    (tmp_path / "short.ppm").write_bytes((tmp_path / "p.ppm").read_bytes()[:-1])
    picture, output = tmp_path / "p.ppm", tmp_path / "f.ppm"
    for words, said in (
        ((), "usage"),
        ((exported("pipeline"), picture, tmp_path / "m.pgm", output), "size"),
        ((exported("pipeline"), tmp_path / "m.pgm", picture, output), "PPM"),
        ((exported("pipeline"), tmp_path / "short.ppm", tmp_path / "fits.pgm", output), "too soon"),
        ((tmp_path / "none.onnx", picture, tmp_path / "fits.pgm", output), "none.onnx"),
        ((exported("pipeline"), picture, tmp_path / "fits.pgm", tmp_path / "none/f.ppm"), "written"),
    ):
        done = run(program, *words)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, (words, done.stderr)
        assert not output.exists()
