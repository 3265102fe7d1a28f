"""Networks that know one hole in the middle, and how any hole of any picture comes before them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from retouche.errors import InputError
from retouche.inference.model import Model
from retouche.layers.centre import Centre
from retouche.methods import find

TINY = Centre(side=12, block=8, overlap=1)


def test_geometry() -> None:
    like = torch.zeros(1)
    assert TINY.hole == 6
    mask = TINY.mask(like)
    assert mask.sum() == 36 and mask[0, 0, 3:9, 3:9].all()
    assert TINY.crop(mask).shape == (1, 1, 8, 8)


def test_paste_changes_the_block_alone() -> None:
    image, block = torch.rand(2, 3, 12, 12), torch.rand(2, 3, 8, 8)
    pasted = TINY.paste(image, block)
    assert torch.equal(TINY.crop(pasted), block)
    around = torch.ones(12, 12, dtype=torch.bool)
    around[2:10, 2:10] = False
    assert torch.equal(pasted[..., around], image[..., around])


def test_paste_keeps_what_is_not_a_number_out() -> None:
    """An infinite prediction must not reach known pixels."""
    pasted = TINY.paste(torch.zeros(1, 1, 12, 12), torch.full((1, 1, 8, 8), torch.inf))
    assert pasted.isinf().sum() == 64 and not pasted.isnan().any()


def test_check() -> None:
    image, mask = torch.zeros(1, 3, 12, 12), TINY.mask(torch.zeros(1))
    TINY.check(image, mask)
    mask[..., 2, 5] = 1
    with pytest.raises(InputError, match=r"leaves the middle 6x6 of the 12x12 image.*model\(picture, mask\)"):
        TINY.check(image, mask)
    with pytest.raises(InputError, match="knows 12x12 only"):
        TINY.check(image[..., :8], mask[..., :8])


def narrow(method: str) -> Model:
    record = find(method)
    config = dataclasses.replace(next(iter(record.presets.values())), width=2, bottleneck=8)
    assert record.build is not None
    torch.manual_seed(0)
    return Model(name=method, method=method, config=config, generator=record.build(config).eval(), critics={})


@pytest.mark.parametrize("method", ["structural", "context-encoder"])
def test_any_hole_is_filled_and_nothing_else_changes(method: str) -> None:
    model, random = narrow(method), np.random.RandomState(0)
    for h, w in ((1, 2), (27, 154), (56, 56), (74, 5), (128, 128), (193, 198), (270, 227)):
        picture = random.randint(0, 256, (h, w, 3)).astype(np.uint8)
        mask = np.zeros((h, w), bool)
        for _ in range(3):
            y, x = random.randint(h), random.randint(w)
            mask[y : y + random.randint(h) + 1, x : x + random.randint(w) + 1] = True
        mask[0, 0] = False
        filled = model(picture, mask, dilate=0)
        assert np.array_equal(filled[~mask], picture[~mask])
        assert not mask.any() or (filled[mask] != picture[mask]).any()


def test_predictions_beyond_white_are_white() -> None:
    model = narrow("structural")
    with torch.no_grad():
        decoder: Any = model.generator.decoder
        decoder[-1].bias.fill_(3.0)
        decoder[-1].weight.zero_()
    picture, mask = np.zeros((150, 140, 3), np.uint8), np.zeros((150, 140), bool)
    mask[40:70, 60:90] = True
    filled = model(picture, mask, dilate=0)
    assert (filled[mask] == 255).all() and not filled[~mask].any()
