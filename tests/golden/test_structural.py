"""Structural inpainting's networks and losses against the published code's formulas: 2e-5 absolute or 1e-5 relative."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import about, arrays, filled
from torch import Tensor
from torch.testing import assert_close

from retouche.backbones.vgg import vgg
from retouche.errors import InputError, WeightsError
from retouche.losses import (
    binary_critic,
    binary_generator,
    feature_reconstruction,
    overlap_reconstruction,
    structural_loss,
)
from retouche.methods.structural import CENTRE, METHOD, StructuralConfig, StructuralDiscriminator, StructuralGenerator
from retouche.weights.layout import Layout, load_strictly

TOLERANCE: dict[str, Any] = {"atol": 2e-5, "rtol": 1e-5}


def published(name: str) -> dict[str, Tensor]:
    facts = about(name)
    return filled(facts["params"], facts["seed"], facts["gain"])


def tensorflow(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers as a TensorFlow checkpoint holds them."""
    theirs = {}
    for ours, scope in about(name)["tf_names"].items():
        tensor = tensors[ours]
        if ours == "fc.weight":
            tensor = tensor.view(1, 256, 4, 4).permute(2, 3, 1, 0).reshape(4096, 1)
        elif tensor.ndim == 4:
            tensor = tensor.permute(2, 3, 1, 0)
        theirs[scope] = tensor.contiguous()
    return theirs


def layout_of(tensors: dict[str, Tensor]) -> Layout:
    (layout,) = [layout for layout in METHOD.layouts if layout.fits(tensors)]
    return layout


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return published("structural-inpainting-g")


@pytest.fixture(scope="module")
def generator(weights: dict[str, Tensor]) -> StructuralGenerator:
    layout = layout_of(weights)
    parts, stray = layout.translate(weights)
    assert layout.name == "jonzhaocn" and not stray and parts.keys() == {"generator"}
    assert layout.config(parts, "original") == StructuralConfig()
    network = METHOD.build(layout.config(parts, "original"))
    assert isinstance(network, StructuralGenerator)
    load_strictly(network, parts["generator"])
    return network.eval()


@torch.no_grad()
def test_generator(generator: StructuralGenerator) -> None:
    stored = arrays("structural-inpainting-g")
    image = 2 * stored["input.image"] - 1
    masked = generator.masked(image)
    assert_close(masked, stored["output.masked"], **TOLERANCE)
    encoded = generator.encode(masked)
    assert_close(encoded, stored["output.encoded"], **TOLERANCE)
    code = generator.code(encoded)
    assert_close(code, stored["output.bottleneck"], **TOLERANCE)
    assert_close(generator.decode(code), stored["output.pred_linear"], **TOLERANCE)
    assert_close((generator.centre(image) + 1) / 2, stored["output.pred"], **TOLERANCE)
    batch = generator.centre(2 * stored["input.batch_image"] - 1)
    assert_close((batch + 1) / 2, stored["output.batch_pred"], **TOLERANCE)


@torch.no_grad()
def test_refined_is_the_image_around_the_prediction(generator: StructuralGenerator) -> None:
    stored = arrays("structural-inpainting-g")
    image, mask = 2 * stored["input.image"] - 1, CENTRE.mask(stored["input.image"])
    refined = generator(image, mask).refined
    assert refined is not None
    assert_close((CENTRE.crop(refined) + 1) / 2, stored["output.pred"], **TOLERANCE)
    around = torch.ones_like(refined, dtype=torch.bool)
    around[..., 32:96, 32:96] = False
    assert torch.equal(refined[around], image[around])
    assert_close((torch.where(mask > 0, refined, image) + 1) / 2, stored["output.comp"], **TOLERANCE)
    # the network sees nothing of the hole
    assert torch.equal(CENTRE.crop(generator(image * (1 - mask), mask).refined), CENTRE.crop(refined))


@torch.no_grad()
def test_tensorflow_checkpoint(generator: StructuralGenerator, weights: dict[str, Tensor]) -> None:
    critic_weights = published("structural-inpainting-d")
    checkpoint = {
        **tensorflow("structural-inpainting-g", weights),
        **tensorflow("structural-inpainting-d", critic_weights),
        "context_encoder/Conv/weights/Adam": torch.zeros(4, 4, 3, 64),
        "context_encoder/Conv/weights/Adam_1": torch.zeros(4, 4, 3, 64),
        "beta1_power": torch.tensor(0.5),
        "beta2_power_1": torch.tensor(0.999),
        "global_step": torch.tensor(1),
    }
    layout = layout_of(checkpoint)
    parts, stray = layout.translate(checkpoint)
    assert layout.name == "jonzhaocn-tensorflow" and not stray and parts.keys() == {"generator", "discriminator"}
    own = generator.state_dict()
    assert own.keys() == parts["generator"].keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in parts["generator"].items())
    assert parts["discriminator"].keys() == critic_weights.keys()
    assert all(torch.equal(critic_weights[name], tensor) for name, tensor in parts["discriminator"].items())


def test_door(generator: StructuralGenerator) -> None:
    image, mask = torch.zeros(1, 3, 128, 128), torch.zeros(1, 1, 128, 128)
    mask[..., 35, 64] = 1
    with pytest.raises(InputError, match=r"leaves the middle 56x56 .* model\(picture, mask\)"):
        generator(image, mask)
    with pytest.raises(InputError, match="knows 128x128 only"):
        generator(torch.zeros(1, 3, 256, 256), torch.zeros(1, 1, 256, 256))
    with pytest.raises(InputError, match="pad it to 128x128"):
        generator(torch.zeros(1, 3, 64, 128), torch.zeros(1, 1, 64, 128))


def test_strict(weights: dict[str, Tensor]) -> None:
    broken = {name: tensor for name, tensor in weights.items() if name != "encoder.2.bias"}
    parts, _ = layout_of(broken).translate(broken)
    with pytest.raises(WeightsError, match="1 missing"):
        load_strictly(METHOD.build(StructuralConfig()), parts["generator"])


def discriminator(tensors: dict[str, Tensor], semantics: str = "original") -> StructuralDiscriminator:
    layout = layout_of(tensors)
    parts, stray = layout.translate(tensors)
    assert not stray and parts.keys() == {"discriminator"}
    network = METHOD.critics(layout.config(parts, semantics))["discriminator"]
    assert isinstance(network, StructuralDiscriminator)
    load_strictly(network, parts["discriminator"])
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("container", ["ours", "tensorflow"])
def test_discriminator(container: str) -> None:
    tensors, stored = published("structural-inpainting-d"), arrays("structural-inpainting-d")
    network = discriminator(tensors if container == "ours" else tensorflow("structural-inpainting-d", tensors))
    assert_close(network(stored["input.image"]), stored["output.logit_linear"], **TOLERANCE)
    assert_close(network(stored["input.batch_image"]), stored["output.batch_logit_linear"], **TOLERANCE)
    # the same middle inside a picture of our range
    picture = torch.zeros(2, 3, 128, 128)
    picture[..., 32:96, 32:96] = 2 * stored["input.batch_image"] - 1
    assert_close(network(picture, CENTRE.mask(picture)), stored["output.batch_logit_linear"], **TOLERANCE)


@torch.no_grad()
def test_published_discriminator_cuts_its_logit_off() -> None:
    tensors, stored = published("structural-inpainting-d"), arrays("structural-inpainting-d")
    relu: Any = discriminator(tensors, "port")
    assert_close(relu(stored["input.image"]), stored["output.logit"], **TOLERANCE)
    relu.fc.bias -= 10
    assert relu(stored["input.image"]).item() == 0


def test_losses() -> None:
    facts, stored = about("structural-losses"), arrays("structural-losses")
    backbone_weights = filled(facts["params"]["vgg"], facts["seed"], facts["gain"])
    network = vgg(16, backbone_weights, last="relu3_1", normalisation="caffe", order="bgr")
    critic = discriminator(filled(facts["params"]["discriminator"], facts["seed"], facts["discriminator_gain"]))
    image, block = stored["input.image"], stored["input.pred"]
    ours, target = 2 * block - 1, 2 * image - 1

    centre, ring = overlap_reconstruction(block, image)
    assert_close(centre, stored["output.recon_center"][0], **TOLERANCE)
    assert_close(ring, stored["output.recon_overlap"][0], **TOLERANCE)
    features = feature_reconstruction(ours, target, network)
    assert_close(torch.stack(list(features.values())), stored["output.feature_layers"], **TOLERANCE)
    terms = structural_loss(ours, target, network)
    assert list(terms) == ["centre", "overlap", "relu1_1", "relu2_1", "relu3_1"]
    total = torch.stack(list(terms.values())).sum()
    assert_close(total, stored["output.struct_loss"][0], **TOLERANCE)

    real, fake = critic(image), critic(block)
    assert_close(binary_critic(real, fake, weight=0.1), stored["output.dis_loss"][0], **TOLERANCE)
    adversarial = binary_generator(fake)
    assert_close(adversarial, stored["output.adv_loss"][0], **TOLERANCE)
    assert_close(total + 0.1 * adversarial, stored["output.joint_loss"][0], **TOLERANCE)
