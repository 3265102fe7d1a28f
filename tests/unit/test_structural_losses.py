"""The losses of context encoders and structural inpainting against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from retouche.backbones.vgg import vgg
from retouche.errors import InputError
from retouche.losses import (
    binary_critic,
    binary_generator,
    feature_reconstruction,
    overlap_reconstruction,
    structural_loss,
)


def test_border_counts_ten_times() -> None:
    target = torch.zeros(2, 3, 10, 10)
    centre, ring = overlap_reconstruction(target + 0.5, target, overlap=2)
    assert centre.item() == pytest.approx(0.25 * 36 / 100)
    assert ring.item() == pytest.approx(10 * 0.25 * 64 / 100)
    centre, ring = overlap_reconstruction(target + 0.5, target, overlap=0)
    assert centre.item() == pytest.approx(0.25) and ring.item() == 0


def test_one_pixel_is_either_inside_or_border() -> None:
    target, prediction = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    prediction[..., 3, 4] = 8.0
    assert [value.item() for value in overlap_reconstruction(prediction, target, overlap=3, weight=7)] == [1, 0]
    prediction = prediction.roll(1, 3)
    assert [value.item() for value in overlap_reconstruction(prediction, target, overlap=3, weight=7)] == [0, 7]


def test_refusals() -> None:
    block = torch.zeros(1, 3, 8, 8)
    with pytest.raises(InputError, match="leaves nothing"):
        overlap_reconstruction(block, block, overlap=4)
    with pytest.raises(InputError, match="crop one"):
        overlap_reconstruction(block, block[..., 1:])


def test_binary() -> None:
    undecided = torch.zeros(4, 1)
    assert binary_critic(undecided, undecided).item() == pytest.approx(2 * math.log(2))
    assert binary_critic(undecided, undecided, weight=0.1).item() == pytest.approx(0.2 * math.log(2))
    assert binary_generator(torch.tensor([2.0])).item() == pytest.approx(math.log(1 + math.exp(-2)))
    # large logits stay finite
    assert binary_critic(torch.tensor([-500.0]), torch.tensor([500.0])).item() == 1000


def test_features_choose_their_layers_and_scale() -> None:
    network = vgg(16, "random", last="relu2_2", normalisation="caffe")
    prediction, target = torch.rand(1, 3, 16, 16) * 2 - 1, torch.zeros(1, 3, 16, 16)
    terms = feature_reconstruction(prediction, target, network, ("conv1_1", "relu2_2"))
    assert list(terms) == ["conv1_1", "relu2_2"]
    linear = feature_reconstruction(prediction, target, network, ("conv1_1",), unit=1.0)
    assert terms["conv1_1"].item() == pytest.approx(linear["conv1_1"].item() / 255**2)
    assert all(term.item() == 0 for term in feature_reconstruction(target, target, network, ("relu1_1",)).values())


def test_structural_sum_is_in_units_of_0_to_1() -> None:
    network = vgg(16, "random", last="relu1_1", normalisation="caffe")
    target = torch.full((1, 3, 16, 16), -1.0)
    terms = structural_loss(target + 1, target, network, ("relu1_1",), overlap=0, feature_weight=0.0)
    assert {name: term.item() for name, term in terms.items()} == {"centre": 0.25, "overlap": 0, "relu1_1": 0}


def test_gradients() -> None:
    target = torch.rand(1, 2, 6, 6, dtype=torch.float64)
    prediction = torch.rand(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: torch.stack(overlap_reconstruction(x, target, 1)).sum(), (prediction,))
    logits = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: binary_critic(x, -x) + binary_generator(x), (logits,))
