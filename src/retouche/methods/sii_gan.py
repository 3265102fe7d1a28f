"""SII-GAN: AOT-GAN with narrow branches, "synthetical image inpainting GAN".

Source: lazy-cat-y/SII-GAN-for-Image-Inpainting, a text and its code; no paper, no published weights or results.
The two disagree, so there are two presets. `siigan` is the text read literally: branches joined without a fusing
convolution, a plain gate that keeps the old, the hole painted grey, the fourth channel 1 at known pixels, a
discriminator of 3x3 kernels. `siigan-code` is the repository: AOT-GAN's input, gate, fusing and discriminator, and
branches that shrink by 2 pixels and are scaled back. What the text leaves open is taken from AOT-GAN.
"""

from __future__ import annotations

from dataclasses import replace

from retouche.methods.aot_gan import (
    AS_CODED,
    CRITIC,
    CRITIC_NAMES,
    DATA,
    GENERATOR_NAMES,
    NARROW,
    RESEARCHMM_DISCRIMINATOR,
    RESEARCHMM_GENERATOR,
    SCOPE,
    AOTConfig,
    AOTGenerator,
    AOTLossConfig,
    AOTTrainingConfig,
    PatchDiscriminator,
    SoftMaskRecipe,
    sizes,
)
from retouche.methods.method import Method
from retouche.weights.layout import Layout, Part, Parts

TEXT = AOTConfig(blocks=10, branch="narrow", fuse=False, gate="plain", blank=0.0, mask_channel="known", critic_kernel=3)
CODE = AOTConfig(blocks=10, branch="shrinking")

OBJECTIVES = {
    "siigan": AOTLossConfig(adversarial=0.05, perceptual=0.2, style=300.0, region="whole", feature_target="composite"),
    "siigan-code": AOTLossConfig(),
}
"""Preset -> what its training lowers. The text says 1 for known pixels and takes plain expectations; its bracket in
(D(z) - σ(m)^2) is misplaced."""

_CODE = AOTTrainingConfig(network=CODE, data=replace(DATA, batch=1), objective=OBJECTIVES["siigan-code"], epsilon=1e-5)
RECIPES = {
    # the text gives coefficients only: the rest is AOT-GAN's
    "siigan": AOTTrainingConfig(network=TEXT, objective=OBJECTIVES["siigan"]),
    "siigan-code": _CODE,
    "siigan-code-labels": replace(_CODE, objective=AS_CODED),  # the repository as it stands
}


def _config(parts: Parts, semantics: str) -> AOTConfig:
    return replace(CODE, **sizes(parts))  # type: ignore[arg-type]  # all of them are whole numbers


LAYOUTS = (
    Layout(
        name="lazycat",
        parts={
            "generator": Part(
                NARROW,
                rename=(
                    (r"middle\.(\d+)\.block0(\d+)\.3\.(\w+)", r"blocks.\1.branches.\2.squeeze.\3"),
                    (r"middle\.(\d+)\.block0(\d+)\.5\.(\w+)", r"blocks.\1.branches.\2.inner.\3"),
                    (r"middle\.(\d+)\.block0(\d+)\.7\.(\w+)", r"blocks.\1.branches.\2.expand.\3"),
                    *RESEARCHMM_GENERATOR,
                ),
                only=GENERATOR_NAMES,
            ),
            # alone in a file it cannot be distinguished from AOT-GAN's and loads as that
            CRITIC: Part("conv.0.weight_orig", rename=RESEARCHMM_DISCRIMINATOR, only=CRITIC_NAMES),
        },
        config=_config,
        detects=lambda tensors: NARROW in tensors,
        order_source="its data set reads pictures by Pillow as RGB",
    ),
)

METHOD = Method(
    title="SII-GAN (lazy-cat-y)",
    source="lazy-cat-y/SII-GAN-for-Image-Inpainting, after arXiv 2104.01431",
    presets={"siigan": TEXT, "siigan-code": CODE},
    build=AOTGenerator,
    critics=lambda config: {CRITIC: PatchDiscriminator(config)},
    layouts=LAYOUTS,
    channels_last=True,
    scope=lambda config: SCOPE,
    recipes=RECIPES,
    recipe=SoftMaskRecipe,
)
