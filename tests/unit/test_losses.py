"""Each loss against a value worked out by hand, and its gradient against differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouche import InputError, losses
from retouche.backbones.vgg import VGG, vgg
from retouche.losses.perceptual import gram
from retouche.losses.reconstruction import distance_to_known


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed), dtype=torch.float64)


def box(height: int, width: int, top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(1, 1, height, width, dtype=torch.float64)
    mask[..., top:bottom, left:right] = 1
    return mask


# Adversarial


def test_plain_adversarial_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.25, 1.0])
    assert losses.hinge_critic(real, fake).item() == pytest.approx(0.5 / 2 + (1.25 + 2) / 3)
    assert losses.hinge_generator(fake).item() == pytest.approx(1.75 / 3)
    assert losses.least_squares_critic(real, fake).item() == pytest.approx(((1 + 0.25) / 2 + (9 + 0.0625 + 1) / 3) / 2)
    assert losses.least_squares_generator(fake).item() == pytest.approx((16 + 0.5625 + 0) / 3)
    assert losses.wasserstein_critic(real, fake).item() == pytest.approx(-1.75 / 3 - 1.25)
    assert losses.wasserstein_generator(fake).item() == pytest.approx(1.75 / 3)


def test_gradient_penalty_of_a_linear_critic_by_hand() -> None:
    weight = noise(3, 4, 5, seed=1)
    real, fake = noise(2, 3, 4, 5, seed=2), noise(2, 3, 4, 5, seed=3)
    mask = box(4, 5, 1, 1, 3, 4)

    def critic(image: Tensor) -> Tensor:
        return (image * weight).sum((1, 2, 3))

    whole, inside = weight.norm().item(), (weight * mask[0]).norm().item()
    assert losses.gradient_penalty(critic, real, fake).item() == pytest.approx((whole - 1) ** 2)
    assert losses.gradient_penalty(critic, real, fake, mask).item() == pytest.approx((inside - 1) ** 2)
    assert losses.gradient_penalty(critic, real, fake, mask, "plain").item() == pytest.approx((whole - 1) ** 2)
    per_pixel = ((weight * mask[0]).norm(dim=0) - 1).square().mean() / mask.mean()
    assert losses.gradient_penalty(critic, real, fake, mask, "mmagic").item() == pytest.approx(per_pixel.item())
    with pytest.raises(InputError, match="masked, plain or mmagic"):
        losses.gradient_penalty(critic, real, fake, mask, "other")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["masked", "plain", "mmagic"])
def test_gradient_penalty_gradcheck(rule: Any) -> None:
    real, fake, blend = noise(2, 3, 3, 4, seed=1), noise(2, 3, 3, 4, seed=2), torch.tensor([0.25, 0.6]).view(2, 1, 1, 1)
    mask = box(3, 4, 0, 1, 2, 4)

    def penalty(weight: Tensor) -> Tensor:
        return losses.gradient_penalty(lambda x: (x * weight).tanh().sum((1, 2, 3)), real, fake, mask, rule, blend)

    assert torch.autograd.gradcheck(penalty, noise(3, 3, 4, seed=3).requires_grad_())


def test_gradient_penalty_looks_between_and_survives_a_flat_critic() -> None:
    real, fake = noise(2, 3, 4, 4, seed=1), noise(2, 3, 4, 4, seed=2).requires_grad_()
    seen: list[Tensor] = []
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def critic(image: Tensor) -> Tensor:
        seen.append(image.detach())
        return (image * weight).sum((1, 2, 3))

    blend = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    penalty = losses.gradient_penalty(critic, real, fake, blend=blend)
    penalty.backward()
    torch.testing.assert_close(seen[0], torch.stack([real[0], fake[1].detach()]))
    assert penalty.item() == 1
    assert weight.grad is not None and weight.grad.isfinite().all()
    assert fake.grad is None  # the penalty trains the critic only


def test_soft_label_is_the_square_gaussian() -> None:
    mask = box(50, 90, 10, 0, 40, 70)
    offsets = torch.arange(71, dtype=torch.float64) - 35
    kernel = torch.exp(-(offsets[:, None] ** 2 + offsets**2) / 200)
    square = nn.functional.conv2d(mask, (kernel / kernel.sum()).view(1, 1, 71, 71), padding=35)
    torch.testing.assert_close(losses.soft_label(mask), square, atol=1e-13, rtol=0)
    assert losses.soft_label(mask.bfloat16()).dtype == torch.float32
    assert not losses.soft_label(mask.requires_grad_()).requires_grad


def test_soft_mask_losses_by_hand() -> None:
    mask = box(40, 40, 0, 0, 40, 20)
    soft = losses.soft_label(mask)
    real, fake = torch.full((1, 1, 5, 5), 0.75).double(), torch.full((1, 1, 5, 5), 0.25).double()
    consistent = 0.0625 + (0.25 - (1 - soft)).square().mean().item()
    assert losses.soft_mask_critic(real, fake, mask).item() == pytest.approx(consistent)
    code = 0.5625 + (0.25 - soft).square().mean().item()
    assert losses.soft_mask_critic(real, fake, mask, "code").item() == pytest.approx(code)
    mmagic = 0.0625 + (0.25 - soft).square().mean().item()
    assert losses.soft_mask_critic(real, fake, mask, "mmagic").item() == pytest.approx(mmagic)
    ramp = torch.tensor([[0.0, 1.0]]).double().view(1, 1, 1, 2)  # resized with aligned corners: i / 39 at column i
    columns = torch.arange(40).double() / 39
    whole = (columns - 1).square().mean().item()
    assert losses.soft_mask_generator(ramp, mask, "whole").item() == pytest.approx(whole)
    hole = (columns[:20] - 1).square().mean().item()
    assert losses.soft_mask_generator(ramp, mask).item() == pytest.approx(hole)
    assert losses.soft_mask_generator(ramp, torch.zeros_like(mask)).item() == 0
    with pytest.raises(InputError, match="consistent, code or mmagic"):
        losses.soft_mask_critic(real, fake, mask, "other")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="hole or whole"):
        losses.soft_mask_generator(fake, mask, "other")  # type: ignore[arg-type]


def test_both_forms_of_the_labels_mirror_each_other() -> None:
    mask = box(32, 32, 8, 8, 20, 28)
    real, fake = noise(1, 1, 4, 4, seed=1), noise(1, 1, 4, 4, seed=2)
    code = losses.soft_mask_critic(real, fake, mask, "code")
    torch.testing.assert_close(losses.soft_mask_critic(1 - real, 1 - fake, mask), code)


def test_soft_mask_gradcheck() -> None:
    mask = box(9, 8, 2, 1, 7, 6)
    real, fake = noise(1, 1, 2, 3, seed=1).requires_grad_(), noise(1, 1, 2, 3, seed=2).requires_grad_()
    for labels in ("consistent", "code"):
        assert torch.autograd.gradcheck(lambda r, f, to=labels: losses.soft_mask_critic(r, f, mask, to), (real, fake))
    for region in ("hole", "whole"):
        assert torch.autograd.gradcheck(lambda f, at=region: losses.soft_mask_generator(f, mask, at), (fake,))


# Reconstruction


def test_l1_by_hand() -> None:
    prediction, image = torch.zeros(1, 3, 2, 2), torch.tensor([[1.0, -2.0], [3.0, 4.0]]).expand(1, 3, 2, 2)
    assert losses.l1(prediction, image).item() == 2.5
    region = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    assert losses.l1(prediction, image, region).item() == 2.5
    assert losses.l1(prediction, image, 1 - region).item() == 2.5
    assert losses.l1(prediction, image, torch.tensor([[0.0, 0.0], [1.0, 1.0]]).view(1, 1, 2, 2)).item() == 3.5
    assert losses.l1(prediction, image, torch.zeros(1, 1, 2, 2)).item() == 0
    with pytest.raises(InputError, match="one size"):
        losses.l1(prediction, image[..., :1])


def test_distance_is_exact_for_any_hole() -> None:
    masks = (torch.rand(3, 1, 13, 17, generator=stream(4)) < torch.tensor([0.3, 0.9, 0.99]).view(3, 1, 1, 1)).float()
    masks[2, 0, 5, 5] = 0
    found = distance_to_known(masks)
    for n in range(3):
        known = (masks[n, 0] == 0).nonzero().tolist()
        for y in range(13):
            for x in range(17):
                nearest = min(math.hypot(y - v, x - u) for v, u in known)
                assert found[n, 0, y, x].item() == pytest.approx(nearest)
    assert distance_to_known(torch.ones(1, 1, 4, 4)).isinf().all()


def test_discounted_l1_by_hand() -> None:
    mask = torch.tensor([0.0, 1, 1, 1, 1, 0]).view(1, 1, 1, 6)
    image = torch.zeros(1, 3, 1, 6)
    weights = 1 + 0.9 + 0.81 + 0.81 + 0.9 + 1
    assert losses.discounted_l1(image + 2, image, mask, 0.9).item() == pytest.approx(2 * weights / 6)
    assert losses.discounted_l1(image, image, mask).item() == 0
    with pytest.raises(InputError, match="one size"):
        losses.discounted_l1(image, image, mask[..., :5])


@pytest.mark.parametrize("size", [(128, 128), (7, 10), (1, 1)])
def test_box_discounted_l1_is_the_published_table(size: tuple[int, int]) -> None:
    h, w = size
    table = torch.tensor(
        [[max(0.9 ** min(i, h - i), 0.9 ** min(j, w - j)) for j in range(w)] for i in range(h)], dtype=torch.float64
    )
    prediction, image = noise(2, 3, h, w, seed=1), noise(2, 3, h, w, seed=2)
    by_table = ((prediction - image).abs() * table).mean()
    torch.testing.assert_close(losses.box_discounted_l1(prediction, image), by_table)


def test_discounted_gradcheck() -> None:
    prediction, image = noise(2, 3, 6, 5, seed=1).requires_grad_(), noise(2, 3, 6, 5, seed=2)
    mask = torch.cat([box(6, 5, 1, 1, 5, 4), box(6, 5, 0, 0, 3, 5)])
    assert torch.autograd.gradcheck(lambda p: losses.discounted_l1(p, image, mask, 0.8), (prediction,))
    assert torch.autograd.gradcheck(lambda p: losses.box_discounted_l1(p, image), (prediction,))


# Perceptual and style


@pytest.fixture(scope="module")
def backbone() -> VGG:
    return vgg(19, "random", last="relu2_2").double()


def test_gram_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels of two pixels
    assert gram(x).tolist() == [[[5 / 4, 1 / 4], [1 / 4, 10 / 4]]]
    large = torch.full((1, 4, 8, 8), 300.0, dtype=torch.float16)  # 300^2 * 64 overflows float16
    assert gram(large).isfinite().all() and gram(large).dtype == torch.float32


def test_perceptual_and_style_are_sums_over_layers_of_means(backbone: VGG) -> None:
    image, prediction = noise(2, 3, 16, 16, seed=1).tanh(), noise(2, 3, 16, 16, seed=2).tanh()
    layers = ("relu1_1", "relu2_2")
    ours, theirs = backbone(prediction, layers), backbone(image, layers)
    by_hand = sum((ours[n] - theirs[n]).abs().mean() for n in layers)
    perceptual = losses.perceptual_loss(backbone, prediction, image, layers)
    torch.testing.assert_close(perceptual, torch.as_tensor(by_hand))
    means = []
    for name in layers:
        a, b = (f[name].flatten(2) for f in (ours, theirs))
        products = torch.einsum("ncp,ndp->ncd", a, a) - torch.einsum("ncp,ndp->ncd", b, b)
        means.append((products / a[0].numel()).abs().mean())
    style = losses.style_loss(backbone, prediction, image, layers)
    torch.testing.assert_close(style, torch.stack(means).sum())
    together = losses.perceptual_and_style(backbone, prediction, image, layers, layers)
    assert [value.item() for value in together] == [perceptual.item(), style.item()]


def test_both_share_one_pass_and_the_target_has_no_graph(backbone: VGG) -> None:
    passes: list[bool] = []
    hook = backbone.features[0].register_forward_hook(lambda module, given, made: passes.append(made.requires_grad))
    image = noise(1, 3, 8, 8, seed=1).requires_grad_()
    prediction = noise(1, 3, 8, 8, seed=2).requires_grad_()
    terms = losses.perceptual_and_style(backbone, prediction, image, ("relu1_1", "relu2_1"), ("relu2_2",))
    hook.remove()
    assert sorted(passes) == [False, True]
    sum(terms, torch.zeros(())).backward()
    assert prediction.grad is not None and prediction.grad.abs().sum() > 0
    assert image.grad is None and all(p.grad is None for p in backbone.parameters())
    with pytest.raises(InputError, match="one size"):
        losses.perceptual_loss(backbone, prediction, image[..., :4])


def test_public_names_exist() -> None:
    assert sorted(losses.__all__, key=str.lower) == sorted(set(losses.__all__), key=str.lower)
    assert all(callable(getattr(losses, name)) for name in losses.__all__)
