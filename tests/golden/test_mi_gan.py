"""MI-GAN gives the published network's numbers for published names, from its files for use and for training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from helpers import about, arrays, assert_close, filled
from torch import Tensor

import retouche
from retouche.methods.mi_gan import MIGANConfig, MIGANGenerator, normalised

TOLERANCE, ENCODED = 1e-4, 1e-5  # the published code in float32 is up to 2e-6 from the stored float64 results
CASES = {"mi-gan-256": 256, "mi-gan-512": 512}
FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def learned(name: str) -> dict[str, Tensor]:
    said = about(name)
    return filled(said["params"], said["seed"], said["gain"])


def constants(name: str) -> dict[str, Tensor]:
    made = {}
    for key, shape in about(name)["constants"]["names"].items():
        if key.endswith("filter_const"):
            made[key] = torch.zeros(shape)
            made[key][..., ::2, ::2] = 1
        else:
            made[key] = FILTER.mul(1 if ".downsample." in key else 4).expand(shape).clone()
    return made


@pytest.mark.parametrize("name", CASES)
def test_generator(name: str, tmp_path: Path) -> None:
    torch.save({**learned(name), **constants(name)}, tmp_path / "published.pt")
    model, stored = retouche.load(tmp_path / "published.pt"), arrays(name)
    network = model.generator
    assert (model.method, model.layout, model.config) == ("mi-gan", "picsart", MIGANConfig(side=CASES[name]))
    assert isinstance(network, MIGANGenerator)
    image = stored["input.image"].float() / 127.5 - 1
    mask = stored["input.mask"].float()
    with torch.no_grad():
        made = network(image, mask).refined
        known = 1 - mask
        deepest, _ = network.encoded(torch.cat([known - 0.5, image * known], 1))
        assert_close(deepest, stored["output.encoded"], ENCODED)
        if name == "mi-gan-256":
            assert_close(made, stored["output.pred"], TOLERANCE)
            batch = torch.cat([image, image.flip(-1)]), torch.cat([mask, mask.flip(-1)])
            assert_close(network(*batch).refined[..., ::3, ::3], stored["output.batch_pred_every3"], TOLERANCE)
        else:
            assert_close(made[..., ::3, ::3], stored["output.pred_every3"], TOLERANCE)
            assert_close(made[..., :48, :48], stored["output.pred_corner"], TOLERANCE)


def test_other_constants_are_refused_and_none_are_needed(tmp_path: Path) -> None:
    name = "mi-gan-256"
    torch.save(learned(name), tmp_path / "without.pt")
    assert retouche.load(tmp_path / "without.pt").config == MIGANConfig()
    key = "encoder.b256.conv2.downsample.filter.weight"
    for wrong in (torch.full((128, 1, 4, 4), 1 / 16), torch.ones(3, 3), torch.tensor(1.0)):
        torch.save({**learned(name), **constants(name), key: wrong}, tmp_path / "other.pt")
        with pytest.raises(retouche.WeightsError, match=r"is not the filter that MI-GAN resamples by"):
            retouche.load(tmp_path / "other.pt")


def test_training_tensors_are_summed_up(tmp_path: Path) -> None:
    """Kernels of nine tensors, noise at the 1x1 convolution: the same network as the file for use has."""
    plain = {key: normalised(tensor) if tensor.ndim == 4 else tensor for key, tensor in learned("mi-gan-256").items()}
    random = torch.Generator().manual_seed(0)
    training = {}
    for key, tensor in plain.items():
        layer, _, kind = key.rpartition(".")
        if kind.startswith("noise_"):
            training[f"{layer}.conv2.{kind}"] = tensor
        elif tensor.ndim == 4 and not layer.endswith("fromrgb"):
            parts = torch.randn(9, *tensor.shape, generator=random)
            parts[8] += 3 * tensor * math.sqrt(9) - parts.sum(0)  # any length: the sum is normalised
            training |= {f"{layer}.w{i}": part.clone() for i, part in enumerate(parts)}
        else:
            training[key] = tensor
    training["synthesis.b8.conv1.conv2.resample_filter"] = FILTER.clone()
    torch.save(training, tmp_path / "training.pt")
    torch.save(plain, tmp_path / "plain.pt")
    one, two = retouche.load(tmp_path / "training.pt"), retouche.load(tmp_path / "plain.pt")
    assert (one.layout, two.layout) == ("picsart-training", "picsart") and one.config == two.config
    for key, tensor in two.generator.state_dict().items():
        torch.testing.assert_close(one.generator.state_dict()[key], tensor, atol=1e-5, rtol=1e-5)
    training["encoder.b8.conv1.conv1.w3"] = torch.zeros(2, 1, 3, 3)
    torch.save(training, tmp_path / "training.pt")
    with pytest.raises(retouche.WeightsError, match="do not fit together"):
        retouche.load(tmp_path / "training.pt")
