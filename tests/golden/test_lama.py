"""LaMa gives the published network's numbers for published names, by either way through its layers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from helpers import about, arrays, assert_close, filled
from torch import Tensor

import retouche
from retouche.inference.model import Model
from retouche.layers import fourier, winograd
from retouche.layers.fourier import SpectralTransform
from retouche.methods.lama import FIRST_BLOCK, LamaConfig, LamaGenerator

TOLERANCE = 2e-5  # the published code in float32 is up to 2e-6 from the stored float64 results
FEATURES = 1e-4  # of the largest value
GENERATORS = {"lama-generator": 18, "lama-fourier-generator": 9}


@cache
def published(name: str) -> dict[str, Tensor]:
    said = about(name)
    return filled(said["params"], said["seed"], said["gain"])


@cache
def _loaded(name: str, folder: Path) -> Model:
    torch.save({"state_dict": published(name), "global_step": 5}, folder / f"{name}.ckpt")
    return retouche.load(folder / f"{name}.ckpt")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("lama")
    return lambda name: _loaded(name, folder)


@pytest.mark.parametrize("way", ["fast", "fast as at large sizes", "layer by layer"])
@pytest.mark.parametrize("name", GENERATORS)
def test_generator(name: str, way: str, loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    model, stored = loaded(name), arrays(name)
    if "large" in way:
        monkeypatch.setattr(winograd, "FEWEST_TILES", 1)
    assert (model.method, model.layout) == ("lama", "advimman")
    assert model.config == LamaConfig(blocks=GENERATORS[name]) and model.generator is not None
    for case in ("", "batch_", "odd_"):
        image, mask = stored[f"input.{case}image"], stored[f"input.{case}mask"]
        with torch.set_grad_enabled(way == "layer by layer"):
            made = (model.generator(2 * image - 1, mask).refined.detach() + 1) / 2
        assert_close(made, stored[f"output.{case}pred"], TOLERANCE)
        assert_close(mask * made + (1 - mask) * image, stored[f"output.{case}comp"], TOLERANCE)


def test_features(loaded) -> None:
    network, stored = loaded("lama-generator").generator, arrays("lama-generator")
    assert isinstance(network, LamaGenerator)
    seen: dict[str, Tensor] = {}
    places = {1: "stem", FIRST_BLOCK - 1: "down", FIRST_BLOCK: "block0", FIRST_BLOCK + 17: "block17"}
    hooks = [
        network.model[place].register_forward_hook(lambda module, given, made, title=title: seen.update({title: made}))
        for place, title in places.items()
    ]
    network(2 * stored["input.image"] - 1, stored["input.mask"])
    for hook in hooks:
        hook.remove()
    for title, (local, spread) in seen.items():
        wanted = [("stem", local[:, :4])] if title == "stem" else [(f"{title}_l", local), (f"{title}_g", spread)]
        for name, ours in wanted:
            theirs = stored[f"output.{name}"]
            assert_close(ours.detach(), theirs, FEATURES * theirs.abs().max().item())


def test_critic(loaded) -> None:
    model, stored = loaded("lama-critic"), arrays("lama-critic")
    assert (model.method, model.generator, list(model.critics)) == ("lama", None, ["discriminator"])
    critic = model.critics["discriminator"]
    with torch.no_grad():
        *features, logits = critic(stored["input.image"], features=True)
        assert torch.equal(critic(stored["input.image"]), logits)
        assert_close(logits, stored["output.logits"], TOLERANCE)
        for i, feature in enumerate(features):
            assert_close(feature[:, :8], stored[f"output.feature{i}"], TOLERANCE)
        assert_close(critic(stored["input.batch_image"]), stored["output.batch_logits"], TOLERANCE)


@pytest.mark.parametrize("form", ["operator", "products"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_spectral_transform(form: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "products":
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
        monkeypatch.setattr(fourier, "frequencies", None)  # not to be called
    network, stored = SpectralTransform(384, 384).eval(), arrays("ffc-spectral")
    network.load_state_dict(published("ffc-spectral"))
    network.to(dtype)
    with torch.no_grad():
        for case in ("even", "odd", "thin"):
            x = stored[f"input.{case}_x"].to(dtype)
            assert_close(network(x), stored[f"output.{case}_out"], TOLERANCE)
            if case == "even":
                assert_close(network.conv1(x), stored["output.even_conv1"], TOLERANCE)
                assert_close(network.fu(network.conv1(x)), stored["output.even_fourier"], TOLERANCE)
