"""The commands of docs/http.md, run as they stand there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from serving import encoded, hole, scene, serving

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
CURL = shutil.which("curl")


def blocks() -> list[str]:
    found = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [block for block in found if "curl" in block]


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_every_example_runs(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for folder in (tmp_path, tmp_path / "photos"):
        (folder / "photo.jpg").write_bytes(encoded(scene(), "JPEG", quality=90))
    (tmp_path / "mask.png").write_bytes(encoded(hole()))
    with serving(input=tmp_path / "photos", output=tmp_path) as client:
        address = str(client.base_url).rstrip("/")
        for block in blocks():
            script = block.replace("http://127.0.0.1:8080", address)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, (block, done.stdout, done.stderr)
    for name in ("filled.jpg", "grown.png", "shown.png", "copy.jpg"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (80, 60)
            assert image.format == {".jpg": "JPEG", ".png": "PNG"}[Path(name).suffix]
    assert (tmp_path / "photo.jpg.retouche.json").exists()


def test_the_page_has_examples() -> None:
    assert len(blocks()) >= 6
