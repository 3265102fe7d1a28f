"""What training lowers, as pure functions: tensors in, a scalar out."""

from retouche.backbones.vgg import VGG
from retouche.losses.adversarial import (
    binary_critic,
    binary_generator,
    gradient_penalty,
    hinge_critic,
    hinge_generator,
    least_squares_critic,
    least_squares_generator,
    logistic_critic,
    logistic_generator,
    r1_penalty,
    soft_label,
    soft_mask_critic,
    soft_mask_generator,
    wasserstein_critic,
    wasserstein_generator,
)
from retouche.losses.correctness import sampling_correctness
from retouche.losses.partial import hole_and_valid, perceptual_and_style_of_both, total_variation
from retouche.losses.perceptual import (
    feature_reconstruction,
    perceptual_and_style,
    perceptual_loss,
    structural_loss,
    style_loss,
)
from retouche.losses.reconstruction import box_discounted_l1, discounted_l1, l1, overlap_reconstruction

__all__ = [
    "VGG",
    "binary_critic",
    "binary_generator",
    "box_discounted_l1",
    "discounted_l1",
    "feature_reconstruction",
    "gradient_penalty",
    "hinge_critic",
    "hinge_generator",
    "hole_and_valid",
    "l1",
    "least_squares_critic",
    "least_squares_generator",
    "logistic_critic",
    "logistic_generator",
    "overlap_reconstruction",
    "perceptual_and_style",
    "perceptual_and_style_of_both",
    "perceptual_loss",
    "r1_penalty",
    "sampling_correctness",
    "soft_label",
    "soft_mask_critic",
    "soft_mask_generator",
    "structural_loss",
    "style_loss",
    "total_variation",
    "wasserstein_critic",
    "wasserstein_generator",
]
