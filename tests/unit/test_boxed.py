"""Near the hole only: what is made there equals the whole pass, wherever holes lie and however the map is padded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import retouche
from retouche.layers import attention, two_stage
from retouche.layers.attention import VARIANTS, contextual_attention
from retouche.layers.boxed import boxed, cost_of_stages, worthwhile
from retouche.layers.two_stage import DECODER, HALLUCINATE, Chain, Style
from retouche.methods import deepfill_v1, deepfill_v2, partial_conv
from retouche.methods.method import Generator, boxes_near

HOLES = {
    "middle": [(60, 70, 81, 93)],
    "corner": [(0, 0, 17, 22)],
    "last corner": [(150, 140, 168, 152)],
    "edge": [(0, 50, 13, 80)],
    "across": [(0, 70, 168, 78)],
    "several": [(5, 3, 12, 9), (100, 20, 131, 33), (90, 120, 99, 152)],
    "full": [(0, 0, 168, 152)],
    "speck": [(77, 33, 78, 34)],
}
"""Boxes (left, top, right, bottom) in a picture of 168x152."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_attention_of_a_box_equals_that_of_the_map(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "SMALL_BYTES", 0)
    draw = np.random.default_rng(0)
    for _ in range(12):
        h, w = 2 * draw.integers(1, 9, 2)
        x = torch.from_numpy(draw.standard_normal((1, 3, h, w)))
        mask = torch.zeros(1, 1, 4 * h, 4 * w)
        mask[..., h : 2 * h, w : 3 * w] = 1
        whole = contextual_attention(x, mask, variant)
        for _ in range(6):
            left, right = sorted(draw.choice(w + 1, 2, replace=False))
            top, bottom = sorted(draw.choice(h + 1, 2, replace=False))
            part = contextual_attention(x, mask, variant, (left, top, right, bottom))
            torch.testing.assert_close(part, whole[..., top:bottom, left:right], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [HALLUCINATE, DECODER], ids=["halves", "doubles"])
@pytest.mark.parametrize("padding", ["same", "zeros", "reflect"])
@pytest.mark.parametrize("convolution", ["gated", "plain"])
def test_box_of_a_chain_equals_that_of_its_result(rows: object, padding: str, convolution: str) -> None:
    torch.manual_seed(0)
    chain = Chain(Style(convolution, padding=padding), 3, rows, 4).double()  # type: ignore[arg-type]
    h, w = (88, 96) if rows is HALLUCINATE else (19, 23)
    x = torch.randn(1, 3, h, w, dtype=torch.float64)
    draw = np.random.default_rng(1)
    with torch.no_grad():
        whole = chain(x)
        for _ in range(6):
            left, right = sorted(draw.choice(whole.shape[3] + 1, 2, replace=False))
            top, bottom = sorted(draw.choice(whole.shape[2] + 1, 2, replace=False))

            def read(box: tuple[int, int, int, int]) -> Tensor:
                assert 0 <= box[0] < box[2] <= w and 0 <= box[1] < box[3] <= h
                return x[..., box[1] : box[3], box[0] : box[2]]

            part = boxed(chain, read, (h, w), (left, top, right, bottom))
            torch.testing.assert_close(part, whole[..., top:bottom, left:right], rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rows", [HALLUCINATE, DECODER], ids=["halves", "doubles"])
@pytest.mark.parametrize("padding", ["same", "zeros", "reflect"])
def test_bands_of_a_chain_are_the_whole(
    rows: Any, padding: Any, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows a band holds; the order in memory stays that of the input."""
    torch.manual_seed(0)
    chain: Any = Chain(Style("gated", padding=padding), 3, rows, 4)
    chain = chain.to(torch.float64, memory_format=layout)
    h, w = (92, 72) if rows is HALLUCINATE else (18, 23)
    x = torch.randn(2, 3, h, w, dtype=torch.float64).to(memory_format=layout)
    whole = chain(x)  # with a gradient all at once
    with torch.inference_mode():
        for band in (1, 2**15, 2**17):
            monkeypatch.setattr(two_stage, "BAND_BYTES", band)
            made = chain(x)
            torch.testing.assert_close(made, whole, rtol=0, atol=1e-12)
            assert made.stride() == whole.stride()


def test_bands_on_another_device_are_higher() -> None:
    """A GPU is slow to begin, but its memory is bounded, too; there are none where operations are recorded."""
    unit: Any = next(iter(Chain(Style("gated"), 3, HALLUCINATE, 48).children()))
    with torch.inference_mode():
        here, there = torch.empty(1, 3, 512, 512), torch.empty(4, 3, 1024, 1024, device="meta")
        assert 0 < unit._high(here) < 512 and unit._high(there[:1, :, :512, :512]) == 0
        assert 0 < unit._high(there) * 1024 * 4 * 48 * 4 <= two_stage.LAUNCHES * two_stage.BAND_BYTES
        assert unit._high(there) > 2 * unit._high(here.expand(4, -1, -1, -1)[..., :256])
    assert unit._high(here) == 0  # a gradient needs the whole


def lively(network: Generator, gain: float) -> Generator:
    """Weights that let every pixel of the input be felt in the output."""
    torch.manual_seed(0)
    for name, weight in network.named_parameters():
        torch.nn.init.normal_(weight, 0, gain / weight[0].numel() ** 0.5 if "weight" in name else 0.1)
    return network


NETWORKS = {
    "v1": lambda: deepfill_v1.DeepFillV1Generator(deepfill_v1.DeepFillV1Config(width=8)),
    "v1 daa233": lambda: deepfill_v1.DeepFillV1Generator(deepfill_v1.replace(deepfill_v1.DAA233, width=8)),
    "v1 mmagic": lambda: deepfill_v1.DeepFillV1Generator(deepfill_v1.replace(deepfill_v1.MMAGIC, width=8)),
    "v2": lambda: deepfill_v2.DeepFillV2Generator(deepfill_v2.DeepFillV2Config(width=8, decoder_width=8)),
    "v2 mmagic": lambda: deepfill_v2.DeepFillV2Generator(
        deepfill_v2.replace(deepfill_v2.MMAGIC, width=8, decoder_width=8)
    ),
}


@pytest.mark.parametrize(
    ("name", "kind", "gain", "most"),
    [
        *(  # one of them always, the other variants with the slow tests
            pytest.param(name, torch.float64, 1.6, 1e-11, marks=() if name == "v2" else pytest.mark.slow)
            for name in NETWORKS
        ),
        ("v1", torch.float32, 1.0, 1e-5),
        pytest.param("v2", torch.float32, 1.0, 1e-5, marks=pytest.mark.slow),
    ],
)
@torch.inference_mode()
def test_hole_equals_that_of_the_whole_pass(
    name: str, kind: torch.dtype, gain: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "SMALL_BYTES", 0)
    network = lively(NETWORKS[name](), gain).to(kind)
    image = torch.rand(1, 3, 152, 168, generator=torch.Generator().manual_seed(1)).to(kind) * 2 - 1
    for where, boxes in HOLES.items():
        mask = torch.zeros(1, 1, 152, 168)
        for left, top, right, bottom in boxes:
            mask[..., top:bottom, left:right] = 1
        whole = network(image, mask).refined
        near = network.near(image, mask, boxes)
        assert whole is not None
        inside = mask.bool().expand_as(whole)
        assert (whole[inside].std() if where != "speck" else whole[inside].abs().max()) > 0.01
        assert (near - whole)[inside].abs().max() < most, where
        assert torch.equal(near[~inside], image[~inside])


@pytest.mark.parametrize("config", [partial_conv.MMAGIC, partial_conv.NAOTO], ids=["mmagic", "naoto"])
@torch.inference_mode()
def test_boxes_of_a_partial_network_equal_those_of_the_whole_pass(config: partial_conv.PartialConvConfig) -> None:
    """Of any boxes: at borders, across the picture, empty but for a row, several, of a batch."""
    network = lively(partial_conv.PartialUNet(replace(config, width=4, levels=4)), 1.6).double().eval()
    for name, numbers in network.named_buffers():
        if "running_var" in name:
            numbers.uniform_(0.5, 1.5)
        elif "running_mean" in name:
            numbers.normal_(0, 0.1)
    draw = np.random.default_rng(3)
    for _ in range(20):
        height, width = (16 * int(side) for side in draw.integers(1, 14, 2))
        image = torch.from_numpy(draw.uniform(-1, 1, (2, 3, height, width)))
        mask, boxes = torch.zeros(2, 1, height, width).double(), []
        for _ in range(draw.integers(1, 4)):
            left, right = sorted(draw.choice(width + 1, 2, replace=False))
            top, bottom = sorted(draw.choice(height + 1, 2, replace=False))
            boxes.append((int(left), int(top), int(right), int(bottom)))
            mask[:, :, top:bottom, left:right] = 1
        whole, near = network(image, mask).refined, network.near(image, mask, boxes)
        inside = mask.bool().expand_as(near)
        assert (near - whole)[inside].abs().max() < 1e-11
        assert torch.equal(near[~inside], image[~inside])
        assert network.cost_near(boxes, (height, width)) > 0


def test_a_partial_network_makes_few_pixels_near_a_small_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole of 64x64 in 256x256 takes less than half of the multiplications, and the same bytes come out."""
    model = retouche.create("partial-conv")
    assert model.generator is not None
    lively(model.generator, 1.0)
    made: list[int] = []
    convolve = torch.nn.functional.conv2d

    def counted(x: Tensor, weight: Tensor, *given: Any) -> Tensor:
        result = convolve(x, weight, *given)
        made.append(result[:, 0].numel() * weight.numel())
        return result

    monkeypatch.setattr(torch.nn.functional, "conv2d", counted)
    mask = np.zeros((256, 256), np.bool_)
    mask[90:154, 100:164] = True
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    near, few = model(image, mask, dilate=0), sum(made)
    made.clear()
    monkeypatch.setattr(model.generator, "local", False)
    whole = model(image, mask, dilate=0)
    assert few < 0.45 * sum(made)
    assert np.abs(near.astype(int) - whole).max() <= 1 and (near != image).any()


def test_networks_in_training_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch normalisation then takes its statistics from the batch."""
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 90:100, 90:100] = 1
    network = partial_conv.PartialUNet(partial_conv.PartialConvConfig(width=4))
    assert boxes_near(network.train(), mask) is None and boxes_near(network.eval(), mask) == [(90, 90, 100, 100)]


def test_boxes_hold_every_hole_and_join_where_that_is_cheaper() -> None:
    draw = np.random.default_rng(2)
    some = 0
    for count in (1, 2, 5, 80):
        mask = np.zeros((1500, 1600), np.bool_)
        for y, x in zip(draw.integers(0, 1480, count), draw.integers(0, 1580, count), strict=True):
            mask[y : y + 20, x : x + 20] = True
        boxes = worthwhile(mask, cost_of_stages)
        some += boxes is not None
        for left, top, right, bottom in boxes or []:
            mask[top:bottom, left:right] = False
        assert boxes is None or not mask.any()
    assert some >= 2
    near = np.zeros((1500, 1600), np.bool_)
    near[600:640, 600:640] = near[600:640, 700:740] = True
    assert worthwhile(near, cost_of_stages) == [(600, 600, 740, 640)]
    assert worthwhile(np.ones((400, 400), np.bool_), cost_of_stages) is None


def test_the_same_picture_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own way asks for boxes, and fills as the whole pass does."""
    model = retouche.create("deepfill-v1")
    picture = np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)
    mask = np.zeros((300, 420), np.uint8)
    mask[250:, 400:] = 255
    near = model(picture, mask)
    assert model.generator is not None
    monkeypatch.setattr(model.generator, "local", False)
    whole = model(picture, mask)
    assert np.abs(np.asarray(near).astype(int) - np.asarray(whole)).max() <= 1
