"""Context encoders against the PyTorch port's published layout: 2e-5 absolute or 1e-5 relative."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from helpers import about, arrays, filled
from torch import Tensor
from torch.testing import assert_close

from retouche.errors import InputError
from retouche.methods.context_encoder import CENTRE, METHOD, ContextDiscriminator, ContextEncoder, ContextEncoderConfig
from retouche.methods.loading import load_file
from retouche.weights.layout import Layout, load_strictly

TOLERANCE: dict[str, Any] = {"atol": 2e-5, "rtol": 1e-5}


def published(name: str) -> dict[str, Tensor]:
    facts = about(name)
    return filled(facts["params"], facts["seed"], facts["gain"])


def ordered(network: torch.nn.Module) -> list[Tensor]:
    """A network's tensors in the order of its layers, which is the published one's."""
    return list(network.state_dict().values())


def layout_of(tensors: dict[str, Tensor]) -> Layout:
    (layout,) = [layout for layout in METHOD.layouts if layout.fits(tensors)]
    return layout


@pytest.fixture(scope="module")
def generator() -> ContextEncoder:
    tensors = published("context-encoder-pytorch-g")
    # as the published file, which older PyTorch wrote
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    layout = layout_of(tensors)
    parts, stray = layout.translate(tensors)
    assert layout.name == "boyuanjiang" and not stray
    assert layout.config(parts, "original") == ContextEncoderConfig()
    network = METHOD.build(layout.config(parts, "original"))
    assert isinstance(network, ContextEncoder)
    load_strictly(network, parts["generator"], layout.parts["generator"].optional)
    return network.eval()


@torch.no_grad()
def test_generator(generator: ContextEncoder) -> None:
    stored = arrays("context-encoder-pytorch-g")
    image = stored["input.image"]
    masked = generator.masked(image, CENTRE.mask(image))
    assert_close(masked, stored["output.masked"], **TOLERANCE)
    encoded = generator.encode(masked)
    assert_close(encoded, stored["output.encoded"], **TOLERANCE)
    code = generator.code(encoded)
    assert_close(code, stored["output.bottleneck"], **TOLERANCE)
    assert_close(generator.decode(code), stored["output.pred"], **TOLERANCE)
    assert_close(generator.centre(stored["input.batch_image"]), stored["output.batch_pred"], **TOLERANCE)
    # the published discriminators judge what the generator draws: refined holds all of it
    mask = CENTRE.mask(image)
    refined = generator(image, mask).refined
    assert refined is not None
    assert_close(CENTRE.crop(refined), stored["output.pred"], **TOLERANCE)
    assert_close(torch.where(mask > 0, refined, image), stored["output.comp"], **TOLERANCE)


def test_door(generator: ContextEncoder) -> None:
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 64, 92] = 1
    with pytest.raises(InputError, match=r"leaves the middle 56x56 .* model\(picture, mask\)"):
        generator(torch.zeros(1, 3, 128, 128), mask)
    with pytest.raises(InputError, match="knows 128x128 only"):
        generator(torch.zeros(1, 3, 128, 256), torch.zeros(1, 1, 128, 256))


@torch.no_grad()
def test_discriminator() -> None:
    tensors, stored = published("context-encoder-pytorch-d"), arrays("context-encoder-pytorch-d")
    layout = layout_of(tensors)
    parts, stray = layout.translate(tensors)
    assert not stray and layout.config(parts, "original") == ContextEncoderConfig()
    network = METHOD.critics(layout.config(parts, "original"))["discriminator"]
    assert isinstance(network, ContextDiscriminator)
    load_strictly(network, parts["discriminator"])
    network.eval()
    assert_close(network(stored["input.image"]), stored["output.score"], **TOLERANCE)
    assert_close(network(stored["input.batch_image"]), stored["output.batch_score"], **TOLERANCE)
    assert_close(network(stored["input.batch_image"], logits=True), stored["output.batch_logit"], **TOLERANCE)
    picture = torch.zeros(2, 3, 128, 128)
    picture[..., 32:96, 32:96] = stored["input.batch_image"]
    assert_close(network(picture, CENTRE.mask(picture)), stored["output.batch_score"], **TOLERANCE)


def test_files_as_published(tmp_path: Path) -> None:
    """dict(epoch, state_dict); sizes are read off the shapes, so that a narrow network stands for the whole."""
    config = ContextEncoderConfig(width=4, bottleneck=24, critic_width=4)
    generator, discriminator = METHOD.build(config).eval(), METHOD.critics(config)["discriminator"].eval()
    tree = dict(zip(about("context-encoder-pytorch-g")["params"], ordered(generator), strict=True))
    old = {name: tensor for name, tensor in tree.items() if "num_batches" not in name}
    torch.save({"epoch": 76, "state_dict": old}, tmp_path / "netG_streetview.pth")
    tree = dict(zip(about("context-encoder-pytorch-d")["params"], ordered(discriminator), strict=True))
    torch.save({"epoch": 76, "state_dict": tree}, tmp_path / "netlocalD.pth")

    alone = load_file(tmp_path / "netG_streetview.pth")
    assert (alone.method, alone.layout, alone.critics) == ("context-encoder", "boyuanjiang", {})
    judge = load_file(tmp_path / "netlocalD.pth")
    assert judge.generator is None and judge.critics.keys() == {"discriminator"}
    both = load_file(tmp_path)
    assert both.config == config and both.generator is not None
    image = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        ours: Any = both.generator
        theirs: Any = generator
        assert torch.equal(ours.centre(image), theirs.centre(image))
        assert torch.equal(both.critics["discriminator"](image, image), discriminator(image, image))


@pytest.mark.parametrize(
    ("preset", "generator_parameters", "discriminator_parameters"),
    [("centre", 71_124_544, 2_765_568), ("any-128", 71_196_259, 2_832_257), ("any-64", 71_064_803, 2_766_529)],
)
def test_parameters(preset: str, generator_parameters: int, discriminator_parameters: int) -> None:
    """The generators' counts are those of the published codes; "any" has biases."""
    with torch.device("meta"):
        generator = METHOD.build(METHOD.presets[preset])
        discriminator = METHOD.critics(METHOD.presets[preset])["discriminator"]
    assert sum(parameter.numel() for parameter in generator.parameters()) == generator_parameters
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == discriminator_parameters


@torch.no_grad()
@pytest.mark.parametrize("side", [64, 128])
def test_any_region(side: Literal[64, 128]) -> None:
    """Holes anywhere; larger pictures pass, because the networks are convolutional."""
    config = ContextEncoderConfig(region="any", side=side, width=4, bottleneck=16, critic_width=4, bias=True)
    generator, discriminator = METHOD.build(config).eval(), METHOD.critics(config)["discriminator"].eval()
    image, mask = torch.rand(2, 3, side, side) * 2 - 1, torch.zeros(2, 1, side, side)
    mask[0, :, :9, 3:40] = 1
    refined = generator(image, mask).refined
    assert refined.shape == image.shape and refined.abs().max() <= 1
    assert torch.equal(generator(image * (1 - mask), mask).refined, refined)
    assert discriminator(refined, mask).shape == (2, 1)
    larger = torch.zeros(1, 3, side, side + generator.multiple)
    assert generator(larger, larger[:, :1]).refined.shape == larger.shape


def test_centre_knows_one_size() -> None:
    with pytest.raises(InputError, match="choose region any"):
        METHOD.build(ContextEncoderConfig(side=64))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("region", ["centre", "any"])
def test_other_precisions(dtype: torch.dtype, region: str) -> None:
    config = ContextEncoderConfig(region=region, width=4, bottleneck=16)  # type: ignore[arg-type]
    generator = METHOD.build(config).to(dtype).eval()
    image = torch.zeros(1, 3, 128, 128, dtype=dtype)
    assert generator(image, CENTRE.mask(image)).refined.dtype == dtype
