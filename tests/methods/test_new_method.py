"""`scripts/new-method NAME` makes a file that passes what is asked of every method."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def new_method(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "new-method"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the package to which a method may be added."""
    ignored = shutil.ignore_patterns("__pycache__", "apps")
    shutil.copytree(ROOT / "src" / "retouche", tmp_path / "retouche", ignore=ignored)
    return tmp_path


@pytest.mark.slow
def test_what_it_makes_passes_the_tests_of_every_method(source: Path, tmp_path: Path) -> None:
    name = "fresh-net2"
    made = new_method(name, "--title", "Fresh net (Somebody 2026)", "--source", str(source))
    assert made.returncode == 0, made.stderr
    written = (source / "retouche" / "methods" / "fresh_net2.py").read_text()
    assert "Fresh net (Somebody 2026)" in written and "class FreshNet2Generator" in written
    assert "my method" not in written.lower() and "class My" not in written
    again = new_method(name, "--source", str(source))
    assert again.returncode == 2 and "choose another name" in again.stderr
    tests = str(ROOT / "tests" / "methods" / "test_methods.py")
    command = [sys.executable, "-m", "pytest", tests, "-k", name, "-p", "no:cacheprovider", "-rA"]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-2000:]
    assert run.stdout.count("PASSED") >= 8 and f"[{name}:paper]" in run.stdout and "SKIPPED" not in run.stdout


@pytest.mark.parametrize("name", ["Fresh", "fresh_net", "-x", "../x", "lama", "2net"])
def test_names_that_are_none_or_taken(name: str, tmp_path: Path) -> None:
    package = tmp_path / "retouche" / "methods"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "src" / "retouche" / "methods" / "__init__.py", package)
    before = (package / "__init__.py").read_bytes()
    made = new_method("--source", str(tmp_path), "--", name)
    assert made.returncode == 2 and len(made.stderr.splitlines()) == 1
    assert (package / "__init__.py").read_bytes() == before and len(list(package.iterdir())) == 1
