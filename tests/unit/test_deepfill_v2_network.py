"""DeepFill v2's networks apart from published numbers: sizes, switches, guides, and what may not leak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from retouche.errors import InputError, WeightsError
from retouche.methods.deepfill_v2 import LAYOUTS, METHOD, DeepFillV2Config, DeepFillV2Generator, PatchCritic
from retouche.weights.layout import load_strictly

SMALL: dict[str, Any] = {"width": 8, "decoder_width": 8, "critic_width": 4}


def count(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_published_sizes() -> None:
    with torch.device("meta"):
        official = DeepFillV2Generator(METHOD.presets["places2"])
        assert (count(official), len(official.state_dict())) == (4_052_478, 84)
        assert count(DeepFillV2Generator(METHOD.presets["mmagic"])) == 4_414_908
        for preset in ("places2", "mmagic"):
            assert count(METHOD.critics(METHOD.presets[preset])["discriminator"]) == 5_946_816


@pytest.mark.parametrize("preset", METHOD.presets)
def test_presets_fill_and_learn(preset: str) -> None:
    config = replace(METHOD.presets[preset], **SMALL)
    assert METHOD.build is not None
    torch.manual_seed(0)
    generator, critic = METHOD.build(config), METHOD.critics(config)["discriminator"]
    image = torch.rand(2, 3, 72, 80) * 2 - 1
    mask = torch.zeros(2, 1, 72, 80)
    mask[:, :, 20:50, 30:60] = 1
    prediction = generator(image, mask)
    assert prediction.refined.shape == prediction.coarse.shape == image.shape
    assert prediction.refined.abs().max() <= 1
    critic(prediction.refined, mask).mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in generator.parameters())


@pytest.mark.parametrize("preset", METHOD.presets)
def test_what_the_hole_holds_does_not_matter(preset: str) -> None:
    generator = DeepFillV2Generator(replace(METHOD.presets[preset], **SMALL)).eval()
    image = torch.rand(1, 3, 72, 72)
    mask = torch.zeros(1, 1, 72, 72)
    mask[..., 16:40, 24:64] = 1
    with torch.no_grad():
        given, blanked = generator(image, mask), generator(image * (1 - mask), mask)
    assert torch.equal(given.refined, blanked.refined)


def test_sketch_counts_inside_the_hole_only() -> None:
    generator = DeepFillV2Generator(DeepFillV2Config(width=8, decoder_width=8, sketch=True)).eval()
    image, mask = torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[..., 8:16, 8:16] = 1
    inside, outside = torch.zeros_like(mask), torch.zeros_like(mask)
    inside[..., 10, 8:16] = 1
    outside[..., 20, 8:16] = 1
    with torch.no_grad():
        without = generator(image, mask).refined
        assert torch.equal(generator(image, mask, sketch=outside).refined, without)
        assert not torch.equal(generator(image, mask, sketch=inside).refined, without)
    with pytest.raises(InputError, match="sketch is"):
        generator(image, mask, sketch=inside[..., :16])
    with pytest.raises(InputError, match="takes no sketch"):
        DeepFillV2Generator(DeepFillV2Config(width=8, decoder_width=8))(image, mask, sketch=inside)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    for convolution in ("gated", "partial"):
        generator = DeepFillV2Generator(DeepFillV2Config(width=8, decoder_width=8, convolution=convolution)).to(dtype)
        refined = generator(torch.zeros(1, 3, 16, 16, dtype=dtype), torch.ones(1, 1, 16, 16)).refined
        assert refined.dtype == dtype and refined.isfinite().all()


def test_partial_knows_what_is_valid_in_the_first_stage() -> None:
    """A plain network sees zeros in the hole, a partial one corrects for them: constant in, constant out."""
    config = DeepFillV2Config(width=8, decoder_width=8, convolution="partial", activation="none")
    coarse: Any = DeepFillV2Generator(config).coarse.conv1
    torch.nn.init.constant_(coarse.conv.weight, 1.0)
    known = torch.ones(1, 1, 16, 16)
    known[..., 4:8, 4:8] = 0
    made, valid = coarse(torch.ones(1, 5, 16, 16) * known, known)
    assert valid.all()  # a kernel of 5 sees across a hole of 4
    assert torch.allclose(made, made[..., :1, :1].expand_as(made))


def test_smallest_sides() -> None:
    for preset, side in (("places2", 8), ("mmagic", 72)):
        generator = DeepFillV2Generator(replace(METHOD.presets[preset], **SMALL)).eval()
        assert generator.smallest == side
        with torch.no_grad():
            refined = generator(torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side)).refined
        assert refined.shape == (1, 3, side, side) and refined.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 10}, "multiple of 4"),
        ({"convolution": "dense"}, "known: gated"),
        ({"attention": "self"}, "known: official"),
        ({"activation": "swish"}, "no activation"),
        ({"padding": "mirror"}, "no padding"),
    ],
)
def test_settings_are_refused_in_words(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        DeepFillV2Generator(replace(DeepFillV2Config(**SMALL), **wrong))


def test_other_sizes_are_read_off_a_file() -> None:
    """A guided network of another width, named as nipponjo's code names it."""
    config = DeepFillV2Config(**SMALL, sketch=True)
    ours = DeepFillV2Generator(config).state_dict()
    layout = next(layout for layout in LAYOUTS if layout.name == "tf")
    names = {to: name.replace("\\", "") for name, to in layout.parts["generator"].rename}
    tensors = {names[name]: tensor for name, tensor in ours.items()}
    critic = {
        f"D.{name.removesuffix('_orig').replace('.', '.conv_sn.')}": tensor
        for name, tensor in PatchCritic(config).state_dict().items()
        if not name.endswith("_v")
    }
    parts, stray = layout.translate(tensors | critic)
    assert not stray and layout.config(parts, "original") == config
    load_strictly(DeepFillV2Generator(config), parts["generator"])
    load_strictly(PatchCritic(config), parts["discriminator"])
    with pytest.raises(WeightsError, match="1 missing"):
        load_strictly(DeepFillV2Generator(config), dict([*parts["generator"].items()][1:]))


def test_deepfill_v1_checkpoints_are_not_taken() -> None:
    """Its TensorFlow names are the same; only a gated layer makes twice what the next one takes."""
    layout = next(layout for layout in LAYOUTS if layout.name == "official")
    shapes = {"conv1": (5, 5, 5, 32), "conv2_downsample": (3, 3, 32, 64)}
    v1 = {f"inpaint_net/{name}/kernel": torch.zeros(shape) for name, shape in shapes.items()}
    assert not layout.fits(v1)
    shapes = {"conv1": (5, 5, 5, 48), "conv2_downsample": (3, 3, 24, 96)}
    assert layout.fits({f"inpaint_net/{name}/kernel": torch.zeros(shape) for name, shape in shapes.items()})
