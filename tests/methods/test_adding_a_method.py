"""CONTRIBUTING.md's promise: a method is one file and one line, and everything else follows."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import retouche
from retouche.methods import METHODS, find

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def my_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    text = CONTRIBUTING.read_text()
    code = text[text.index("```python") + len("```python") :]
    (tmp_path / "my_method.py").write_text(textwrap.dedent(code[: code.index("   ```")]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(METHODS, "my-method", "my_method")
    yield "my-method"
    find.cache_clear()


def test_one_file_and_one_line(my_method: str, tmp_path: Path) -> None:
    assert my_method in retouche.methods()
    model = retouche.create(my_method, seed=3)
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    mask = np.zeros((37, 53), bool)
    mask[10:20, 20:35] = True
    filled = model(picture, mask, dilate=0)
    assert np.array_equal(filled[~mask], picture[~mask])
    assert not np.array_equal(filled[mask], picture[mask])
    model.save(tmp_path / "mine.safetensors")
    again = retouche.load(tmp_path / "mine.safetensors")
    assert again.method == my_method and again.config == model.config
    assert np.array_equal(again(picture, mask, dilate=0), filled)
