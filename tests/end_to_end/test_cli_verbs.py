"""The `retouche` command as a whole, and the verbs that look, compare and verify."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouche import __version__
from retouche.apps.cli import VERBS, main, terminal
from retouche.errors import InputError


@pytest.fixture
def here(tmp_path: Path) -> Path:
    y, x = np.mgrid[:48, :64]
    Image.fromarray(np.stack([4 * x, 5 * y, x + y], axis=2).astype(np.uint8)).save(tmp_path / "photo.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[16:30, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_help_names_every_verb_and_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in VERBS)
    heavy = "{'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules)"
    code = f"import sys; from retouche.apps.cli import main; main(['run', '--help']); print({heavy})"
    help_text = python(code)
    assert help_text.endswith("set()") and "retouche run --image photo.jpg --mask mask.png" in help_text


def test_check_and_the_version_need_no_torch(tmp_path: Path) -> None:
    before, mask = np.full((16, 16, 3), 9, np.uint8), np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    for name, pixels in (("before.png", before), ("after.png", before), ("mask.png", mask)):
        Image.fromarray(pixels).save(tmp_path / name)
    words = ["check", *(str(tmp_path / name) for name in ("before.png", "after.png", "mask.png"))]
    code = "import sys; from retouche.apps.cli import main; print(main({}), 'torch' in sys.modules)"
    assert python(code.format(words)).endswith("0 False")
    assert python(code.format(["--version"])).endswith("0 False")


def test_a_fill_by_the_default_imports_only_what_it_uses(tmp_path: Path) -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[30:66, 30:66] = 255
    for name, pixels in (("picture.png", np.arange(96 * 96 * 3).reshape(96, 96, 3) % 251), ("mask.png", mask)):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
    picture, hole, filled = (str(tmp_path / name) for name in ("picture.png", "mask.png", "filled.png"))
    words = ["run", "--image", picture, "--mask", hole, "--output", filled, "--threads", "1"]
    others = (
        "{'tifffile', 'onnx', 'PIL.ImageCms', 'retouche.export.write', 'retouche.apps.batch.paged', "
        "'retouche.layers.attention', 'retouche.methods.aot_gan'}"
    )
    code = f"import sys; from retouche.apps.cli import main; print(main({words}), {others} & set(sys.modules))"
    assert python(code).endswith("0 set()")


@pytest.mark.parametrize("words", [["models"], ["models", "--json"]])
def test_the_list_of_models_needs_no_torch(words: list[str]) -> None:
    code = "import sys; from retouche.apps.cli import main; print(main({}), 'torch' in sys.modules)"
    assert python(code.format(words)).endswith("0 False")


def test_importing_the_package_brings_no_application() -> None:
    code = (
        "import sys, retouche; retouche.load, retouche.Model; "
        "print({'tyro', 'rich', 'tensorboard', 'fastapi', 'skimage', 'scipy'} & set(sys.modules))"
    )
    assert python(code) == "set()"
    assert python("import sys, retouche; print({'torch', 'PIL', 'tyro'} & set(sys.modules))") == "set()"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"retouche {verb}" in said and "examples:" in said
    module = importlib.import_module(VERBS[verb].module)
    assert module.__doc__ and module.Options


def test_version_and_unknown_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"retouche {__version__}"
    assert main(["rnu"]) == 2
    assert 'did you mean "run"' in capsys.readouterr().err
    assert main([]) == 2


def test_check_says_where_and_ends_with_the_verdict(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after, mask = (str(here / name) for name in ("photo.png", "after.png", "mask.png"))
    with Image.open(before) as image:
        changed = np.array(image)
    changed[20, 30] = 0
    Image.fromarray(changed).save(after)
    assert main(["check", before, after, mask]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "kept"
    changed[2, 3, 0] += 9
    Image.fromarray(changed).save(after)
    assert main(["check", before, after, mask]) == 1
    said = capsys.readouterr().out
    assert "9 at (3, 2)" in said and said.splitlines()[-1] == "violated"
    assert main(["check", before, after, mask, "--json", "--dilate", "25"]) == 0
    assert json.loads(capsys.readouterr().out)["dilate"] == 25
    assert main(["check", before, str(here / "gone.png"), mask]) == 2
    assert main(["check", before, str(here), mask]) == 2


def test_compare_makes_one_sheet(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--image", str(here / "photo.png"), "--mask", str(here / "mask.png"), "--output", str(here / "sheet.png")]
    assert main(["compare", *files, "--model", "mean", "harmonic", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in said["models"]] == ["mean", "harmonic"]
    with Image.open(here / "sheet.png") as sheet:
        assert sheet.width > 2 * 64 and sheet.height > 2 * 48
    assert main(["compare", *files, "--model", "mean"]) == 2  # it exists
    assert main(["compare", *files, "--model", "nosuch", "--overwrite"]) == 2
    assert main(["compare", *files[:-1], str(here / "photo.png"), "--model", "mean", "--overwrite"]) == 2


def test_models_lists_fills_and_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETOUCHE_HOME", str(tmp_path))
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["harmonic"]["installed"] and rows["harmonic"]["kind"] == "fill without weights"
    assert "train it" in rows["sii-gan"]["where"] and not rows["sii-gan"]["installed"]
    published = rows["aot-gan:places2"]
    assert published["licence"] and published["sha256"] and not published["installed"]
    assert sum(row["default"] for row in rows.values()) >= 1
    assert main(["models"]) == 0
    assert "the default" in capsys.readouterr().out


def test_doctor_fills_a_test_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETOUCHE_HOME", str(tmp_path / "none"))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["ok"] and found["device"]["why"] and found["versions"]["torch"]
    assert found["cache"]["weights"].startswith(str(tmp_path)) and not (tmp_path / "none").exists()


def test_a_closed_pipe_is_no_error() -> None:
    words = [sys.executable, "-m", "retouche", "--help"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141 and said == b""


@pytest.mark.parametrize(
    ("text", "count"),
    [("2GiB", 2 << 30), ("800MB", 800_000_000), ("1.5g", 1_500_000_000), ("4096", 4096), ("1 kib", 1024)],
)
def test_sizes(text: str, count: int) -> None:
    assert terminal.parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1", "0", "2 GiB free"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(InputError, match="is no size"):
        terminal.parse_bytes(text)
