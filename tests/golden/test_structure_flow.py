"""StructureFlow's networks against the published code's numbers, and its sampler's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import about, arrays, assert_close, filled
from torch import Tensor, nn

from retouche.errors import InputError
from retouche.layers import gaussian_sample
from retouche.methods import structure_flow
from retouche.methods.loading import load_file
from retouche.methods.structure_flow import METHOD, StructureFlowConfig
from retouche.numerics.structure import structure_of_known
from retouche.weights.layout import load_strictly


@cache
def loaded(name: str) -> nn.Module:
    """The network of a golden file, through the method's own layouts."""
    said = about(name)
    tensors = filled(said["params"], said["seed"], said["gain"])
    layout = next(layout for layout in METHOD.layouts if layout.fits(tensors))
    parts, stray = layout.translate(tensors)
    assert not stray and len(parts) == 1
    config = layout.config(parts, "original")
    (part,) = parts
    assert METHOD.build is not None
    network = METHOD.build(config) if part == "generator" else METHOD.critics(config)[part]
    load_strictly(network, parts[part])
    return network.eval()


def split(x: Tensor) -> dict[str, Tensor]:
    return {"image": x[:, :3], "structure": x[:, 3:6], "mask": x[:, 6:]}


@pytest.mark.parametrize(("dtype", "cases"), [(torch.float32, "ab"), (torch.float64, "a")])
def test_structure_network(dtype: torch.dtype, cases: str) -> None:
    network, stored = loaded("structureflow-structure").to(dtype), arrays("structureflow-structure")
    for case in cases:
        with torch.no_grad():
            prediction = network(**split(stored[f"input.{case}"].to(dtype)))
        assert prediction.refined is None and prediction.structure.dtype == dtype
        assert_close(prediction.structure, stored[f"output.{case}"], 1e-4)


@pytest.mark.parametrize(("dtype", "cases"), [(torch.float32, "ab"), (torch.float64, "a")])
def test_texture_network(dtype: torch.dtype, cases: str) -> None:
    network, stored = loaded("structureflow-flow").to(dtype), arrays("structureflow-flow")
    for case in cases:
        with torch.no_grad():
            prediction = network(**split(stored[f"input.{case}"].to(dtype)))
        assert_close(prediction.refined, stored[f"output.{case}.image"], 2e-5)
        assert_close(prediction.flow, stored[f"output.{case}.flow"], 1e-4)


def test_critic() -> None:
    critic, stored = loaded("structureflow-discriminator"), arrays("structureflow-discriminator")
    for case in "ab":
        with torch.no_grad():
            scores = critic(stored[f"input.{case}"])
        for scale in (0, 1):
            assert_close(scores[scale], stored[f"output.{case}.{scale}"], 1e-5)


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("kind", ["k16", "k4"])
def test_sampler(case: str, kind: str) -> None:
    stored = arrays("structureflow-resample")
    rule: dict[str, Any] = about("structureflow-resample")["arguments"][kind]
    features = stored[f"input.{case}.features"].requires_grad_()
    flow = stored[f"input.{case}.flow"].requires_grad_()
    sampled = gaussian_sample(features, flow, rule["kernel_size"], rule["sigma"])
    assert_close(sampled, stored[f"output.{case}.{kind}"], 1e-5)
    to_features, to_flow = torch.autograd.grad(sampled, (features, flow), stored[f"input.{case}.grad"])
    assert_close(to_features, stored[f"output.{case}.{kind}.grad_features"], 1e-4)
    assert_close(to_flow, stored[f"output.{case}.{kind}.grad_flow"], 1e-4)


# rows of the layer tables that torchsummary prints of the published networks: weights, biases, norms
STRUCTURE_ROWS = {
    "input_layer": 22_016,
    "down_sample.0.0": 131_200,
    "down_sample.0.1": 409_728,
    "down_sample.1.0": 524_544,
    "down_sample.1.1": 1_638_656,
    "down_sample.2.0": 2_097_664,
    "up_sample.0.0": 18_878_464,
    "up_sample.0.2": 3_277_056,
    "content_param.0": 1_638_656,
    "up_sample.1.0": 4_720_640,
    "up_sample.1.2": 819_328,
    "content_param.1": 409_728,
    "up_sample.2.0": 1_180_672,
    "up_sample.2.2": 204_864,
    "content_param.2": 102_464,
    "image_net": 1_731,
    "": 36_057_411,
}
TEXTURE_ROWS = {
    "flow_column.down_sample_flow.0": 146_304,
    "flow_column.down_sample_flow.1": 540_928,
    "flow_column.down_sample_flow.2": 2_163_200,
    "flow_column.down_sample_flow.3": 8_651_776,
    "flow_column.up_sample_flow.0": 14_158_080,
    "flow_column.up_sample_flow.1": 6_817_152,
    "flow_column.location.0": 409_664,
    "flow_column.location.1": 1_152,
    "conv_column.down_sample.0": 688_064,
    "conv_column.down_sample.1": 2_918_656,
    "conv_column.up_sample.0": 12_720_896,
    "conv_column.up_sample.1": 7_257_603,
    "": 56_473_475,
}
CRITIC_ROWS = {
    **{f"model_{k}.model.{row}": count for k in (1, 2) for row, count in enumerate((3_136, 119_104, 475_776, 256))},
    "": 1_196_544,
}


@pytest.mark.parametrize(
    ("network", "rows", "entries"),
    [
        (structure_flow.StructureNetwork, STRUCTURE_ROWS, 92),
        (structure_flow.TextureNetwork, TEXTURE_ROWS, 137),
        (structure_flow.Critic, CRITIC_ROWS, 62),
    ],
)
def test_parameter_counts(network: type[nn.Module], rows: dict[str, int], entries: int) -> None:
    with torch.device("meta"):
        built = network()
    counted = {name: sum(p.numel() for p in built.get_submodule(name).parameters()) for name in rows}
    assert counted == rows
    assert len(built.state_dict()) == entries


def save(folder: Path, **networks: nn.Module | None) -> None:
    """Narrow networks as published: a plain state dict each, without prefix."""
    for name, network in networks.items():
        if network is not None:
            torch.save(network.state_dict(), folder / f"latest_net_{name}.pth")


def narrow(seed: int, **present: Any) -> structure_flow.StructureFlow:
    torch.manual_seed(seed)
    return structure_flow.StructureFlow(StructureFlowConfig(width=8, **present)).eval()


def test_the_structure_network_alone_takes_multiples_of_eight() -> None:
    network = narrow(0, texture=False)
    for height, width in ((16, 24), (40, 16), (56, 64)):
        image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
        mask = torch.zeros(1, 1, height, width)
        mask[..., 4:10, 5:12] = 1
        with torch.no_grad():
            made = network(image, mask, structure=image).structure
            known = image * (1 - mask)
            assert torch.equal(made, network.structure(torch.cat([known, known, mask], 1)))
    with pytest.raises(InputError, match="multiples of 8, at least 16"):
        network(torch.zeros(1, 3, 8, 24), torch.zeros(1, 1, 8, 24))
    with pytest.raises(InputError, match="multiples of 16, at least 48"):
        narrow(0)(torch.zeros(1, 3, 40, 56), torch.zeros(1, 1, 40, 56))


def test_folder_chains_both_networks(tmp_path: Path) -> None:
    whole, critics = narrow(0), METHOD.critics(StructureFlowConfig(width=8))
    save(tmp_path, s_gen=whole.structure, f_gen=whole.texture, s_dis=critics["structure"], f_dis=critics["texture"])
    loaded = load_file(tmp_path)
    assert (loaded.method, loaded.layout, loaded.config) == ("structure-flow", "renyurui", StructureFlowConfig(width=8))
    image, structure = torch.rand(2, 1, 3, 48, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., 8:30, 10:40] = 1
    with torch.no_grad():
        prediction = loaded.generator(image, mask, structure=structure)
        halves = [load_file(tmp_path / f"latest_net_{name}.pth") for name in ("s_gen", "f_gen")]
        first = halves[0].generator(image, mask, structure=structure)
        second = halves[1].generator(image, mask, structure=first.structure)
        assert first.refined is None and first.flow is None
        for ours, theirs in ((prediction.structure, first.structure), (prediction.refined, second.refined)):
            assert torch.equal(ours, theirs)
        assert torch.equal(prediction.flow, second.flow)
        # without a structure picture it is made of what is known
        alone = loaded.generator(image, mask)
        known = loaded.generator(image, mask, structure=structure_of_known(image, mask))
        assert torch.equal(alone.refined, known.refined)
        # what the hole holds is never looked at, nor the structure in it
        other = torch.where(mask > 0, torch.flip(image, (2,)), image)
        assert torch.equal(loaded.generator(other, mask).refined, alone.refined)
        with pytest.raises(InputError, match="load the folder with both"):
            halves[1].generator(image, mask)
        for name, critic in critics.items():
            torch.testing.assert_close(loaded.critics[name](image), critic.eval()(image))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes(dtype: torch.dtype) -> None:
    image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., 10:30, 10:30] = 1
    with torch.no_grad():
        prediction = narrow(0).to(dtype)(image.to(dtype), mask.to(dtype))
    for part in (prediction.refined, prediction.structure, prediction.flow):
        assert part is not None and part.dtype == dtype and part.isfinite().all()


def test_gradients_reach_both_networks_and_critics() -> None:
    network, critic = narrow(0).train(), structure_flow.Critic(8)
    image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., 10:30, 10:30] = 1
    prediction = network(image, mask, structure=image)
    sum(scores.mean() for scores in critic(prediction.refined)).backward()
    lacking = [name for name, p in [*network.named_parameters(), *critic.named_parameters()] if p.grad is None]
    assert not lacking
