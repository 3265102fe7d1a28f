"""Adversarial losses: what a discriminator or critic lowers, and what the generator lowers against it.

All but the gradient penalty take scores, not networks, and return scalars. `real` are the scores of original pictures,
`fake` those of filled ones; scores may have any shape, patch maps included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from retouche.errors import InputError


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """mean(relu(1 - real)) + mean(relu(1 + fake)); Lim and Ye 2017 (arXiv 1705.02894)."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """-mean(fake)."""
    return -fake.mean()


def least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    """(mean((real - 1)^2) + mean(fake^2)) / 2; Mao et al. 2017 (arXiv 1611.04076), labels 1 and 0."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(fake: Tensor) -> Tensor:
    """mean((fake - 1)^2), without the paper's factor 1/2, as published inpainting code has it."""
    return (fake - 1).square().mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """mean(fake) - mean(real); Arjovsky et al. 2017 (arXiv 1701.07875)."""
    return fake.mean() - real.mean()


def wasserstein_generator(fake: Tensor) -> Tensor:
    """-mean(fake)."""
    return -fake.mean()


def logistic_critic(real: Tensor, fake: Tensor, mask: Tensor | None = None) -> Tensor:
    """mean(softplus(-real)) + mean(softplus(fake)); Goodfellow et al. 2014 (arXiv 1406.2661).

    Args:
        real, fake: (N, 1, h, w), logits
        mask: (N, 1, H, W), 1 = hole, resized to the logits by their nearest pixel: where it is 0 the fake counts as
            real, as LaMa has it (arXiv 2109.07161)
    """
    if mask is None:
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()
    hole = functional.interpolate(mask.to(fake), fake.shape[-2:], mode="nearest")
    judged = hole * functional.softplus(fake) + (1 - hole) * functional.softplus(-fake)
    return functional.softplus(-real).mean() + judged.mean()


def logistic_generator(fake: Tensor) -> Tensor:
    """mean(softplus(-fake))."""
    return functional.softplus(-fake).mean()


def binary_critic(real: Tensor, fake: Tensor, weight: float = 1.0) -> Tensor:
    """Cross entropy of a discriminator that should say 1 to real and 0 to filled pictures: the logistic loss, weighted.

    Args:
        real, fake: logits of any shape
        weight: 0.1 in structural inpainting's code, 1 in the context encoder's (arXiv 1803.10348, 1604.07379)

    Returns: a scalar, 2 ln 2 times the weight for an undecided discriminator
    """
    return weight * logistic_critic(real, fake)


def binary_generator(fake: Tensor) -> Tensor:
    """Cross entropy of filled pictures against "real": what the generator lowers.

    Args:
        fake: logits of any shape

    Returns: a scalar, unweighted (0.1 in structural inpainting, 0.001 in the context encoder)
    """
    return logistic_generator(fake)


def r1_penalty(scores: Tensor, image: Tensor) -> Tensor:
    """The squared gradient norm of a critic at originals, averaged over pictures; Mescheder et al. 2018, without 1/2.

    Args:
        scores: of `image`, any shape, with their graph
        image: (N, 3, H, W), which requires gradients

    Source: R1 of arXiv 1801.04406
    """
    (gradient,) = torch.autograd.grad(scores.sum(), image, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    mask: Tensor | None = None,
    rule: Literal["masked", "plain", "mmagic"] = "masked",
    blend: Tensor | None = None,
) -> Tensor:
    """How far the critic's gradient norm between original and filled pictures is from 1.

    Args:
        critic: image -> scores; bind further arguments beforehand
        real: (N, 3, H, W), original pictures
        fake: filled pictures of the same shape
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole; without it the whole picture counts
        rule: "masked" takes one gradient per sample, sqrt(sum of gradient^2 * mask), as the original DeepFill v1 code;
            "plain" the same over the whole picture whatever the mask, as WGAN-GP; "mmagic" one gradient per pixel over
            the channels of gradient * mask, and divides the mean by mean(mask)
        blend: (N, 1, 1, 1), 0..1, where between real and fake to look; uniformly random by default

    Returns: mean((|gradient| - 1)^2), differentiable in the critic's weights
    Raises: InputError for another rule
    Source: Gulrajani et al. 2017 (arXiv 1704.00028); hole-masked in Yu et al. 2018 (arXiv 1801.07892).
    """
    if rule not in {"masked", "plain", "mmagic"}:
        raise InputError(f'no gradient penalty "{rule}": choose masked, plain or mmagic')
    if blend is None:
        blend = torch.rand(real.shape[0], 1, 1, 1, dtype=real.dtype, device=real.device)
    between = torch.lerp(real.detach(), fake.detach(), blend.to(real)).requires_grad_()
    scores = critic(between)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)  # (N, 3, H, W)
    if rule == "mmagic":
        if mask is None:
            return (torch.linalg.vector_norm(gradient, dim=1) - 1).square().mean()
        mask = mask.to(gradient)
        per_pixel = torch.linalg.vector_norm(gradient * mask, dim=1)  # (N, H, W)
        return (per_pixel - 1).square().mean() / mask.mean()
    if rule == "masked" and mask is not None:
        gradient = gradient * mask.to(gradient).sqrt()
    # vector_norm has the derivative 0 at 0, where a plain square root would give NaN
    return (torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1).square().mean()


SOFT_SIZE = 71
SOFT_SIGMA = 10.0


def soft_label(mask: Tensor, size: int = SOFT_SIZE, sigma: float = SOFT_SIGMA) -> Tensor:
    """The mask blurred with a Gaussian: how much of each position's neighbourhood is hole.

    Args:
        mask: (N, 1, H, W), 1 = hole
        size: of the kernel in pixels, odd
        sigma: of the Gaussian in pixels

    Returns: (N, 1, H, W), 0..1, without a graph; float32 for half-precision masks. Beyond the border counts as known
    Source: Zeng et al. 2021 (arXiv 2104.01431); 71 and 10 are those of the official code. A Gaussian of two axes is the
        product of two of one axis, so two passes of `size` taps replace one of `size` squared.
    """
    with torch.no_grad(), torch.autocast(mask.device.type, enabled=False):
        x = mask.detach()
        x = x if x.dtype == torch.float64 else x.float()
        offsets = torch.arange(size, dtype=torch.float64) - size // 2
        taps = torch.exp(-offsets.square() / (2 * sigma**2))
        taps = (taps / taps.sum()).to(x)
        x = functional.conv2d(x, taps.view(1, 1, size, 1), padding=(size // 2, 0))
        return functional.conv2d(x, taps.view(1, 1, 1, size), padding=(0, size // 2))


def soft_mask_critic(
    real: Tensor, fake: Tensor, mask: Tensor, labels: Literal["consistent", "code", "mmagic"] = "consistent"
) -> Tensor:
    """Least squares against labels that fade at the hole's border.

    Args:
        real: (N, 1, h, w), scores of original pictures
        fake: scores of the same pictures filled
        mask: (N, 1, H, W), 1 = hole; scores are first resized to (H, W), bilinear with aligned corners
        labels: "consistent" calls real 1 and, in filled pictures, 1 - soft(mask); "code" is the published code's
            mirror image, real 0 and soft(mask); "mmagic" calls real 1 but keeps soft(mask)

    Returns: mean((real - label)^2) + mean((fake - label)^2), without a factor 1/2
    Raises: InputError for other labels
    Source: Zeng et al. 2021 (arXiv 2104.01431) and researchmm/AOT-GAN-for-Inpainting. The label is 1 - soft(hole), not
        soft(known): the blur fades to 0.5 at the picture's border and would call known pixels fake there.
    """
    soft = soft_label(mask)
    if labels not in {"consistent", "code", "mmagic"}:
        raise InputError(f'no labels "{labels}": choose consistent, code or mmagic')
    real_label = 0.0 if labels == "code" else 1.0
    fake_label = 1 - soft if labels == "consistent" else soft
    real, fake = _resized(real, soft), _resized(fake, soft)
    return (real - real_label).square().mean() + (fake - fake_label).square().mean()


def soft_mask_generator(fake: Tensor, mask: Tensor, region: Literal["hole", "whole"] = "hole") -> Tensor:
    """mean((fake - 1)^2), over the hole or over the whole map.

    Args:
        fake: (N, 1, h, w), scores of filled pictures
        mask: (N, 1, H, W), 1 = hole; scores are first resized to (H, W), bilinear with aligned corners
        region: "hole" as in the paper; "whole" is what the published code computes (its mask cancels out)

    Returns: a scalar, 0 for an empty hole with region "hole"
    Raises: InputError for another region
    Source: as `soft_mask_critic`. Together with its labels "code" the 1 asks the generator to look filled: published
        files were trained so.
    """
    if region not in {"hole", "whole"}:
        raise InputError(f'no region "{region}": choose hole or whole')
    fake = _resized(fake, mask)
    error = (fake - 1).square()
    if region == "whole":
        return error.mean()
    hole = mask.to(error).expand_as(error)
    return (error * hole).sum() / hole.sum().clamp_min(1)


def _resized(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores at the mask's size, at least in float32."""
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return functional.interpolate(scores, size=mask.shape[-2:], mode="bilinear", align_corners=True)
