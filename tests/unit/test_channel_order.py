"""Networks that were trained on blue, green, red: everybody gives and gets red, green, blue all the same."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import about, filled
from PIL import Image
from safetensors.torch import load_file as load_safetensors
from torch import Tensor

import retouche
from retouche.apps.cli import main
from retouche.errors import InputError, WeightsError
from retouche.methods import METHODS, find
from retouche.methods.method import Generator, Prediction
from retouche.weights.native import write_safetensors

BOTH = [("deepfill-v1", "deepfillv1-mmagic"), ("deepfill-v2", "deepfillv2-mmagic")]


@cache
def mmagic(golden: str) -> dict[str, Tensor]:
    facts = about(golden)
    return filled(facts["params"], 3, 1.0)


@pytest.fixture
def published(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    torch.save({"state_dict": mmagic(request.param)}, tmp_path / "published.pth")
    return tmp_path / "published.pth"


def red() -> tuple[Tensor, Tensor]:
    """A strongly red picture with a hole."""
    random = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 72, 80, generator=random) - 0.5 + torch.tensor([0.5, -0.4, -0.5]).view(1, 3, 1, 1)
    mask = torch.zeros(1, 1, 72, 80)
    mask[..., 20:50, 30:60] = 1
    return image, mask


@torch.inference_mode()
def fill(model: retouche.Model, exchanged: bool = False) -> Prediction:
    image, mask = red()
    assert model.generator is not None
    return model.generator(image.flip(1) if exchanged else image, mask)


@pytest.mark.parametrize(("method", "published"), BOTH, indirect=["published"])
def test_the_door_of_a_file_of_mmagic(method: str, published: Path, tmp_path: Path) -> None:
    model, plain = retouche.load(published), retouche.load(published, order="rgb")
    assert (model.method, model.layout, model.generator.order, plain.generator.order) == (
        method,
        "mmagic",
        "bgr",
        "rgb",
    )
    seen = fill(model)
    inside = fill(plain, exchanged=True)  # what the layers themselves make of the picture in their order
    for name in ("refined", "coarse"):
        assert torch.equal(getattr(seen, name), getattr(inside, name).flip(1))
        assert (getattr(seen, name) - getattr(fill(plain), name)).abs().max() > 0.01  # colours are not exchangeable
    # kept by saving, by converting, and by files that were converted before there was a word for it
    model.save(tmp_path / "saved.safetensors")
    assert main(["convert", str(published), str(tmp_path / "converted.safetensors")]) == 0
    header = retouche.load(tmp_path / "converted.safetensors").header
    old = {key: value for key, value in header.items() if key != "order"}
    write_safetensors(tmp_path / "old.safetensors", load_safetensors(tmp_path / "converted.safetensors"), old)
    for file in ("saved", "converted", "old"):
        again = retouche.load(tmp_path / f"{file}.safetensors")
        assert again.generator.order == "bgr" and torch.equal(fill(again).refined, seen.refined)
    assert main(["convert", str(published), str(tmp_path / "rgb.safetensors"), "--order", "rgb"]) == 0
    assert torch.equal(fill(retouche.load(tmp_path / "rgb.safetensors")).refined, fill(plain).refined)


@pytest.mark.parametrize("name", [name for name in METHODS if find(name).build is not None])
def test_every_generator_has_the_door(name: str) -> None:
    generator = retouche.create(name).generator
    assert isinstance(generator, Generator) and generator.order == "rgb"
    side = max(generator.smallest, 2 * generator.multiple)
    if find(name).scope(retouche.create(name).config).centre or generator.largest:
        side = generator.smallest
    side += -side % generator.multiple
    side = min(side, generator.largest or side)
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mask = torch.zeros(1, 1, side, side)
    mask[..., side * 3 // 8 : side * 5 // 8, side * 3 // 8 : side * 5 // 8] = 1
    with torch.inference_mode():
        inside = generator(image.flip(1), mask)
        generator.order = "bgr"
        seen = generator(image, mask)
    for word in ("refined", "coarse", "structure"):
        one, other = getattr(seen, word), getattr(inside, word)
        assert (one is None) == (other is None) and (one is None or torch.equal(one, other.flip(1)))
    assert seen.flow is None or torch.equal(seen.flow, inside.flow)
    with pytest.raises(InputError, match="give a float tensor"):
        generator(image[0], mask)


def colours(path: Path) -> tuple[int, ...]:
    return tuple(np.asarray(Image.open(path).convert("RGB"))[24, 24].tolist())


def test_one_picture_shows_both_orders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file whose order is not known, made to fill with what its first channel is: red or blue."""
    shapes = about("deepfillv2-tf")["params"]
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    tensors["allconv17.conv.bias"] = torch.tensor([2.0, -2.0, -2.0])
    torch.save({"G": tensors}, tmp_path / "states.pth")
    Image.new("RGB", (48, 48), (200, 30, 30)).save(tmp_path / "red.png")
    mask = np.zeros((48, 48), np.uint8)
    mask[16:32, 16:32] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert [layout.order_source for layout in find("deepfill-v2").layouts if layout.name == "tf"] == [""]
    given = ["--image", str(tmp_path / "red.png"), "--mask", str(tmp_path / "mask.png")]
    for order, expected in (("rgb", (250, 5, 5)), ("bgr", (5, 5, 250))):
        file = str(tmp_path / f"{order}.safetensors")
        assert main(["convert", str(tmp_path / "states.pth"), file, "--order", order]) == 0
        out = str(tmp_path / f"{order}.png")
        assert main(["run", *given, "--output", out, "--model", file, "--dilate", "0"]) == 0
        assert colours(Path(out)) == expected
    capsys.readouterr()
    sheet = ["--output", str(tmp_path / "sheet.png"), "--orders", "--json", "--dilate", "0"]
    assert main(["compare", *given, *sheet, "--model", str(tmp_path / "states.pth")]) == 0
    assert [row["order"] for row in json.loads(capsys.readouterr().out)["models"]] == ["rgb", "bgr"]
    seen = {tuple(pixel) for pixel in np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).reshape(-1, 3)}
    assert {(250, 5, 5), (5, 5, 250)} <= seen
    assert main(["compare", *given, *sheet, "--overwrite", "--model", "harmonic"]) == 2  # it has no network
    assert "leave order out" in capsys.readouterr().err


def test_unknown_orders_are_refused(tmp_path: Path) -> None:
    model = retouche.create("structural")
    model.save(tmp_path / "own.safetensors")
    with pytest.raises(InputError, match="give one of rgb, bgr"):
        retouche.load(tmp_path / "own.safetensors", order="grb")  # type: ignore[arg-type]
    header = {**retouche.load(tmp_path / "own.safetensors").header, "order": "grb"}
    write_safetensors(tmp_path / "odd.safetensors", load_safetensors(tmp_path / "own.safetensors"), header)
    with pytest.raises(WeightsError, match='"grb": update'):
        retouche.load(tmp_path / "odd.safetensors")


def test_every_layout_states_its_order() -> None:
    """Those without a source are the ones of which nobody knows."""
    unknown = {(name, layout.name) for name in METHODS for layout in find(name).layouts if not layout.order_source}
    assert unknown == {("deepfill-v1", "daa233-converted"), ("deepfill-v2", "tf")}
    turned = {(name, layout.name) for name in METHODS for layout in find(name).layouts if layout.order == "bgr"}
    assert turned >= {("deepfill-v1", "mmagic"), ("deepfill-v2", "mmagic")}
