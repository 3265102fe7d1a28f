"""One list for all methods: what is true of each is tested for each, and a new method gets it for free."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from published import PUBLISHED, Published
from torch import Tensor

import retouche
from retouche.arithmetic import computing_in
from retouche.methods import METHODS, find
from retouche.methods.loading import identify
from retouche.methods.method import Generator
from retouche.weights.native import config_as_json, config_from_json
from retouche.weights.read import read_tensors

NETWORKS = [name for name in METHODS if find(name).build is not None]
PRESETS = [(name, preset) for name in NETWORKS for preset in find(name).presets]
NAMES = [f"{name}:{preset}" for name, preset in PRESETS]
UNBOUNDED = {"partial-conv"}  # published networks that end without an activation
FILES = [f"{file.golden}-{file.key or file.part}" for file in PUBLISHED]


SMALL = {"mi-gan": {"side": 32}}
"""Settings under which a network that is large at its one size is tried here."""


def small(name: str) -> Generator:
    """A fresh generator, of a smaller size where the default one would take minutes."""
    record = find(name)
    assert record.build is not None
    config = dataclasses.replace(next(iter(record.presets.values())), **SMALL.get(name, {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return record.build(config).eval()


def example(generator: Generator, height: int, width: int, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random pictures and a hole in the middle of each, a little different from sample to sample."""
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 3, height, width, generator=random) * 2 - 1
    mask = torch.zeros(batch, 1, height, width)
    for index in range(batch):
        top, left = height * 3 // 8 + index, width * 3 // 8
        mask[index, :, top : top + height // 5, left : left + width // 5] = 1
    return image, mask


def result(generator: Generator, image: Tensor, mask: Tensor, structure: Tensor | None = None) -> Tensor:
    made = generator(image, mask, structure=structure)
    found = made.refined if made.refined is not None else made.structure
    assert found is not None
    return found


def least(generator: Generator) -> int:
    return generator.smallest + -generator.smallest % generator.multiple


@pytest.mark.parametrize(("name", "preset"), PRESETS, ids=NAMES)
def test_builds_and_fills_its_smallest_picture(name: str, preset: str) -> None:
    model = retouche.create(name, preset)
    generator = model.generator
    assert generator is not None and model.preset == preset
    side = least(generator)
    image, mask = example(generator, side, side)
    # StructureFlow's texture network alone takes the structure as given
    structure = image if (name, preset) == ("structure-flow", "texture") else None
    with torch.inference_mode():
        made = result(generator, image, mask, structure)
    assert made.shape == image.shape and made.isfinite().all()
    assert made.abs().max() <= 1.0001 or name in UNBOUNDED
    assert config_from_json(type(model.config), config_as_json(model.config)) == model.config
    for field in dataclasses.fields(model.config):
        assert getattr(model.config, field.name) is not None


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_fills(name: str, precision: Literal["bf16", "fp16"]) -> None:
    """Layers with quick forms of their own take part in autocast, or leave it. Weights are fresh."""
    generator = small(name)
    side = generator.largest or max(64, least(generator))
    image, mask = example(generator, side, side)
    with torch.inference_mode():
        exact = result(generator, image, mask)
        with computing_in(precision, "cpu"):
            half = result(generator, image, mask).float()
    assert half.isfinite().all()
    assert (half - exact).abs().mean() < 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_weights_and_the_global_state_is_left_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    one, two, other = (retouche.create(name, seed=seed).generator for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one is not None and two is not None and other is not None
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert any(
        not torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_refuses_what_it_cannot_take(name: str) -> None:
    generator = retouche.create(name).generator
    assert generator is not None
    side = least(generator)
    image, mask = example(generator, side, side)
    with pytest.raises(retouche.InputError, match="pad it to"):
        generator(image[..., :-1], mask[..., :-1])
    with pytest.raises(retouche.InputError, match="NaN"):
        generator(image * float("nan"), mask)
    with pytest.raises(retouche.InputError, match="mask is"):
        generator(image, mask[..., 1:])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_equals_its_singles_and_the_hole_is_not_read(name: str) -> None:
    generator = small(name)
    side = least(generator)
    fixed = find(name).scope(retouche.create(name).config).centre or generator.largest
    wide = side if fixed else side + generator.multiple
    image, mask = example(generator, side, wide, batch=2)
    with torch.inference_mode():
        batch = result(generator, image, mask)
        singles = torch.cat([result(generator, image[i : i + 1], mask[i : i + 1]) for i in range(2)])
        blanked = result(generator, image * (1 - mask), mask)
        shared = result(generator, image, mask[:1])
        alone = result(generator, image[1:], mask[:1])
    # one part in ten thousand: gates behind instance statistics amplify rounding (a convolution's order differs)
    assert (batch - singles).abs().max() < 1e-4
    assert torch.equal(batch, blanked)
    assert (shared[1:] - alone).abs().max() < 1e-4


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_works_in_other_precisions(name: str, dtype: torch.dtype) -> None:
    generator = small(name)
    side = least(generator)
    image, mask = example(generator, side, side)
    with torch.inference_mode():
        made = result(generator.to(dtype), image.to(dtype), mask.to(dtype))
    assert made.dtype == dtype and made.isfinite().all()


@pytest.mark.parametrize("file", PUBLISHED, ids=FILES)
def test_published_file_loads_strictly_and_is_claimed_once(file: Published, tmp_path: Path) -> None:
    path, published = tmp_path / "published.pth", file.tensors()
    torch.save(file.wrap(published), path)
    tensors, _ = read_tensors(path)
    claimed = [(name, layout.name.removesuffix("-discriminator")) for name, layout in identify(tensors)]
    assert claimed == [(file.method, file.layout)]
    model = retouche.load(path)
    assert model.method == file.method
    assert (model.generator is not None) == (file.part == "generator")
    assert file.part == "generator" or file.part in model.critics
    # a tensor less, one more, one of another shape: each is refused
    name = max(published, key=lambda name: published[name].numel())
    for broken in (
        {key: value for key, value in published.items() if key != name},
        {**published, name + "_more": torch.zeros(3)},
        {**published, name: published[name][:-1]},
    ):
        torch.save(file.wrap(broken), path)
        with pytest.raises(retouche.WeightsError):
            retouche.load(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_save_and_load_are_exact(name: str, tmp_path: Path) -> None:
    model = retouche.create(name, seed=7)
    model.save(tmp_path / "own.safetensors")
    again = retouche.load(tmp_path / "own.safetensors")
    assert (again.method, again.config, again.preset) == (model.method, model.config, model.preset)
    assert model.generator is not None and again.generator is not None
    assert again.critics.keys() == model.critics.keys()
    for mine, other in (
        (model.generator, again.generator),
        *((model.critics[k], again.critics[k]) for k in model.critics),
    ):
        state = other.state_dict()
        assert all(torch.equal(tensor, state[key]) for key, tensor in mine.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_one_batch_overfits(name: str) -> None:
    """At one of three ordinary learning rates; the published initial weights call for different ones."""
    reached = []
    for rate in (1e-3, 3e-4, 1e-4):
        generator = small(name).train()
        side = least(generator)
        image, mask = example(generator, side, side, batch=2)  # two: batch statistics need them
        image = 0.8 * torch.sign(torch.nn.functional.avg_pool2d(image, 15, 1, 7))
        optimizer = torch.optim.Adam(generator.parameters(), rate)
        first = None
        for _ in range(10):
            loss = ((result(generator, image, mask) - image).abs() * mask).sum() / (3 * mask.sum())
            first = first or loss.item()
            if loss.item() < 0.85 * first:
                return
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reached.append((rate, first, loss.item()))
    raise AssertionError(f"no learning: {reached}")


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("size", [(90, 133), (31, 17)], ids=str)
def test_nothing_outside_the_hole_changes_at_odd_sizes(name: str, size: tuple[int, int]) -> None:
    model = retouche.load(name) if find(name).build is None else retouche.create(name)
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    mask = np.zeros(size, bool)
    mask[3 : size[0] // 2, 4 : size[1] // 3] = True
    filled, report = model(picture, mask, dilate=0, report=True)
    assert filled.shape == picture.shape and filled.dtype == np.uint8
    assert np.array_equal(filled[~mask], picture[~mask])
    assert (filled[mask] != picture[mask]).any()
    assert report.holes
