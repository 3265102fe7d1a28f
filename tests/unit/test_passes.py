"""Windows that are filled together: the same as one after another, in fewer passes, within the memory allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import retouche
from retouche.inference import passes as waves
from retouche.inference.model import Model
from retouche.inference.strategy import CPU_PIXELS, plan, together
from retouche.methods import find
from retouche.methods.method import Scope


def narrow(method: str, **settings: int) -> Model:
    record = find(method)
    config = dataclasses.replace(next(iter(record.presets.values())), **settings)
    assert record.build is not None
    torch.manual_seed(0)
    return Model(name=method, method=method, config=config, generator=record.build(config).eval(), critics={})


def specks(height: int, width: int, count: int, side: int = 3) -> np.ndarray:
    random, mask = np.random.RandomState(3), np.zeros((height, width), bool)
    for _ in range(count):
        y, x = random.randint(height - side), random.randint(width - side)
        mask[y : y + side, x : x + side] = True
    return mask


def picture(height: int, width: int) -> np.ndarray:
    return np.random.RandomState(1).randint(0, 256, (height, width, 3)).astype(np.uint8)


def passes(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Windows of each pass from now on."""
    counted: list[int] = []
    forward = model.generator.forward

    def counting(image: Any, *given: Any, **guides: Any) -> Any:
        counted.append(len(image))
        return forward(image, *given, **guides)

    monkeypatch.setattr(model.generator, "forward", counting)
    return counted


NETWORKS = {
    "context-encoder": {"width": 2, "bottleneck": 8},
    "aot-gan": {"width": 4, "blocks": 1},
    "deepfill-v2": {"width": 4},
}


@pytest.mark.parametrize("method", NETWORKS)
def test_together_is_the_same_as_one_after_another(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows overlap, so that some see what others have filled. At most one level apart: a batch may round
    differently."""
    model = narrow(method, **NETWORKS[method])
    image, hole = picture(700, 650), specks(700, 650, 25)
    scope = dataclasses.replace(model.scope, side=model.scope.centre[0] if model.scope.centre else 96, context=0.5)
    monkeypatch.setattr(Model, "scope", scope)
    counted = passes(model, monkeypatch)
    filled, report = model(image, hole, dilate=0, report=True)
    assert max(counted) > 1 and sum(counted) <= len(report.holes) and len(counted) < 0.8 * sum(counted)
    counted.clear()
    monkeypatch.setattr(waves, "in_waves", lambda jobs: [[number] for number in range(len(jobs))])
    alone = model(image, hole, dilate=0)
    assert max(counted) == 1
    assert np.abs(filled.astype(int) - alone).max() <= 1
    assert np.array_equal(filled[~hole], image[~hole]) and (filled[hole] != image[hole]).any()


def test_specks_share_the_middle_of_a_centre_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: a pass for every speck."""
    model = narrow("context-encoder", width=2, bottleneck=8)
    hole = specks(256, 256, 170, side=1)
    counted = passes(model, monkeypatch)
    image = picture(256, 256)
    filled = model(image, hole, dilate=0)
    assert sum(counted) <= 36 and len(counted) < sum(counted)
    assert np.array_equal(filled[~hole], image[~hole])


def test_hundreds_of_specks_take_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """679 of them, one by one, were 679 passes."""
    model = narrow("context-encoder", width=2, bottleneck=8)
    hole = np.zeros((512, 512), bool)
    random = np.random.RandomState(3)
    hole[random.randint(0, 512, 679), random.randint(0, 512, 679)] = True
    counted = passes(model, monkeypatch)
    filled, report = model(picture(512, 512), hole, dilate=0, report=True)
    assert len(counted) <= 40 and sum(counted) == len(report.holes) <= 100
    assert max(counted) == CPU_PIXELS // 128**2
    assert (filled[hole] != picture(512, 512)[hole]).any(1).mean() > 0.9


def test_regions_of_a_centre_network_fit_its_hole_and_miss_no_pixel() -> None:
    hole = specks(300, 500, 60, side=7)
    hole[20:110, 300:320] = True
    covered = np.zeros_like(hole)
    for region in plan(hole, Scope(side=128, hole=56, centre=(128, 56))):
        left, top, right, bottom = region.box
        covered[top:bottom, left:right] = True
        assert max(right - left, bottom - top) * region.scale <= 56
    assert covered[hole].all()


def test_pictures_of_a_batch_are_filled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model = narrow("aot-gan", width=4, blocks=1)
    images = torch.rand(3, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(3, 1, 64, 72)
    for number in range(3):
        masks[number, :, 10 + number : 20, 30:50] = 1
    counted = passes(model, monkeypatch)
    reports: Any
    filled, reports = model(images, masks, report=True)
    assert counted == [3] and [report.holes[0].box[3] for report in reports] == [21, 21, 21]
    for number in range(3):
        alone = model(images[number], masks[number])
        assert (filled[number] - alone).abs().max() <= 1e-4


def test_windows_count_at_the_size_the_network_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: four pictures of 64x64 for a network that knows 256x256 alone were one pass, 1.5 times slower."""
    model = narrow("aot-gan", width=4, blocks=1)
    model.generator.multiple = model.generator.smallest = 256
    images, masks = torch.rand(4, 3, 64, 64), torch.zeros(4, 1, 64, 64)
    masks[:, :, 20:30, 20:30] = 1
    counted = passes(model, monkeypatch)
    model(images, masks)
    assert counted == [1] * 4


def test_a_pass_takes_what_memory_allows() -> None:
    scope = Scope(pixel_bytes=1000, square_bytes=0.5)
    one = 1000 * 128**2 + 0.5 * 128**4
    assert together((128, 128), scope, int(5.5 * one), "cuda") == 5
    assert together((128, 128), scope, int(0.5 * one), "cuda") == 1
    assert together((128, 128), scope, int(50 * one), "cpu") == CPU_PIXELS // 128**2
    assert together((2000, 2000), scope, 1 << 50, "cpu") == 1


def test_waves_keep_the_order_of_windows_that_touch() -> None:
    model = retouche.load("harmonic")
    canvas = waves.Canvas(None, np.zeros((100, 400), bool), None, waves.Guides(), 0, 1 << 30)

    def job(crop: tuple[int, int, int, int]) -> waves.Job:
        target = (crop[0] + 20, crop[1] + 20, crop[2] - 20, crop[3] - 20)
        region = waves.Region(target, "crop", 1.0, (waves.Window(crop, target),))
        return waves.Job(canvas, model, region, canvas.unknown, "")

    apart, near = (0, 0, 100, 100), (70, 0, 170, 100)
    assert waves.in_waves([job(apart), job((200, 0, 300, 100)), job(near)]) == [[0, 1], [2]]
    assert waves.in_waves([job(near), job(apart), job(near)]) == [[0], [1], [2]]
    assert waves.in_waves([]) == []
