"""SII-GAN's text, computed a second time straight from it in float64; the family's sizes, input, first weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from retouche import InputError
from retouche.backbones.vgg import vgg
from retouche.layers import dilated
from retouche.layers.dilated import DilatedBlock, mirrored, normalised_gate
from retouche.layers.winograd import convolved
from retouche.methods import aot_gan, find, sii_gan
from retouche.methods.aot_gan import AOTConfig, AOTGenerator, PatchDiscriminator
from retouche.methods.method import Generator

Weights = dict[str, Tensor]
SMALL = AOTConfig(width=8, blocks=2)


def built(method: str, preset: str) -> tuple[Generator, nn.Module]:
    record = find(method)
    config = record.presets[preset]
    assert record.build is not None
    return record.build(config), record.critics(config)["discriminator"]


def lively(network: nn.Module, gain: float = 1.0) -> nn.Module:
    """Weights that keep a signal's size, so that wrong rules show."""
    stream = torch.Generator().manual_seed(5)
    for p in network.parameters():
        fan = p[0].numel() if p.ndim > 1 else 100
        noise = torch.randn(p.shape, generator=stream, dtype=torch.float64)
        p.data.copy_(noise * (gain / math.sqrt(fan)))
    return network


def picture(n: int, h: int, w: int, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, max(2, h // 8), max(2, w // 8), generator=stream, dtype=torch.float64)
    return f.interpolate(coarse, (h, w), mode="bicubic").tanh()


def hole(h: int, w: int) -> Tensor:
    mask = torch.zeros(1, 1, h, w, dtype=torch.float64)
    mask[..., h // 4 : h // 2, w // 3 : w // 3 * 2] = 1
    mask[..., h // 2 : h // 2 + 3, :] = 1
    return mask


# The text once more, by its own formulas. Names of weights are ours, nothing else is.


def block_of_the_text(x1: Tensor, w: Weights, at: str) -> Tensor:
    views = []
    for i, r in enumerate((1, 2, 4, 8)):

        def weights(part: str, i: int = i) -> tuple[Tensor, Tensor]:
            return w[f"{at}branches.{i}.{part}.weight"], w[f"{at}branches.{i}.{part}.bias"]

        v = f.conv2d(f.pad(x1, (r, r, r, r), mode="reflect"), *weights("dilated"), dilation=r).relu()
        v = f.conv2d(v, *weights("squeeze")).relu()
        v = f.conv2d(f.pad(v, (1, 1, 1, 1), mode="reflect"), *weights("inner")).relu()
        views.append(f.conv2d(v, *weights("expand")))
    x2 = torch.cat(views, 1)
    gate = f.conv2d(f.pad(x1, (1, 1, 1, 1), mode="reflect"), w[f"{at}gate.weight"], w[f"{at}gate.bias"])
    gate = 1 / (1 + torch.exp(-gate))
    return gate * x1 + (1 - gate) * x2


def generator_of_the_text(masked: Tensor, m: Tensor, w: Weights) -> Tensor:
    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        return f.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **options)

    x = torch.cat([masked, m], 1)
    x = conv(f.pad(x, (3, 3, 3, 3), mode="reflect"), "encoder.0").relu()
    x = conv(x, "encoder.1", stride=2, padding=1).relu()
    x = conv(x, "encoder.2", stride=2, padding=1).relu()
    for i in range(10):
        x = block_of_the_text(x, w, f"blocks.{i}.")
    for name in ("decoder.0", "decoder.1"):
        x = nn.UpsamplingBilinear2d(scale_factor=2)(x)  # corners aligned
        x = conv(x, name, padding=1).relu()
    return torch.tanh(conv(x, "decoder.2", padding=1))


def discriminator_of_the_text(x: Tensor, w: Weights) -> Tensor:
    for i, stride in enumerate((2, 2, 2, 1)):
        kernel = w[f"layers.{i}.weight_orig"]
        sigma = w[f"layers.{i}.weight_u"] @ kernel.flatten(1) @ w[f"layers.{i}.weight_v"]
        x = f.conv2d(x, kernel / sigma, stride=stride, padding=1)
        x = torch.where(x > 0, x, 0.2 * x)
    return f.conv2d(x, w["layers.4.weight"], w["layers.4.bias"], padding=1)


def vgg_of_the_text(x: Tensor, w: Weights) -> dict[str, Tensor]:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    # the backbone holds its normalisation in float32, whatever it computes in
    x = ((x + 1) / 2 - mean.view(1, 3, 1, 1).double()) / deviation.view(1, 3, 1, 1).double()
    found, index = {}, 0
    for block, convolutions in enumerate((2, 2, 4, 4, 4), 1):
        for i in range(1, convolutions + 1):
            x = f.conv2d(x, w[f"features.{index}.weight"], w[f"features.{index}.bias"], padding=1).clamp_min(0)
            found[f"{block}_{i}"] = x
            index += 2
            if (block, i) == (5, 2):
                return found
        x = f.max_pool2d(x, 2)
        index += 1
    raise AssertionError


def test_a_block_is_the_texts() -> None:
    block = lively(DilatedBlock(256, branch="narrow", fuse=False, gate="plain").double())
    x = torch.randn(2, 256, 9, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        expected = block_of_the_text(x, block.state_dict(), "")
        torch.testing.assert_close(block(x), expected, atol=1e-12, rtol=1e-12)
    assert (expected - x).abs().mean() > 0.1


BLOCKS: dict[str, dict[str, Any]] = {
    "aot": {},
    "narrow": {"branch": "narrow"},
    "sii": {"branch": "narrow", "fuse": False, "gate": "plain"},
    "shrinking": {"branch": "shrinking", "fuse": False, "gate": "plain"},
    "no rate 1": {"rates": (2, 3)},
    "twice": {"rates": (1, 4, 1, 2)},
}


@pytest.mark.parametrize("size", [(28, 31), (9, 12)], ids=["products", "small"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_for_use_is_that_of_training(
    kind: str, layout: torch.memory_format, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = lively(DilatedBlock(64, **BLOCKS[kind]).double())
    for weight in block.parameters():
        weight.data = weight.data.contiguous(memory_format=layout) if weight.ndim == 4 else weight.data
    x = torch.randn(2, 64, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x.to(memory_format=layout)
    kept, expected = x.clone(), block(x)
    monkeypatch.setattr(dilated, "BAND_BYTES", 2 * 64 * size[1] * 8 * 5)  # five rows
    products: list[int] = []

    def counted(maps: Any, kernels: Any) -> list[Tensor]:
        products.append(1)
        return convolved(maps, kernels)

    monkeypatch.setattr(dilated, "convolved", counted)
    with torch.inference_mode():
        made = block(x)
    assert torch.equal(x, kept)
    assert layout == torch.contiguous_format or made.is_contiguous(memory_format=layout)
    torch.testing.assert_close(made, expected, atol=1e-9, rtol=1e-9)
    assert (expected - x).abs().mean() > 0.1
    assert len(products) == (0 if size[0] < 10 else 2 if BLOCKS[kind].get("fuse", True) else 1)


def test_rounding_of_a_block_for_use() -> None:
    """In float32: products of matrices are some three times as far from the true result, and the gate is steep. Of the
    whole network's distance that is little: its largest over five drawings was 1.4 to 2.3 times the published form's
    with products, 1.5 to 2.5 times without."""
    block = lively(DilatedBlock(64))
    x = torch.randn(1, 64, 40, 40, generator=torch.Generator().manual_seed(2))
    plain = block(x).detach()
    with torch.inference_mode():
        made = block(x)
        true = block.double()(x.double())
    far, near = ((y - true).square().mean().sqrt() for y in (made, plain))
    assert far < 10 * near and far < 1e-5


def test_the_whole_loss_is_the_texts() -> None:
    generator, critic = built("sii-gan", "siigan")
    lively(generator.double(), 1.4)
    lively(critic.double()).eval()
    backbone = vgg(19, "random", last="relu5_2").double()
    size = 48
    image, mask = picture(2, size, size), hole(size, size)
    with torch.no_grad():
        m = (1 - mask).expand(2, 1, size, size)
        prediction = generator_of_the_text(image * m, m, generator.state_dict())
        z = image * m + prediction * (1 - m)

        offsets = torch.arange(71, dtype=torch.float64) - 35
        kernel = torch.exp(-(offsets.square().view(-1, 1) + offsets.square()) / 200)
        soft = 1 - f.conv2d(1 - m, (kernel / kernel.sum()).view(1, 1, 71, 71), padding=35)

        def judge(x: Tensor) -> Tensor:
            return nn.UpsamplingBilinear2d(size=(size, size))(discriminator_of_the_text(x, critic.state_dict()))

        loss_d = ((judge(z) - soft) ** 2).mean() + ((judge(image) - 1) ** 2).mean()
        a, b = (vgg_of_the_text(x, backbone.state_dict()) for x in (z, image))
        perceptual = sum((a[n] - b[n]).abs().mean() for n in ("1_1", "2_1", "3_1", "4_1", "5_1"))
        style = torch.zeros((), dtype=torch.float64)
        for n in ("2_2", "3_4", "4_4", "5_2"):
            ga, gb = (torch.einsum("nchw,ndhw->ncd", x[n], x[n]) / x[n][0].numel() for x in (a, b))
            style += (ga - gb).abs().mean()
        res = (prediction - image).abs().mean()
        adv = ((judge(z) - 1) ** 2).mean()
        loss_g = 0.05 * adv + 1 * res + 0.2 * perceptual + 300 * style

        ours = generator(image, mask).refined
        assert ours is not None
        torch.testing.assert_close(ours, prediction, atol=1e-11, rtol=0)
        filled = image * (1 - mask) + ours * mask
        objective = sii_gan.OBJECTIVES["siigan"]
        terms = aot_gan.generator_terms(objective, critic, backbone, image, ours, filled, mask.expand(2, -1, -1, -1))
        names = {"adversarial": 0.05 * adv, "reconstruction": res, "perceptual": 0.2 * perceptual, "style": 300 * style}
        assert terms.keys() == names.keys()
        # relative 1e-7: the backbone's constants are float32 numbers
        for name, value in names.items():
            torch.testing.assert_close(terms[name], torch.as_tensor(value), atol=0, rtol=1e-7)
        torch.testing.assert_close(sum(terms.values(), torch.zeros(())).double(), loss_g, atol=0, rtol=1e-6)
        (critic_term,) = aot_gan.critic_terms(objective, critic, image, filled, mask.expand(2, -1, -1, -1)).values()
        torch.testing.assert_close(critic_term, loss_d, atol=1e-12, rtol=1e-12)


def test_objectives_are_the_published_coefficients() -> None:
    def numbers(o: aot_gan.AOTLossConfig) -> tuple[float, ...]:
        return o.adversarial, o.reconstruction, o.perceptual, o.style

    assert numbers(aot_gan.OBJECTIVES["aot"]) == (0.01, 1, 0.1, 250)
    assert numbers(sii_gan.OBJECTIVES["siigan-code"]) == (0.01, 1, 0.1, 250)
    assert numbers(sii_gan.OBJECTIVES["siigan"]) == (0.05, 1, 0.2, 300)
    assert sii_gan.OBJECTIVES.keys() == find("sii-gan").presets.keys()
    assert aot_gan.OBJECTIVES.keys() == find("aot-gan").presets.keys()
    assert all(o.labels == "consistent" for o in (*aot_gan.OBJECTIVES.values(), *sii_gan.OBJECTIVES.values()))


# The family


@pytest.mark.parametrize(
    ("method", "preset", "generator_size", "critic_size"),
    [
        ("aot-gan", "aot", 15_200_835, 2_763_777),
        ("sii-gan", "siigan", 13_018_435, 1_554_625),
        ("sii-gan", "siigan-code", 18_919_235, 2_763_777),
    ],
)
def test_parameters(method: str, preset: str, generator_size: int, critic_size: int) -> None:
    with torch.device("meta"):
        networks = built(method, preset)
    assert [sum(p.numel() for p in net.parameters()) for net in networks] == [generator_size, critic_size]


def test_siigan_is_the_default_preset() -> None:
    assert next(iter(find("sii-gan").presets)) == "siigan"


@pytest.mark.parametrize("branch", ["plain", "narrow", "shrinking"])
@pytest.mark.parametrize("size", [(36, 36), (40, 52)])
def test_any_multiple_of_four(branch: Any, size: tuple[int, int]) -> None:
    network = AOTGenerator(AOTConfig(width=8, blocks=1, branch=branch))
    assert (network.multiple, network.smallest) == (4, 36)
    prediction = network(picture(2, *size).float(), hole(*size)).refined
    assert prediction is not None and prediction.shape == (2, 3, *size)
    assert prediction.abs().max() <= 1


def test_sizes_that_do_not_fit_are_said() -> None:
    network = AOTGenerator(SMALL)
    for h, w in ((32, 64), (38, 40)):
        with pytest.raises(InputError, match="pad it to"):
            network(torch.zeros(1, 3, h, w), torch.zeros(1, 1, h, w))


@pytest.mark.parametrize(
    ("config", "blank", "channel"),
    [
        (AOTConfig(), 1.0, lambda mask: mask),
        (sii_gan.TEXT, 0.0, lambda mask: 1 - mask),
        (sii_gan.CODE, 1.0, lambda mask: mask),
    ],
)
def test_what_the_network_is_given(config: AOTConfig, blank: float, channel: Callable[[Tensor], Tensor]) -> None:
    network = AOTGenerator(replace(config, width=8, blocks=1)).double()
    seen: list[Tensor] = []
    network.encoder[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    image, mask = picture(1, 36, 40), hole(36, 40)
    first = network(image, mask).refined
    second = network(image * (1 - mask) + 0.3 * mask, mask).refined  # what lies under the hole is not looked at
    assert first is not None and second is not None and torch.equal(first, second)
    inner = seen[0][..., 3:-3, 3:-3]  # without the reflected border
    assert torch.equal(inner[:, :3], torch.where(mask > 0, torch.tensor(blank, dtype=torch.float64), image))
    assert torch.equal(inner[:, 3:], channel(mask))


def test_half_precision_follows_single() -> None:
    network = lively(AOTGenerator(SMALL))
    assert isinstance(network, AOTGenerator)
    image, mask = picture(1, 40, 40).float(), hole(40, 40).float()
    with torch.no_grad():
        exact = network(image, mask).refined
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(image, mask).refined
        half = network.bfloat16()(image.bfloat16(), mask.bfloat16()).refined
    assert exact is not None and mixed is not None and half is not None
    assert half.dtype == torch.bfloat16
    for other in (mixed, half):
        assert (other.float() - exact).abs().mean() < 0.05


def test_the_gate_by_hand() -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 5.0]).double().view(1, 1, 2, 2)
    deviation = math.sqrt((4 + 1 + 0 + 9) / 3)  # around 2, unbiased
    by_hand = [1 / (1 + math.exp(-5 * (2 * (v - 2) / deviation - 1))) for v in (0, 1, 2, 5)]
    assert normalised_gate(x).flatten().tolist() == pytest.approx(by_hand)
    half = (x * 1e-3 + 100).to(torch.float16)  # deviations near the rounding of the type
    assert normalised_gate(half).isfinite().all() and normalised_gate(half).dtype == torch.float16


def test_starting_weights() -> None:
    generator, critic = AOTGenerator(AOTConfig(blocks=1)), PatchDiscriminator(AOTConfig())
    for network in (generator, critic):
        for name, p in network.named_parameters():
            if name.endswith("bias"):
                assert not p.any()
            elif p.numel() > 10_000:
                assert p.std().item() == pytest.approx(0.02, rel=0.05)
    torch.manual_seed(3)
    first = AOTGenerator(SMALL).state_dict()
    torch.manual_seed(3)
    second = AOTGenerator(SMALL).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("kernel", "side"), [(4, 6), (3, 8)])
def test_size_of_the_score_map(kernel: int, side: int) -> None:
    critic = PatchDiscriminator(AOTConfig(width=8, critic_kernel=kernel))
    assert critic(torch.zeros(2, 3, 64, 64)).shape == (2, 1, side, side)


def test_both_networks_learn_from_their_terms() -> None:
    torch.manual_seed(0)
    generator, critic = AOTGenerator(SMALL), PatchDiscriminator(SMALL)
    backbone = vgg(19, "random", last="relu5_2")
    image, mask = picture(1, 40, 40).float(), hole(40, 40).float()
    prediction = generator(image, mask).refined
    assert prediction is not None
    filled = image * (1 - mask) + prediction * mask
    objective = aot_gan.OBJECTIVES["aot"]
    terms = aot_gan.generator_terms(objective, critic, backbone, image, prediction, filled, mask)
    gradients = torch.autograd.grad(torch.stack([*terms.values()]).sum(), list(generator.parameters()))
    assert all(g.isfinite().all() for g in gradients) and any(g.any() for g in gradients)
    judged = aot_gan.critic_terms(objective, critic, image, filled.detach(), mask)["adversarial"]
    assert all(g.isfinite().all() for g in torch.autograd.grad(judged, list(critic.parameters())))


@pytest.mark.parametrize("side", [(6, 9), (5, 5)])  # the widest margin needs a side that is longer by one
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_margins_cut_from_the_widest(side: tuple[int, int], layout: torch.memory_format) -> None:
    """The same maps and gradient as padding for each margin by itself."""
    stream = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, *side, generator=stream, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    margins = (1, 2, 4, 1)
    expected = [f.pad(x, (margin,) * 4, mode="reflect") for margin in margins]
    made = mirrored(x, margins)
    upstream = [torch.randn(one.shape, generator=stream, dtype=torch.float64) for one in expected]
    for ours, theirs in zip(made, expected, strict=True):
        assert torch.equal(ours, theirs)
    (wanted,) = torch.autograd.grad(expected, x, upstream)
    (found,) = torch.autograd.grad(made, x, upstream)
    assert torch.allclose(found, wanted, atol=1e-13)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(mirrored(x, margins), expected, strict=True))
