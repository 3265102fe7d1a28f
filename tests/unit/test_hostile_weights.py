"""Foreign files that mean harm: none executed, none beyond its size in memory or time, one line for each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile_files
import pytest

from retouche.weights.border import MEMORY

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are Linux's")

CPU_SECONDS = 2.0


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What every door said to every file."""
    folder = tmp_path_factory.mktemp("hostile")
    driver = Path(__file__).with_name("hostile_driver.py")
    ran = subprocess.run([sys.executable, str(driver), str(folder)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert not list(folder.rglob(hostile_files.FUSE)), "code was executed"
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_every_file_went_through_every_door(answers: list[dict[str, Any]]) -> None:
    assert len(hostile_files.FILES) >= 40
    assert {(answer["file"], answer["door"]) for answer in answers} == {
        (file, door) for file in hostile_files.FILES for door in ("load", "convert", "models", "run")
    }


@pytest.mark.parametrize("file", hostile_files.FILES)
def test_a_hostile_file_is_refused_in_one_line(answers: list[dict[str, Any]], file: str) -> None:
    for answer in answers:
        if answer["file"] != file:
            continue
        said = answer["said"]
        lines = [line for line in said.splitlines() if line.startswith("retouche: ")]
        wanted = (0, 0) if answer["door"] == "models" else (2, 1)
        assert (answer["code"], len(lines)) == wanted, answer
        assert "Traceback" not in said, answer
        assert all(line.isprintable() and len(line) < 1000 for line in lines), answer
        assert MEMORY not in said, f"it asked for 500 MB beyond the file: {answer}"
        assert answer["seconds"] < CPU_SECONDS, answer
