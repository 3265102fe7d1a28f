"""Names come before folders; other programs' names are refused with what is nearest."""

from pathlib import Path

import pytest

from retouche.errors import InputError
from retouche.inference.names import foreign, known, resolve
from retouche.methods import CLASSICAL, methods

FOREIGN = (
    *("ldm", "zits", "MAT", "fcf", "manga", "cv2", "anime-manga-big-lama"),
    *("sd1.5", "sd2", "sdxl", "anything4", "realisticVision1.4"),
    *("runwayml/stable-diffusion-inpainting", "Sanster/PowerPaint-V1-stable-diffusion-inpainting"),
)


@pytest.mark.parametrize("typed", FOREIGN)
def test_foreign_names_are_refused_with_what_is_nearest(typed: str) -> None:
    with pytest.raises(InputError, match=f'^no model "{typed}": .*"default" needs no download') as said:
        resolve(typed)
    near = str(said.value).partition("nearest is ")[2].split('"')[1::2]
    assert {*near} <= {*methods(), *CLASSICAL, "default"}


@pytest.mark.parametrize("typed", ["default", "mean", "aot-gan", "deepfill-v2:places2", "deepfill-v2:no-such", "fsr"])
def test_known_names_stay(typed: str) -> None:
    assert resolve(typed) == known(typed) == typed
    assert foreign(typed) is None


@pytest.mark.parametrize("name", ["default", "exemplar", "aot-gan", "telea"])
def test_a_folder_or_file_of_a_known_name_does_not_capture_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert resolve(name) == name
    for path in (f"./{name}", Path(name), str(tmp_path / name)):
        assert resolve(path) == Path(path)


def test_a_folder_of_a_name_that_is_not_ours_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zits").mkdir()
    (tmp_path / "snap-7.index").touch()
    assert resolve("zits") == Path("zits")
    assert resolve("snap-7") == Path("snap-7"), "a TensorFlow checkpoint's prefix"
    assert resolve("nosuch/file.pth") == Path("nosuch/file.pth")


@pytest.mark.parametrize("word", ["deepfil-v2", "", "a\0b", "x" * 5000, "é" * 300, ":", ":tag"])
def test_other_words_are_refused_in_one_line(word: str) -> None:
    with pytest.raises(InputError, match=r"^no method .*known: ") as said:
        resolve(word)
    assert "\n" not in str(said.value) and len(str(said.value)) < 1000
