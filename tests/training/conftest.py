"""The tiny method is known to all tests of this folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def tiny_method(monkeypatch):
    import retouche.methods as methods

    monkeypatch.setitem(methods.METHODS, "tiny", "tiny")
    methods.find.cache_clear()
    yield
    methods.find.cache_clear()


@pytest.fixture
def pictures(tmp_path):
    from tiny import write_pictures

    write_pictures(tmp_path / "pictures")
    return tmp_path / "pictures"
