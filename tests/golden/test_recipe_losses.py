"""Recipes lower what the published codes compute: their turns on stored predictions give the stored numbers.

The generator of these tests answers with the stored prediction; discriminators and backbones have the golden weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from helpers import about, arrays, filled
from torch import Tensor, nn

from retouche.backbones.vgg import VGG, vgg
from retouche.methods import find
from retouche.methods.method import Batch, Prediction, RecipeContext
from retouche.weights.layout import load_strictly


class Answer(nn.Module):
    """A generator that has made up its mind."""

    def __init__(self, **prediction: Tensor) -> None:
        super().__init__()
        self.prediction = Prediction(**{"refined": None, **prediction})

    def forward(self, image: Tensor, mask: Tensor, **guides: Any) -> Prediction:
        return self.prediction


def played(
    method: str, preset: str, networks: dict[str, nn.Module], backbone: VGG, batch: Batch, **weights: float
) -> dict[str, dict[str, Tensor]]:
    """One step's losses, role by role; `weights` replace the preset's."""
    record = find(method)
    assert record.recipe is not None
    training = replace(record.recipes[preset], **weights)
    recipe = record.recipe(training, networks, RecipeContext(lambda *args, **kwargs: backbone))
    return dict(recipe.updates([batch], 0))


def golden_critic(method: str, preset: str, name: str) -> nn.Module:
    """The discriminator of a loss file."""
    said, record = about(name), find(method)
    critic = record.critics(record.presets[preset])["discriminator"]
    tensors = filled(said["params"]["discriminator"], said["seed"], said["discriminator_gain"])
    layout = next(layout for layout in record.layouts if layout.fits(tensors))
    load_strictly(critic, layout.translate(tensors)[0]["discriminator"])
    return critic.eval()


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours.reshape(theirs.shape), theirs, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_aot_gan() -> None:
    said, stored = about("aotgan-losses"), arrays("aotgan-losses")
    backbone = vgg(19, filled(said["params"]["vgg"], said["seed"], said["gain"]))
    image, prediction, mask = (stored[f"input.{name}"] for name in ("image", "pred", "mask"))
    networks = {
        "generator": Answer(refined=prediction),
        "discriminator": golden_critic("aot-gan", "aot", "aotgan-losses"),
    }
    updates = played("aot-gan", "aot-code", networks, backbone, Batch(image, mask))
    same(updates["discriminator"]["adversarial"], stored["output.dis_loss"])
    terms = updates["generator"]
    same(terms["adversarial"] / 0.01, stored["output.gen_loss"])
    same(terms["reconstruction"], stored["output.l1"])
    same(terms["perceptual"] / 0.1, stored["output.perceptual"])
    same(terms["style"] / 250, stored["output.style"])
    same(torch.stack(list(terms.values())).sum(), stored["output.total"])


@torch.no_grad()
def test_structural_inpainting() -> None:
    said, stored = about("structural-losses"), arrays("structural-losses")
    weights = filled(said["params"]["vgg"], said["seed"], said["gain"])
    backbone = vgg(16, weights, last="relu3_1", normalisation="caffe", order="bgr")
    image, prediction = (nn.functional.pad(2 * stored[f"input.{name}"] - 1, (32,) * 4) for name in ("image", "pred"))
    mask = torch.zeros(len(image), 1, 128, 128)
    mask[..., 36:92, 36:92] = 1
    networks = {
        "generator": Answer(refined=prediction),
        "discriminator": golden_critic("structural", "structural", "structural-losses"),
    }
    first = played("structural", "structural", networks, backbone, Batch(image, mask))
    assert first.keys() == {"generator"}
    same(torch.stack(list(first["generator"].values())).sum(), stored["output.struct_loss"])
    updates = played("structural", "joint", networks, backbone, Batch(image, mask))
    same(updates["discriminator"]["binary"], stored["output.dis_loss"])
    terms = updates["generator"]
    same(terms["centre"], stored["output.recon_center"])
    same(terms["overlap"], stored["output.recon_overlap"])
    same(torch.stack([terms[f"relu{i}_1"] for i in (1, 2, 3)]), stored["output.feature_layers"])
    same(terms["adversarial"] / 0.1, stored["output.adv_loss"])
    same(torch.stack(list(terms.values())).sum(), stored["output.joint_loss"])


def test_structure_flow() -> None:
    said, stored = about("structureflow-correctness"), arrays("structureflow-correctness")
    params = said["params"].get("vgg", said["params"])
    backbone = vgg(19, filled(params, said["seed"], said["gain"]), normalisation="none")
    record = find("structure-flow")
    for case in "ab":
        image, made, mask = (stored[f"input.{case}.{name}"] for name in ("gt", "result", "mask"))
        flow = stored[f"input.{case}.flow"].requires_grad_()
        networks: dict[str, nn.Module] = {"generator": Answer(refined=made, flow=flow)}
        networks |= record.critics(record.presets["texture"])
        batch = Batch(image, mask, structure=image)
        # the joint stage's terms without its need of a structure network
        joint = {name: getattr(record.recipes["joint"], name) for name in ("correctness", "content", "style")}
        assert joint == {"correctness": 0.25, "content": 0.1, "style": 250}
        terms = played("structure-flow", "texture", networks, backbone, batch, **joint)["generator"]
        same((terms["content"] / 0.1).detach(), stored[f"output.{case}.content"])
        style = (terms["style"] / 250).detach().reshape(1)
        torch.testing.assert_close(style, stored[f"output.{case}.style"], atol=0, rtol=1e-4)
        correctness = terms["correctness"] / 0.25
        torch.testing.assert_close(correctness.reshape(1), stored[f"output.{case}.loss"], atol=1e-5, rtol=0)
        (slope,) = torch.autograd.grad(correctness, flow)
        wanted = stored[f"output.{case}.grad_flow"]
        torch.testing.assert_close(slope, wanted, atol=1e-4 * wanted.abs().max().item(), rtol=0)
