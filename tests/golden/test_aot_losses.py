"""AOT-GAN's losses give the published code's numbers."""

from __future__ import annotations

import torch
from helpers import about, arrays, filled
from torch import Tensor, nn

from retouche import losses
from retouche.backbones.vgg import VGG, vgg
from retouche.losses.perceptual import PERCEPTUAL_LAYERS, STYLE_LAYERS, features, gram
from retouche.methods import find
from retouche.weights.layout import load_strictly

NAME = "aotgan-losses"


def networks() -> tuple[VGG, nn.Module]:
    said = about(NAME)
    backbone = vgg(19, filled(said["params"]["vgg"], said["seed"], said["gain"]))
    record = find("aot-gan")
    critic = record.critics(record.presets["aot"])["discriminator"]
    tensors = filled(said["params"]["discriminator"], said["seed"], said["discriminator_gain"])
    load_strictly(critic, record.layouts[0].translate(tensors)[0]["discriminator"])
    return backbone, critic.eval()


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours.reshape(theirs.shape), theirs, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_losses() -> None:
    backbone, critic = networks()
    stored = arrays(NAME)
    image, prediction, mask = (stored[f"input.{name}"] for name in ("image", "pred", "mask"))
    filled_in = image * (1 - mask) + prediction * mask

    same(losses.l1(prediction, image), stored["output.l1"])
    perceptual, style = losses.perceptual_and_style(backbone, prediction, image)
    same(perceptual, stored["output.perceptual"])
    same(style, stored["output.style"])
    ours, theirs = features(backbone, prediction, image, [*PERCEPTUAL_LAYERS, *STYLE_LAYERS])
    same(
        torch.stack([(ours[n] - theirs[n]).abs().mean() for n in PERCEPTUAL_LAYERS]), stored["output.perceptual_layers"]
    )
    same(
        torch.stack([(gram(ours[n]) - gram(theirs[n])).abs().mean() for n in STYLE_LAYERS]),
        stored["output.style_layers"],
    )

    same(losses.soft_label(mask), stored["output.soft_label"])
    real, fake = critic(image), critic(filled_in)
    critic_loss = losses.soft_mask_critic(real, fake, mask, labels="code")
    generator_loss = losses.soft_mask_generator(fake, mask, region="whole")
    same(critic_loss, stored["output.dis_loss"])
    same(generator_loss, stored["output.gen_loss"])
    total = losses.l1(prediction, image) + 250 * style + 0.1 * perceptual + 0.01 * generator_loss
    same(total, stored["output.total"])
