"""The editor's windows and resizing are those of `retouche.runtime`, value for value, before one arithmetic."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retouche import runtime

HERE = Path(__file__).parent
KINDS: dict[str, dict[str, Any]] = {
    "free": {},
    "one side": {"only": 96, "hole": 48},
    "centre": {"only": 64, "hole": 32, "centre": [64, 32]},
}


def stand(feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """What `windows.mjs` has in the network's place."""
    given = feeds["picture" if "picture" in feeds else "image"]
    at, flat = np.arange(given.size), given.reshape(-1)
    shown = flat[(at * 7 + 13) % flat.size]
    if given.dtype == np.float32:
        return (shown * np.float32(0.875)).reshape(given.shape)
    strokes = feeds["sketch"].reshape(-1) if "sketch" in feeds else np.zeros(1, np.uint8)
    made = shown.astype(int) + at % 50 + strokes[(at * 5) % strokes.size]
    return (made & 255).astype(np.uint8).reshape(given.shape)


def case(random: np.random.Generator, kind: str) -> dict[str, Any]:
    """A picture of noise with boxes for holes, and what a network says of its windows."""
    while True:
        height, width = (int(side) for side in random.integers(1, 400, 2))
        hole = np.zeros((height, width), bool)
        for _ in range(random.integers(1, 5)):
            y, x = random.integers(0, height), random.integers(0, width)
            hole[y : y + random.integers(1, max(2, height // 2)), x : x + random.integers(1, max(2, width // 3))] = True
        if not hole.all():
            break
    window: dict[str, Any] = {
        "multiple": int(random.choice([1, 4, 8])),
        "smallest": int(random.choice([8, 32])),
        "only": 0,
        "hole": int(random.integers(20, 300)),
        "side": int(random.integers(64, 400)),
        "context": float(random.choice([0.5, 1, 2])),
        "centre": None,
        **KINDS[kind],
    }
    form = str(random.choice(["pipeline", "network"]))
    sketch = random.random((height, width)) < 0.01 if form == "pipeline" and random.random() < 0.5 else None
    names = ["picture" if form == "pipeline" else "image", "mask", *([] if sketch is None else ["sketch"])]
    picture = random.integers(0, 256, (height, width, 3), np.uint8)
    return {"picture": picture, "hole": hole, "sketch": sketch, "window": window, "form": form, "inputs": names}


def packed(one: dict[str, Any]) -> str:
    def text(values: np.ndarray | None) -> str | None:
        return None if values is None else base64.b64encode(values.astype(np.uint8).tobytes()).decode()

    height, width = one["hole"].shape
    rgba = np.dstack([one["picture"], np.full((height, width), 200, np.uint8)])
    texts = {"rgba": text(rgba), "hole": text(one["hole"]), "sketch": text(one["sketch"])}
    return json.dumps(
        {**{key: one[key] for key in ("window", "form", "inputs")}, **texts, "width": width, "height": height}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_fills_are_those_of_the_runtime(kind: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node here")
    random = np.random.default_rng(sum(kind.encode()))
    cases = [case(random, kind) for _ in range(12)]
    done = subprocess.run(
        [node, str(HERE / "windows.mjs")], input="\n".join(map(packed, cases)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for one, line in zip(cases, done.stdout.splitlines(), strict=True):
        facts = {"window": one["window"], "form": one["form"], "inputs": " ".join(one["inputs"]), "method": "stand-in"}
        network = runtime.Network(stand, facts)
        expected = runtime.fill(one["picture"], one["hole"], network, sketch=one["sketch"])
        made = json.loads(line)
        rgba = np.frombuffer(base64.b64decode(made["rgba"]), np.uint8).reshape(*one["hole"].shape, 4)
        assert np.array_equal(rgba[..., :3], expected) and (rgba[..., 3] == 200).all()
        # each part alone gives the same: it holds all that its windows show
        alone = one["picture"].copy()
        for box in made["parts"]:
            part = np.s_[box["top"] : box["bottom"], box["left"] : box["right"]]
            sketch = None if one["sketch"] is None else one["sketch"][part]
            if not one["hole"][part].all():
                alone[part] = runtime.fill(alone[part], one["hole"][part], network, sketch=sketch)
        assert np.array_equal(alone, expected)


def test_files_that_say_what_cannot_be_are_not_believed() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node here")
    done = subprocess.run([node, "--test", str(HERE / "facts.test.mjs")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
