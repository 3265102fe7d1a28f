"""DeepFill v2, contextual attention and partial convolution against what the published codes compute."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import about, arrays, assert_close, filled
from torch import Tensor

from retouche.layers import PartialConv2d, contextual_attention
from retouche.layers.attention import VARIANTS
from retouche.methods.deepfill_v2 import PatchCritic
from retouche.methods.loading import Networks, load_file


@cache
def published(name: str) -> dict[str, Tensor]:
    """The layout's tensors by their published names, constants and singular vectors included."""
    text = about(name)
    tensors = filled(text["params"], text["about"]["seed"], text["about"]["gain"])
    tensors |= {constant: torch.eye(3).view(1, 1, 3, 3) for constant in text.get("constants", {})}
    for vector in text.get("derived", {}):
        kernel = tensors[vector.removesuffix("_u")].flatten(1)
        tensors[vector] = torch.linalg.svd(kernel.double(), full_matrices=False).U[:, :1].float()
    return tensors


def load(folder: Path, container: dict[str, object], semantics: str = "original") -> Networks:
    """Through a file, as a user would."""
    torch.save(container, folder / "published.pth")
    return load_file(folder / "published.pth", semantics)


def run(generator: Any, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coarse and refined prediction, and what the attention returned; all in the network's own order of colours."""
    axes = [1] if generator.order == "bgr" else []
    seen: list[Tensor] = []
    hook = generator.attended.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        prediction = generator(image.flip(axes), mask)
    hook.remove()
    return prediction.coarse.flip(axes), prediction.refined.flip(axes), seen[0]


def check_generator(loaded: Networks, name: str, suffix: str = "") -> None:
    data = arrays(name)
    coarse, refined, attention = run(loaded.generator, data["input.image"], data["input.mask"])
    assert_close(coarse, data["output.coarse"], 2e-5)
    assert_close(refined, data["output.fine" + suffix], 2e-5)
    assert_close(attention, data["output.attention" + suffix], 1e-4)
    if not suffix:
        coarse, refined, _ = run(loaded.generator, data["input.batch_image"], data["input.batch_mask"])
        assert_close(coarse, data["output.batch_coarse"], 2e-5)
        assert_close(refined, data["output.batch_fine"], 2e-5)


def test_converted_weights_compute_the_original(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"G": published("deepfillv2-tf"), "n_iter": 5})
    assert (loaded.method, loaded.layout, loaded.preset) == ("deepfill-v2", "tf", "places2")
    check_generator(loaded, "deepfillv2-tf", "_official")


def test_converted_weights_compute_their_port_on_demand(tmp_path: Path) -> None:
    check_generator(load(tmp_path, {"G": published("deepfillv2-tf")}, "port"), "deepfillv2-tf")


def test_tensorflow_names_and_channel_order(tmp_path: Path) -> None:
    """The same weights, as the official checkpoint would hold them, give the same pictures."""
    names = {}
    for name, tensor in published("deepfillv2-tf").items():
        layer, kind = re.fullmatch(r"(\w+)\.conv(?:\.conv)?\.(weight|bias)", name).groups()
        scope = f"{layer}/{layer}_conv" if "upsample" in layer else layer
        if kind == "weight":
            tensor = tensor.permute(2, 3, 1, 0)
            if layer in {"conv1", "xconv1", "pmconv1"}:
                tensor = torch.cat([tensor[:, :, :3].flip(2), tensor[:, :, 3:]], 2)
        if layer in {"conv17", "allconv17"}:
            tensor = tensor.flip(-1)
        names[f"inpaint_net/{scope}/{'kernel' if kind == 'weight' else kind}"] = tensor.contiguous()
    critic = published("deepfillv2-critic")
    for name, tensor in critic.items():
        layer, kind = re.fullmatch(r"(conv\d)\.conv_sn\.(weight|bias|weight_u)", name).groups()
        if kind == "weight":
            tensor = tensor.permute(2, 3, 1, 0)
            tensor = torch.cat([tensor[:, :, :3].flip(2), tensor[:, :, 3:]], 2) if layer == "conv1" else tensor
        kind = {"weight": "kernel", "weight_u": "kernel_sn/u"}.get(kind, kind)
        names[f"discriminator/sn_patch_gan/{layer}/{kind}"] = tensor.t() if "/u" in kind else tensor
    loaded = load(tmp_path, {name: tensor.contiguous() for name, tensor in names.items()})
    assert loaded.layout == "official"
    check_generator(loaded, "deepfillv2-tf", "_official")
    check_critic(loaded.critics["discriminator"], "scores_tf")


@pytest.mark.parametrize("constants", [True, False])
def test_pt_port(tmp_path: Path, constants: bool) -> None:
    tensors = {name: t for name, t in published("deepfillv2-pt").items() if constants or "fuse" not in name}
    loaded = load(tmp_path, {"G": tensors})
    assert (loaded.layout, loaded.preset) == ("pt", "pt")
    check_generator(loaded, "deepfillv2-pt")


def test_mmagic(tmp_path: Path) -> None:
    tensors = published("deepfillv2-mmagic") | published("deepfillv2-mmagic-critic")
    loaded = load(tmp_path, {"state_dict": tensors, "meta": {}})
    assert (loaded.layout, loaded.preset, loaded.generator.order) == ("mmagic", "mmagic", "bgr")
    check_generator(loaded, "deepfillv2-mmagic")
    data = arrays("deepfillv2-mmagic-critic")
    with torch.no_grad():
        scores = loaded.critics["discriminator"](data["input.image"], data["input.mask"])
    assert_close(scores, data["output.scores"], 2e-5)


def check_critic(critic: torch.nn.Module, output: str) -> None:
    data = arrays("deepfillv2-critic")
    assert isinstance(critic, PatchCritic)
    with torch.no_grad():
        scores = critic(data["input.image"], data["input.mask"])
        published_form = critic(torch.cat([data["input.image"], data["input.mask"]], 1))
    assert_close(scores, data[f"output.{output}"], 2e-5)
    assert torch.equal(scores, published_form)


@pytest.mark.parametrize(("semantics", "output"), [("original", "scores_tf"), ("port", "scores_pt")])
def test_critic_alone(tmp_path: Path, semantics: str, output: str) -> None:
    loaded = load(tmp_path, {"D": published("deepfillv2-critic")}, semantics)
    assert loaded.generator is None
    check_critic(loaded.critics["discriminator"], output)


def test_critic_beside_its_generator(tmp_path: Path) -> None:
    """A training state: the critic pads as the generator's code does, and optimisers are passed over."""
    critic = published("deepfillv2-critic")
    for name, output in (("deepfillv2-tf", "scores_tf"), ("deepfillv2-pt", "scores_pt")):
        state = {"G": published(name), "D": critic, "G_optim": {"state": {0: {"exp_avg": torch.ones(2)}}}, "n_iter": 1}
        check_critic(load(tmp_path, state).critics["discriminator"], output)


def test_critic_without_stored_vectors(tmp_path: Path) -> None:
    tensors = {name: t for name, t in published("deepfillv2-critic").items() if not name.endswith("_u")}
    check_critic(load(tmp_path, {"D": tensors}).critics["discriminator"], "scores_tf")


@pytest.mark.parametrize("variant", VARIANTS)
def test_contextual_attention(variant: str) -> None:
    data = arrays("contextual-attention")
    features, mask = data["input.features"], data["input.mask"]
    assert_close(contextual_attention(features, mask, variant), data[f"output.{variant}"], 2e-5)
    whole = contextual_attention(features, torch.zeros_like(mask), variant)
    assert_close(whole, data[f"output.nohole_{variant}"], 2e-5)
    batch = contextual_attention(data["input.batch_features"], data["input.batch_mask"], variant)
    assert_close(batch, data[f"output.batch_{variant}"], 2e-5)


@pytest.mark.parametrize("case", ["k3s1", "k5s2", "k7s2_nobias", "k3d2"])
@pytest.mark.parametrize("multi", ["", "_multi"])
def test_partial_convolution(case: str, multi: str) -> None:
    data = arrays("partial-conv")
    text = about("partial-conv")
    kernel, letter, amount = int(case[1]), case[2], int(case[3])
    stride, dilation = (amount, 1) if letter == "s" else (1, amount)
    layer = PartialConv2d(
        4,
        6,
        kernel,
        stride=stride,
        padding=dilation * (kernel - 1) // 2,
        dilation=dilation,
        bias="nobias" not in case,
        multi_channel=bool(multi),
        return_mask=True,
    )
    weights = filled(text["params"], text["about"]["seed"], text["about"]["gain"])
    prefix = case + multi + "."
    layer.load_state_dict({n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)})
    with torch.no_grad():
        image, mask = layer(data["input.x"], data["input.valid" + multi])
    assert_close(image, data[f"output.{case}{multi}"], 2e-5)
    assert_close(mask, data[f"output.{case}{multi}_mask"], 0)
