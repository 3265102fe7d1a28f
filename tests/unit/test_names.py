"""Names of other programs' models stand for the default with a remark; all others stay."""

from pathlib import Path

import pytest

from retouche.inference.names import resolve_name

FOREIGN = (
    *("lama", "LaMa", "ldm", "zits", "mat", "fcf", "manga", "cv2", "migan"),
    *("sd1.5", "sd2", "sdxl", "anything4", "realisticVision1.4"),
    *("runwayml/stable-diffusion-inpainting", "Sanster/PowerPaint-V1-stable-diffusion-inpainting"),
)


@pytest.mark.parametrize("typed", FOREIGN)
def test_foreign_names_use_the_default_with_a_remark(typed: str) -> None:
    name, remark = resolve_name(typed)
    assert name == "default" and remark is not None and typed in remark


@pytest.mark.parametrize(
    "typed", ["default", "mean", "aot-gan", "deepfill-v2:places2", "deepfil-v2", "nosuch/file.pth"]
)
def test_other_names_stay(typed: str) -> None:
    assert resolve_name(typed) == (typed, None)


def test_a_file_of_that_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lama").mkdir()
    assert resolve_name("lama") == ("lama", None)
