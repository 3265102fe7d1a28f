"""StructureFlow's losses and RTV structure pictures against stored numbers."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from helpers import about, arrays, assert_close, filled

from retouche.backbones.vgg import VGG, vgg
from retouche.layers import rtv
from retouche.losses import perceptual_loss, sampling_correctness, style_loss
from retouche.losses.correctness import correctness_map
from retouche.numerics import structure, structure_bands
from retouche.numerics.structure import SETTINGS

CORRECTNESS, RTV = "structureflow-correctness", "structureflow-rtv"


@cache
def backbone() -> VGG:
    said = about(CORRECTNESS)
    return vgg(19, filled(said["params"], said["seed"], said["gain"]), normalisation="none")


@pytest.mark.parametrize("case", ["a", "b"])
def test_correctness(case: str) -> None:
    stored = arrays(CORRECTNESS)
    image, masked, mask, flow = (stored[f"input.{case}.{name}"] for name in ("gt", "masked", "mask", "flow"))
    loss = sampling_correctness(backbone(), image, masked, flow.requires_grad_(), mask)
    assert_close(loss.view(1), stored[f"output.{case}.loss"], 1e-5)
    (gradient,) = torch.autograd.grad(loss, flow)
    wanted = stored[f"output.{case}.grad_flow"]
    assert_close(gradient, wanted, 1e-4 * wanted.abs().max().item())
    with torch.no_grad():
        features = [backbone()(x, ["relu3_1"])["relu3_1"] for x in (image, masked)]
        assert_close(correctness_map(features[0], features[1], flow), stored[f"output.{case}.map"], 1e-4)


@pytest.mark.parametrize("case", ["a", "b"])
def test_content_and_style(case: str) -> None:
    stored = arrays(CORRECTNESS)
    image, mask, result = (stored[f"input.{case}.{name}"] for name in ("gt", "mask", "result"))
    with torch.no_grad():
        content = perceptual_loss(backbone(), result, image)
        style = style_loss(backbone(), result * mask, image * mask)
    for ours, name in ((content, "content"), (style, "style")):
        wanted = stored[f"output.{case}.{name}"]
        assert_close(ours.view(1), wanted, 1e-4 * wanted.abs().item())


NAMES = [name for name in arrays(RTV) if name.startswith("output.") and "first_weights" not in name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rtv(name: str, dtype: torch.dtype) -> None:
    stored = arrays(RTV)
    _, case, setting, *variant = name.split(".")
    smoothed = rtv(
        stored[f"input.{case}.image"].to(dtype),
        *SETTINGS[setting],
        solver="published" if "pcg" in variant else "exact",
        mask=stored[f"input.{case}.mask"].to(dtype) if "masked" in variant else None,
    )
    assert smoothed.dtype == dtype
    assert_close(smoothed, stored[name], 1e-5 if dtype == torch.float64 else 1e-3)


@pytest.mark.parametrize("name", ["output.a.script", "output.b.script", "output.a.example"])
def test_rtv_of_large_pictures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bands' solver is the same method: it comes as near as it is told to."""
    monkeypatch.setattr(structure, "LARGEST_DIRECT", 0)  # in bands, as pictures above this size
    stored = arrays(RTV)
    _, case, setting = name.split(".")
    image = stored[f"input.{case}.image"].double()
    assert_close(rtv(image, *SETTINGS[setting]), stored[name], 1e-3)
    monkeypatch.setattr(structure_bands, "TOLERANCE", 1e-7)
    assert_close(rtv(image, *SETTINGS[setting]), stored[name], 1e-5)


def test_first_weights() -> None:
    stored = arrays(RTV)
    across, along = structure.conductances(stored["input.a.image"].double(), 3.0, 0.02, None, "published")
    wanted = stored["output.a.first_weights"]
    assert_close(across, wanted[:, 0, :, :-1], 1e-3)
    assert_close(along, wanted[:, 1, :-1], 1e-3)
    assert wanted[:, 0, :, -1].abs().max() == wanted[:, 1, -1].abs().max() == 0
