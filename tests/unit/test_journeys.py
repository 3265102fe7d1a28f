"""The six journeys of ARCHITECTURE.md: every function they name is there, and a fill passes those and no others."""

from __future__ import annotations

import importlib
import re
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import retouche
from retouche.apps import cli
from retouche.methods.context_encoder import ContextEncoder

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "retouche"
STEP = re.compile(r"`([\w/]+\.(?:py|js)): ([\w.]+)`")
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Six journeys\n")[1].split("\n## ")[0]
JOURNEYS = {part.partition("**")[0]: STEP.findall(part) for part in TEXT.split("\n**")[1:]}


def test_there_are_six() -> None:
    assert list(JOURNEYS) == ["A picture", "A batch", "A checkpoint", "A request", "A gesture", "An evaluation"]
    assert all(len(steps) > 3 for steps in JOURNEYS.values())


@pytest.mark.parametrize("journey", JOURNEYS)
def test_every_function_is_there(journey: str) -> None:
    for file, name in JOURNEYS[journey]:
        if file.endswith(".js"):
            assert re.search(rf"\bfunction {name}\b", (SOURCE / file).read_text(encoding="utf-8")), (file, name)
            continue
        found: Any = importlib.import_module(
            "retouche." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        )
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found), (file, name)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journeys")
    hole = np.zeros((64, 64), np.uint8)
    hole[20:30, 20:30] = 255
    for name in ("one.png", "two.png"):
        for kind, pixels in (("in", np.full((64, 64, 3), 90, np.uint8)), ("masks", hole)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / name)
    retouche.create("context-encoder").save(folder / "weights.safetensors")
    return folder


@pytest.mark.parametrize(("journey", "name"), [("A picture", "/one.png"), ("A batch", "")])
def test_a_fill_passes_these_and_no_others(
    journey: str, name: str, files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    passed: list[tuple[str, str]] = []
    forward = ContextEncoder.forward

    def watched(*args: Any, **words: Any) -> Any:
        frames = [(Path(frame.filename), frame.name) for frame in traceback.extract_stack()]
        passed[:] = [(file.relative_to(SOURCE).as_posix(), name) for file, name in frames if SOURCE in file.parents]
        return forward(*args, **words)

    monkeypatch.setattr(ContextEncoder, "forward", watched)
    words = ["--image", f"{files}/in{name}", "--mask", f"{files}/masks{name}", "--output", f"{tmp_path}/out{name}"]
    assert cli.main(["run", "--model", f"{files}/weights.safetensors", *words]) == 0
    told = [(file, step.split(".")[-1]) for file, step in JOURNEYS[journey]]
    if journey != "A picture":  # "and on as a picture"
        picture = [(file, step.split(".")[-1]) for file, step in JOURNEYS["A picture"]]
        told += picture[picture.index(told[-1]) + 1 :]
    assert passed == told
