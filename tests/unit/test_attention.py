"""Contextual attention: the banded, summed form against the patches written out, gradients, and its edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers import attention, attention_rows
from retouche.layers.attention import VARIANTS, Rules, contextual_attention


def halved(side: int, rule: str, target: int) -> list[int]:
    if rule == "plain" or target == 1:
        return [i * side // target for i in range(target)]
    return [int((i * (side - 1) * 2 / (target - 1) + 1) // 2) for i in range(target)]


def resized(x: Tensor, rule: str, height: int, width: int) -> Tensor:
    return x[:, :, halved(x.shape[2], rule, height)][..., halved(x.shape[3], rule, width)]


def written_out(features: Tensor, mask: Tensor, rules: Rules) -> Tensor:
    """One sample, with every patch and the whole map in memory: the published steps."""
    h, w = features.shape[2] // 2, features.shape[3] // 2
    small = resized(features, rules.resize, h, w)
    mask = resized(mask, rules.resize, 2 * h, 2 * w) if rules.mask_steps == 2 else mask
    mask = resized(mask, rules.resize, h, w)
    free = functional.unfold(mask, 3, padding=1).sum(1) == 0  # (1, L)
    patches = functional.unfold(small, 3, padding=1)[0].t()  # (L, 9C)
    if rules.norm == "raised":
        norms = (patches.square() + 1e-4).sum(1).sqrt()
    else:
        norms = patches.norm(dim=1).clamp(min=1e-4)
    scores = patches @ (patches / norms[:, None]).t()
    if rules.fuse:
        eye = torch.eye(3, dtype=scores.dtype)[None, None]
        scores = functional.conv2d(scores[None, None], eye, padding=1)
        scores = scores.view(h, w, h, w).permute(1, 0, 3, 2).reshape(1, 1, h * w, h * w)
        scores = functional.conv2d(scores, eye, padding=1)
        scores = scores.view(w, h, w, h).permute(1, 0, 3, 2).reshape(h * w, h * w)
    if rules.holes == "silent":
        weights = (10 * scores * free).softmax(1) * free
    else:
        weights = (10 * scores).masked_fill(~free, -torch.inf).softmax(1)
    filters = functional.unfold(features, 4, stride=2, padding=1)[0].t()  # (L, 16C)
    size, how = (2 * h, 2 * w), {"kernel_size": 4, "stride": 2, "padding": 1}
    pasted = functional.fold((weights @ filters).t()[None], size, **how)
    overlap = functional.fold(torch.ones(1, 16, h * w, dtype=features.dtype), size, **how)
    return pasted / (overlap if rules.overlap == "true" else 4)


def sample(n: int, h: int, w: int, channels: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features in float64 and a mask with a box that differs from sample to sample."""
    generator = torch.Generator().manual_seed(seed)
    features = 0.3 * torch.randn(n, channels, h, w, generator=generator, dtype=torch.float64)
    mask = torch.zeros(n, 1, 4 * h, 4 * w)
    for i in range(n):
        mask[i, :, h : 2 * h, (i + 1) * w // 2 : (i + 1) * w // 2 + w] = 1
    return features, mask


EVERY_RULE = {
    **VARIANTS,
    "one step": Rules(mask_steps=1),
    "raised, aligned": Rules(norm="raised"),
    "true overlap alone": Rules(overlap="true", fuse=False),
    "excluded, aligned": Rules(holes="excluded"),
}


@pytest.mark.parametrize("rule", EVERY_RULE)
@pytest.mark.parametrize("band_bytes", [attention.BAND_BYTES, 1, 5000])
@pytest.mark.parametrize("rows", [False, True], ids=["bands", "row by row"])
def test_equals_the_patches_written_out(
    rule: str, band_bytes: int, rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BAND_BYTES", band_bytes)
    if rows:
        monkeypatch.setattr(attention, "SMALL_BYTES", 0)
        monkeypatch.setattr(attention_rows, "TILE_BYTES", band_bytes)
    rules = EVERY_RULE[rule]
    for h, w in ((10, 14), (8, 6), (2, 12), (12, 2), (4, 4)):
        features, mask = sample(2, h, w)
        mask[0] = 0  # one sample without a hole
        ours = contextual_attention(features, mask, rules)
        for i in range(2):
            expected = written_out(features[i : i + 1], mask[i : i + 1].double(), rules)
            if expected.isfinite().all():  # excluded holes everywhere: see below
                assert torch.allclose(ours[i : i + 1], expected, atol=1e-12), (h, w, i)


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_gradient(rule: str) -> None:
    features, mask = sample(1, 6, 4, channels=2)
    mask = mask * 0
    mask[..., :3, :3] = 1
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: contextual_attention(f, mask, EVERY_RULE[rule]), (features,))


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_bands_have_the_gradient_of_the_whole(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made a second time for it."""
    features, mask = sample(2, 10, 6)
    upstream = torch.randn(features.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = []
    for band_bytes in (attention.BAND_BYTES, 1):
        monkeypatch.setattr(attention, "BAND_BYTES", band_bytes)
        given = features.clone().requires_grad_()
        contextual_attention(given, mask, EVERY_RULE[rule]).backward(upstream)
        assert given.grad is not None
        gradients.append(given.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_order_in_memory_stays(layout: torch.memory_format) -> None:
    """Else the convolution behind it would work in another order than the rest of the network."""
    features, mask = sample(2, 8, 8)
    assert contextual_attention(features.to(memory_format=layout), mask).is_contiguous(memory_format=layout)


def test_gradient_where_features_are_zero() -> None:
    """After a ReLU whole patches are zero; their norm must not make the gradient NaN."""
    features = torch.zeros(1, 4, 8, 8)
    features[..., 0, 0] = 1
    for variant in VARIANTS:
        given = features.clone().requires_grad_()
        contextual_attention(given, torch.zeros(1, 1, 32, 32), variant).sum().backward()
        assert given.grad is not None and given.grad.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_is_its_samples(variant: str) -> None:
    features, mask = sample(3, 8, 12)
    together = contextual_attention(features, mask, variant)
    for i in range(3):
        alone = contextual_attention(features[i : i + 1], mask[i : i + 1], variant)
        assert torch.allclose(together[i : i + 1], alone, atol=1e-12)
    shared = contextual_attention(features, mask[:1], variant)
    assert torch.equal(shared, contextual_attention(features, mask[:1].expand(3, -1, -1, -1), variant))


def test_nothing_but_hole() -> None:
    """Silent holes paste nothing; excluded ones (NaN in the published code) all patches alike, in that sample alone."""
    features, mask = sample(2, 8, 8)
    mask[0] = 1
    assert not contextual_attention(features, mask, "official")[0].any()
    excluded = contextual_attention(features, mask, "mmagic")
    patches = functional.unfold(features[:1], 4, stride=2, padding=1)
    how: dict[str, Any] = {"output_size": (8, 8), "kernel_size": 4, "stride": 2, "padding": 1}
    mean = functional.fold(patches.mean(2, keepdim=True).expand_as(patches), **how)
    assert torch.allclose(excluded[:1], mean / functional.fold(torch.ones_like(patches), **how))
    assert torch.allclose(excluded[1:], contextual_attention(features[1:], mask[1:], "mmagic"), atol=1e-12)


def test_half_precision_is_computed_in_single() -> None:
    features, mask = sample(1, 8, 8)
    half = features.bfloat16()
    exact = contextual_attention(half.float(), mask)
    ours = contextual_attention(half, mask)
    assert ours.dtype == torch.bfloat16 and torch.equal(ours, exact.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contextual_attention(half.float(), mask), exact)


def test_known_by_hand() -> None:
    """Constant features come back constant but for the border, where published code divides by four all the same."""
    ones, mask = torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 32, 32)
    border = torch.tensor([0.5, 1, 1, 1, 1, 1, 1, 0.5])
    assert torch.allclose(contextual_attention(ones, mask, "official"), border[:, None] * border)
    assert torch.allclose(contextual_attention(ones, mask, "mmagic"), ones)


def test_mask_of_any_size_and_kind() -> None:
    features, mask = sample(1, 8, 8)
    flags = mask.bool()
    assert torch.equal(contextual_attention(features, flags, "pt"), contextual_attention(features, mask, "pt"))
    assert contextual_attention(features, torch.zeros(1, 1, 51, 77)).shape == features.shape


@pytest.mark.parametrize(
    ("shape", "mask_shape", "variant", "said"),
    [
        ((1, 2, 7, 8), (1, 1, 28, 32), "official", "even sides"),
        ((2, 2, 8, 8), (3, 1, 32, 32), "official", r"give \(2, 1, H, W\)"),
        ((1, 2, 8, 8), (1, 1, 32, 32), "paddle", "known: official"),
    ],
)
def test_refuses_in_words(shape: tuple[int, ...], mask_shape: tuple[int, ...], variant: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        contextual_attention(torch.zeros(shape), torch.zeros(mask_shape), variant)


def test_rules_are_found_by_value() -> None:
    features, mask = sample(1, 8, 8)
    assert torch.equal(
        contextual_attention(features, mask, replace(Rules(), fuse=False, mask_steps=1)),
        contextual_attention(features, mask, "tf"),
    )
