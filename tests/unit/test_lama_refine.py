"""Refinement of LaMa: a finer level is fitted to the coarser one; what is known and the weights stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from retouche.apps.cli import main
from retouche.inference.model import Model
from retouche.methods import lama_refine
from retouche.methods.lama import LamaConfig, LamaGenerator
from retouche.methods.lama_refine import eroded, halved


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> LamaGenerator:
    monkeypatch.setattr(lama_refine, "COARSEST", 32)
    monkeypatch.setattr(lama_refine, "ERODED", 5)
    torch.manual_seed(0)
    network = LamaGenerator(LamaConfig(width=8, blocks=2)).eval()
    for layer in network.modules():  # features that keep their size, as a trained network's do
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0, 1.5 / layer.weight[0].numel() ** 0.5)
    return network


def picture(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mask = torch.zeros(1, 1, height, width)
    mask[..., 10:40, 12:44] = 1
    return torch.nn.functional.interpolate(image, (height, width), mode="bicubic").clamp(-1, 1), mask


def test_fine_levels_follow_the_coarse_one(network: LamaGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = picture(64, 72)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        plain = network(image, mask).refined
        network.refine = True
        fine = network(image, mask).refined
        blanked = network(image * (1 - mask), mask).refined
    torch.testing.assert_close(fine * (1 - mask), image * (1 - mask), atol=1e-6, rtol=0)
    torch.testing.assert_close(fine * mask, blanked * mask, atol=1e-6, rtol=0)  # the hole is not read
    assert (fine - plain).abs().mul(mask).max() > 1e-3
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())

    # what is fitted: known pixels, and the shrunk fill inside the thinned hole
    picture01 = (image + 1) / 2 * (1 - mask)
    coarse = torch.full((1, 3, 32, 36), 0.2)
    inside = eroded(halved(mask) >= 1 - 1e-8).expand_as(coarse)
    losses = []
    for rounds in (15, 1):
        monkeypatch.setattr(lama_refine, "ROUNDS", rounds)
        made = lama_refine._fitted(network.folded(), picture01, mask, picture01, mask, coarse)
        known = ((made - picture01).abs() * (1 - mask)).sum() / (3 * (1 - mask).sum())
        losses.append(known + (halved(made) - coarse).abs()[inside].mean())
    assert inside.any() and losses[0] < 0.98 * losses[1]


def test_pictures_over_the_limit_are_shrunk_and_enlarged(
    network: LamaGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lama_refine, "LIMIT_PIXELS", 40 * 40)
    image, mask = picture(64, 72)
    network.refine = True
    with torch.inference_mode():
        fine = network(image, mask).refined
    assert fine.shape == image.shape and fine.isfinite().all()
    torch.testing.assert_close(fine * (1 - mask), image * (1 - mask), atol=1e-6, rtol=0)


def test_models_fill_with_it(network: LamaGenerator) -> None:
    model = Model("lama", "lama", config=LamaConfig(width=8, blocks=2), generator=network)
    image, mask = picture(64, 72)
    bytes_ = ((image[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    plain = model(bytes_, mask[0, 0].numpy() > 0, dilate=0)
    filled = model.refine()(bytes_, mask[0, 0].numpy() > 0, dilate=0)
    assert (plain != filled).any()
    assert (filled[mask[0, 0].numpy() == 0] == bytes_[mask[0, 0].numpy() == 0]).all()


def test_a_thin_hole_has_nothing_to_compare() -> None:
    hole = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    hole[..., 10:14, :] = True
    assert not eroded(hole).any()
    hole[..., 5:35, 5:35] = True
    assert eroded(hole).any()


def test_the_command_line_has_it(network: LamaGenerator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Model("lama", "lama", config=LamaConfig(width=8, blocks=2), generator=network).save(tmp_path / "lama.safetensors")
    image, mask = picture(64, 72)
    Image.fromarray(((image[0].permute(1, 2, 0) + 1) * 127.5).to(torch.uint8).numpy()).save(tmp_path / "in.png")
    Image.fromarray((mask[0, 0] * 255).to(torch.uint8).numpy()).save(tmp_path / "mask.png")
    files = [f"--image={tmp_path / 'in.png'}", f"--mask={tmp_path / 'mask.png'}"]
    for name, more in (("plain", []), ("fine", ["--refine"])):
        words = ["run", *files, f"--output={tmp_path / name}.png", f"--model={tmp_path / 'lama.safetensors'}", *more]
        assert main([*words, "--device=cpu"]) == 0
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "fine.png").read_bytes()
    assert main(["run", *files, f"--output={tmp_path / 'no.png'}", "--model=mean", "--refine", "--device=cpu"]) == 2
    assert '"mean" cannot refine' in capsys.readouterr().err
