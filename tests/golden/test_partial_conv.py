"""Partial convolutions against what mmagic's and naoto's codes compute: networks, losses, gradients.

Pictures 5e-5; where the mask never fills (values of hundreds) and features 2e-5 of the largest value; masks exactly.
Losses 1e-5 relative, gradients by 2-norm: 1e-2 on given pictures, 2e-2 through the networks (few pixels change the
winner of a maximum pool or the sign of a ReLU).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import about, arrays, assert_close, filled
from torch import Tensor

import retouche
from retouche.backbones.vgg import VGG, vgg
from retouche.errors import WeightsError
from retouche.image import composite
from retouche.losses.partial import LAYERS, hole_and_valid, perceptual_and_style_of_both, total_variation
from retouche.losses.perceptual import features, gram
from retouche.methods.loading import load_file
from retouche.methods.method import Batch, RecipeContext
from retouche.methods.partial_conv import (
    MMAGIC,
    NAOTO,
    RECIPES,
    PartialRecipe,
    PartialUNet,
    freeze_encoder,
    generator_terms,
)
from retouche.training.validation import still

NAMES = ("mmagic", "naoto")


@cache
def published(name: str) -> dict[str, Tensor]:
    facts = about(f"pconv-{name}-g")
    tensors = filled(facts["params"], facts["seed"], facts["gain"])
    tensors |= {key: tensors[key] * torch.tensor(factor) for key, factor in facts["scale"].items()}
    return tensors | {key: torch.ones(shape) for key, shape in facts["constants"].items()}


def container(name: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """As published: mmagic's with its loss's VGG, naoto's with Adam's state."""
    if name == "mmagic":
        extra = {"loss_percep.vgg.mean": torch.zeros(1, 3, 1, 1), "loss_percep.vgg.vgg_layers.0.bias": torch.zeros(64)}
        return {"meta": {"iter": 1}, "state_dict": {**tensors, **extra}}
    return {"n_iter": 7, "model": tensors, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}}


@pytest.fixture(scope="module", params=NAMES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, retouche.Model]:
    path = tmp_path_factory.mktemp("pconv") / "published.pth"
    torch.save(container(request.param, published(request.param)), path)
    return request.param, retouche.load(path)


def network(model: retouche.Model) -> PartialUNet:
    assert isinstance(model.generator, PartialUNet)
    return model.generator


def as_image(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def assert_relative(ours: Tensor, stored: Tensor, share: float) -> None:
    assert_close(ours, stored, share * stored.abs().max().item())


def raw(generator: PartialUNet, image: Tensor, mask: Tensor) -> Tensor:
    """What the layers put out, in their numbers and their order, through the door."""
    axes = [1] if generator.order == "bgr" else []
    return generator.to_space(generator(image.flip(axes), mask).refined).flip(axes)


@torch.inference_mode()
def test_networks(loaded: tuple[str, retouche.Model]) -> None:
    name, model = loaded
    expected = ("partial-conv", name, name, {"mmagic": "bgr", "naoto": "rgb"}[name])
    generator = network(model)
    assert (model.method, model.layout, model.preset, generator.order) == expected
    stored = arrays(f"pconv-{name}-g")
    for case in ("", "batch_", "far_"):
        image, mask = as_image(stored[f"input.{case}image"]), stored[f"input.{case}mask"].float()
        made = raw(generator, image, mask)
        compare = assert_relative if case == "far_" else assert_close
        compare(made[..., ::3, ::3], stored[f"output.{case}pred_every3"], 2e-5 if case == "far_" else 5e-5)
        if case == "far_":
            assert made[..., 383:].abs().max() == 0
        if case == "":
            assert_close(made[..., 96:192, 96:192], stored["output.pred_crop"], 5e-5)
        # the masks, sample 0's after each layer and the last
        known = 1 - mask
        levels = generator.encode(generator.to_space(image) * known, known)
        masks = torch.cat([level[1][0, 0].flatten() for level in levels[1:]])
        assert torch.equal(masks, stored[f"output.{case}encoder_masks"].float())
        final = generator.decode(levels)[1]
        assert torch.equal(final[..., ::3, ::3], stored[f"output.{case}mask_every3"].float())
        if case == "batch_":  # a picture of the batch by itself
            assert_close(raw(generator, image[1:], mask[1:]), made[1:], 5e-5)


@torch.inference_mode()
def test_features(loaded: tuple[str, retouche.Model]) -> None:
    name, model = loaded
    stored, generator = arrays(f"pconv-{name}-g"), network(model)
    known = 1 - stored["input.mask"].float()
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda layer, given, made, place=place: seen.update({place: made[0]}))
        for place, layer in (
            ("enc2", generator.encoder[1]),
            ("enc7", generator.encoder[6]),
            ("dec4", generator.decoder[3]),
        )
    ]
    generator.decode(generator.encode(generator.to_space(as_image(stored["input.image"])) * known, known))
    for hook in hooks:
        hook.remove()
    underscore = "_" if name == "naoto" else ""
    for place, made in seen.items():
        made = made if place == "enc7" else made[:, :4]
        made = made[..., ::2, ::2] if place == "enc2" else made
        assert_relative(made, stored[f"output.{place[:3]}{underscore}{place[3]}"], 2e-5)


@torch.inference_mode()
def test_soft_masks(loaded: tuple[str, retouche.Model]) -> None:
    name, model = loaded
    if name != "naoto":
        pytest.skip("only naoto's network was trained with soft masks")
    stored = arrays("pconv-naoto-g")
    known = stored["input.soft_known"].float() / 255
    made = raw(network(model), as_image(stored["input.soft_image"]), 1 - known)
    assert_close(made[..., ::3, ::3], stored["output.soft_pred_every3"], 5e-5)


def test_no_hole_stays_grey(loaded: tuple[str, retouche.Model]) -> None:
    """The network by itself leaves grey what is far from everything known; a picture is then seen smaller."""
    name, model = loaded
    stored = arrays(f"pconv-{name}-g")
    picture = stored["input.far_image"][0].permute(1, 2, 0).numpy()
    hole = stored["input.far_mask"][0, 0].numpy() > 0
    filled, report = model(picture, hole, dilate=0, report=True)
    assert report.holes[0].strategy.startswith("scale")
    assert filled[:, 383:].reshape(-1, 3).std(0).min() > 1


def test_hidden_values_do_not_matter(loaded: tuple[str, retouche.Model]) -> None:
    name, model = loaded
    stored = arrays(f"pconv-{name}-g")
    image, mask = as_image(stored["input.image"])[..., :128, :128], stored["input.mask"].float()[..., :128, :128]
    with torch.inference_mode():
        made = network(model)(image, mask).refined
        assert torch.equal(made, network(model)(image * (1 - mask) - 0.7 * mask, mask).refined)


def test_sizes(loaded: tuple[str, retouche.Model]) -> None:
    name, model = loaded
    parameters = sum(weight.numel() for weight in network(model).parameters())
    assert parameters == {"mmagic": 25_779_860, "naoto": 25_779_796}[name]
    assert (model.multiple, model.smallest) == (128, 128)


@pytest.mark.parametrize("name", NAMES)
def test_files_of_other_networks_are_refused(name: str, tmp_path: Path) -> None:
    path, tensors = tmp_path / "file.pth", published(name)
    place, weight, ones, deep = {
        "mmagic": ("generator.encoder.enc1.conv.", "weight", "weight_mask_updater", "generator.decoder.dec5"),
        "naoto": ("enc_1.conv.", "input_conv.weight", "mask_conv.weight", "dec_5"),
    }[name]
    first, ones = place + weight, place + ones
    counted = {**tensors, ones: tensors[ones] * 0.5}
    wide = torch.randn(64, 4, 7, 7)
    four = {**tensors, first: wide, ones: torch.ones_like(wide)}  # as deocclusion's, which also sees a map
    shallow = {key: tensor for key, tensor in tensors.items() if not key.startswith(deep)}
    cases = ((counted, "not all ones"), (four, "4 channels instead of"), (shallow, "missing"))
    for broken, words in cases:
        torch.save(container(name, broken), path)
        with pytest.raises(WeightsError, match=words):
            load_file(path)
    without = {key: tensor for key, tensor in tensors.items() if "mask" not in key}
    torch.save(without, path)  # bare, and without the kernels that are not needed
    assert load_file(path).preset == name


# Losses


@cache
def backbone() -> VGG:
    facts = about("pconv-losses")
    return vgg(16, filled(facts["params"]["vgg"], facts["seed"], facts["gain"]), last="pool3")


def value(stored: dict[str, Tensor], name: str, ours: Tensor) -> None:
    expected = stored[f"output.{name}"].item()
    assert ours.item() == pytest.approx(expected, rel=1e-5), name


def gradient_close(ours: Tensor, stored: Tensor, share: float) -> None:
    apart = ((ours - stored).norm() / stored.norm()).item()
    assert apart <= share, f"gradient differs by {apart:.2g} of its norm"


SMALL = {name: PartialUNet(replace(base, width=1, levels=3)) for name, base in (("mmagic", MMAGIC), ("naoto", NAOTO))}
"""Networks that only lend what their numbers mean."""


@pytest.mark.parametrize("name", NAMES)
def test_losses_on_given_pictures(name: str) -> None:
    stored = arrays("pconv-losses")
    image, mask = stored["input.image"], stored["input.mask"].float()
    made = stored["input.pred"].clone().requires_grad_()
    if name == "naoto":  # its gradient is in its own space
        made_there = SMALL[name].to_space(stored["input.pred"]).requires_grad_()
        made = SMALL[name].from_space(made_there)
    objective = RECIPES[f"{name}-places" if name == "mmagic" else name].objective
    objective = replace(objective, features="rgb")  # pictures are in the network's own order already
    terms = generator_terms(
        objective, SMALL[name], backbone(), Batch(image, mask), made, RecipeContext(vgg=lambda: None)
    )
    total = torch.stack(list(terms.values())).sum()
    value(stored, f"{name}.total", total)
    if name == "mmagic":
        theirs = {"l1_hole": "hole", "l1_valid": "valid", "tv": "variation", "out_percep": "perceptual_raw"}
        theirs |= {"composed_percep": "perceptual_filled", "out_style": "style_raw", "composed_style": "style_filled"}
        for their, ours in theirs.items():
            value(stored, f"mmagic.{their}", terms[ours])
        (slope,) = torch.autograd.grad(total, made)
    else:
        value(stored, "naoto.hole", terms["hole"] / 6)
        value(stored, "naoto.valid", terms["valid"])
        value(stored, "naoto.tv", terms["variation"] / 0.1)
        value(stored, "naoto.prc", (terms["perceptual_raw"] + terms["perceptual_filled"]) / 0.05)
        value(stored, "naoto.style", (terms["style_raw"] + terms["style_filled"]) / 120)
        (slope,) = torch.autograd.grad(total, made_there)
    gradient_close(slope, stored[f"output.{name}.grad_pred"], 1e-2)


@torch.no_grad()
def test_layers_of_the_features() -> None:
    stored = arrays("pconv-losses")
    image, made, mask = stored["input.image"], stored["input.pred"], stored["input.mask"].float()
    for name, shown in (("out", made), ("comp", composite(image, made, mask))):
        found, wanted = features(backbone(), shown, image, LAYERS)
        apart = torch.stack([(found[layer] - wanted[layer]).abs().mean() for layer in LAYERS])
        styles = torch.stack([(gram(found[layer]) - gram(wanted[layer])).abs().mean() for layer in LAYERS])
        for code in NAMES:
            assert torch.allclose(apart, stored[f"output.{code}.percep_{name}"], rtol=1e-5)
            assert torch.allclose(styles, stored[f"output.{code}.style_{name}"], rtol=1e-5)


@torch.no_grad()
def test_forms_nearest_to_the_paper_and_nvidias_loss() -> None:
    stored = arrays("pconv-losses")
    image, made, mask = stored["input.image"], stored["input.pred"], stored["input.mask"].float()
    there, here = (image + 1) / 2, (made + 1) / 2  # in 0..1
    hole, valid = hole_and_valid(here, there, mask)
    value(stored, "formula.hole", hole)
    value(stored, "formula.valid", valid)
    value(stored, "formula.tv_paper", total_variation(composite(there, here, mask), mask))
    perceptual, style = perceptual_and_style_of_both(backbone(), made, made, image)["raw"]
    pixels = (SMALL["naoto"].to_space(made) - SMALL["naoto"].to_space(image)).abs().mean()
    value(stored, "nvidia.perceptual", 0.05 * perceptual)
    value(stored, "nvidia.style", 120 * style)
    value(stored, "nvidia.total", 5 * pixels + 0.05 * perceptual + 120 * style)


# Gradients

MODES = [("mmagic", mode) for mode in ("eval", "stage1", "stage2")] + [("naoto", mode) for mode in ("eval", "finetune")]
THEIRS = {
    "mmagic": {
        "generator.encoder.enc1.conv.weight": "encoder.0.conv.weight",
        "generator.decoder.dec1.conv.weight": "decoder.0.conv.weight",
        "generator.encoder.enc2.bn.weight": "encoder.1.norm.weight",
        "generator.decoder.dec7.bn.bias": "decoder.6.norm.bias",
    },
    "naoto": {
        "enc_1.conv.input_conv.weight": "encoder.0.conv.weight",
        "dec_1.conv.input_conv.weight": "decoder.0.conv.weight",
        "enc_2.bn.weight": "encoder.1.norm.weight",
        "dec_7.bn.bias": "decoder.6.norm.bias",
    },
}


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_gradients(name: str, mode: str, tmp_path: Path) -> None:
    """Through the recipe itself: its losses, its frozen norms, the door of the network."""
    torch.save(container(name, published(name)), tmp_path / "published.pth")
    generator = load_file(tmp_path / "published.pth").generator
    assert isinstance(generator, PartialUNet)
    stored = arrays("pconv-gradients")
    axes = [1] if generator.order == "bgr" else []
    # everybody's colours: the network exchanges them for itself, and the recipe for the backbone
    batch = Batch(as_image(stored["input.image"]).flip(axes), stored["input.mask"].float())
    preset = {"mmagic": "mmagic-places", "naoto": "naoto"}[name]
    preset += "-second" if mode in {"stage2", "finetune"} else ""
    generator.train(mode != "eval")
    tools = RecipeContext(vgg=lambda depth, last: backbone(), started=frozenset({"generator.encoder.0.conv.weight"}))
    recipe = PartialRecipe(RECIPES[preset], {"generator": generator}, tools)
    trained = {weight for group in recipe.optimizer("generator").param_groups for weight in group["params"]}
    encoder, decoder = generator.encoder, generator.decoder
    norm = encoder.get_parameter("1.norm.weight")
    assert (norm in trained) == (mode != "stage2")
    norm.requires_grad_()  # stored all the same
    ((role, terms),) = list(recipe.updates([batch], 0))
    total = torch.stack(list(terms.values())).sum()
    assert role == "generator"
    value(stored, f"{name}.{mode}.total", total)
    total.backward()
    weights = dict(generator.named_parameters())
    for their, ours in THEIRS[name].items():
        slope = weights[ours].grad
        assert slope is not None
        gradient_close(slope, stored[f"output.{name}.{mode}.{their}"], 2e-2)
    if name == "mmagic" and mode != "eval":
        place = f"output.mmagic.{mode}.generator."
        assert_relative(encoder.get_buffer("1.norm.running_mean"), stored[f"{place}encoder.enc2.bn.running_mean"], 1e-5)
        assert_relative(decoder.get_buffer("1.norm.running_var"), stored[f"{place}decoder.dec2.bn.running_var"], 1e-5)


def test_frozen_norms_stay_frozen_through_evaluation() -> None:
    generator = PartialUNet(replace(MMAGIC, width=2, levels=3))
    generator.train()
    freeze_encoder(generator, weights=True)
    with still(generator):
        assert not any(layer.training for layer in generator.modules())
    frozen = {layer for layer in generator.modules() if not layer.training}
    assert frozen == set(generator.encoder_norms) and len(frozen) == 2
    assert not any(weight.requires_grad for layer in frozen for weight in layer.parameters())
