"""DeepFill v1 against the published codes: pictures 2e-5, attention 1e-4, by every container they publish."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path

import pytest
import torch
from golden import hole
from helpers import about, arrays, assert_close, filled
from torch import Tensor

from retouche.errors import InputError
from retouche.losses.adversarial import gradient_penalty
from retouche.methods import deepfill_names as names
from retouche.methods.deepfill_v1 import DAA233, METHOD, MMAGIC, OFFICIAL, Critic, DeepFillV1Config, DeepFillV1Generator
from retouche.methods.loading import load_file
from retouche.weights.layout import Layout, load_strictly


@cache
def published(name: str) -> dict[str, Tensor]:
    facts = about(name)
    seed, gain = facts["about"]["seed"], facts["about"]["gain"]
    if "localD" in facts["params"]:
        parts = {part: filled(shapes, seed, gain) for part, shapes in facts["params"].items()}
        return {f"{part}.{key}": tensor for part, tensors in parts.items() for key, tensor in tensors.items()}
    constants = {key: torch.eye(3).view(1, 1, 3, 3) for key in facts["about"].get("constants", {})}
    return filled(facts["params"], seed, gain) | constants


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in tensors.items()}


def layout_of(tensors: dict[str, Tensor]) -> Layout:
    (layout,) = [layout for layout in METHOD.layouts if layout.fits(tensors)]
    return layout


def networks(tensors: dict[str, Tensor], layout_name: str, semantics: str = "original") -> dict[str, torch.nn.Module]:
    """What a file's tensors come to, strictly."""
    layout = layout_of(tensors)
    parts, stray = layout.translate(tensors)
    assert layout.name == layout_name and not stray
    config = layout.config(parts, semantics)
    built = {"generator": METHOD.build(config), **METHOD.critics(config)}
    for name, part in parts.items():
        load_strictly(built[name], part)
    return {name: built[name].eval() for name in parts}


def second_input(stored: dict[str, Tensor], suffix: str) -> Tensor:
    image, mask = stored["input.image"], stored["input.mask"]
    pasted = torch.where(mask > 0, stored[f"output.coarse{suffix}"], image)
    return torch.cat([pasted, torch.ones_like(mask), mask], 1)


@torch.no_grad()
def check(generator: torch.nn.Module, stored: dict[str, Tensor], suffix: str = "") -> None:
    assert isinstance(generator, DeepFillV1Generator)
    # stored in the network's own order; through its door colours go as everybody's
    axes = [1] if generator.order == "bgr" else []
    prediction = generator(stored["input.image"].flip(axes), stored["input.mask"])
    assert_close(prediction.coarse.flip(axes), stored[f"output.coarse{suffix}"], 2e-5)
    assert_close(prediction.refined.flip(axes), stored[f"output.fine{suffix}"], 2e-5)
    attention = generator.attend(second_input(stored, suffix), stored["input.mask"])
    assert_close(attention, stored[f"output.attention{suffix}"], 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["deepfillv1-daa233", "deepfillv1-mmagic"])
def test_generator(name: str) -> None:
    stored = arrays(name)
    generator = networks(published(name), name.removeprefix("deepfillv1-"))["generator"]
    check(generator, stored)
    # every sample by its own mask; a blanked picture is as good as a whole one
    image, mask = stored["input.batch_image"], stored["input.batch_mask"]
    prediction = generator(image * (1 - mask), mask)
    assert_close(prediction.coarse, stored["output.batch_coarse"], 2e-5)
    assert_close(prediction.refined, stored["output.batch_fine"], 2e-5)


def test_converted_file_has_two_targets() -> None:
    stored, tensors = arrays("deepfillv1-daa233"), under("netG.", published("deepfillv1-daa233"))
    check(networks(tensors, "daa233-converted")["generator"], stored, "_official")
    check(networks(tensors, "daa233-converted", "port")["generator"], stored)


def as_tensorflow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """daa233's names and numbers as the official program would hold them: BGR, (row, column, in, out)."""
    theirs = {}
    for daa233, official in zip(names.DAA233, names.TENSORFLOW, strict=True):
        kernel, bias = tensors[f"{daa233}.conv.weight"], tensors[f"{daa233}.conv.bias"]
        if official.endswith("conv1"):
            kernel = kernel[:, [2, 1, 0, 3, 4]]
        if official.endswith("conv17"):
            kernel, bias = kernel[[2, 1, 0]], bias[[2, 1, 0]]
        theirs[f"inpaint_net/{official}/kernel"] = kernel.permute(2, 3, 1, 0).contiguous()
        theirs[f"inpaint_net/{official}/bias"] = bias
    return theirs


def critics_as_tensorflow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    theirs = {}
    for name in ("local", "global"):
        for i in (1, 2, 3, 4):
            kernel = tensors[f"{name}D.dis_conv_module.conv{i}.conv.weight"]
            kernel = kernel[:, [2, 1, 0]] if i == 1 else kernel
            scope = f"discriminator/discriminator_{name}/conv{i}"
            theirs[f"{scope}/kernel"] = kernel.permute(2, 3, 1, 0).contiguous()
            theirs[f"{scope}/bias"] = tensors[f"{name}D.dis_conv_module.conv{i}.conv.bias"]
        matrix = tensors[f"{name}D.linear.weight"]
        side = round((matrix.shape[1] / 256) ** 0.5)
        matrix = matrix.view(256, side, side).permute(1, 2, 0).reshape(-1, 1)  # (row, column, channel)
        theirs[f"discriminator/dout_{name}_fc/kernel"] = matrix
        theirs[f"discriminator/dout_{name}_fc/bias"] = tensors[f"{name}D.linear.bias"]
    return theirs


def test_tensorflow_checkpoint() -> None:
    stored, scores = arrays("deepfillv1-daa233"), arrays("deepfillv1-daa233-critics")
    tensors = published("deepfillv1-daa233")
    critics = published("deepfillv1-daa233-critics")
    checkpoint = {
        **as_tensorflow(tensors),
        **critics_as_tensorflow(critics),
        "inpaint_net/conv1/kernel/Adam": torch.zeros(5, 5, 5, 32),
        "discriminator/dout_local_fc/kernel/Adam_1": torch.zeros(16384, 1),
        "beta1_power": torch.tensor(0.5),
        "global_step": torch.tensor(1),
    }
    built = networks(checkpoint, "official")
    check(built["generator"], stored, "_official")
    # the critics' paddings differ, so that their numbers do; what is in them does not
    port = networks(critics, "daa233")
    for name in ("local", "global"):
        ours, theirs = built[name].state_dict(), port[name].state_dict()
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
        with torch.no_grad():
            assert built[name](scores[f"input.{name}"]).shape == scores[f"output.{name}"].shape


def test_tensorflow_names_of_v2_are_not_v1() -> None:
    gated = {
        "inpaint_net/conv1/kernel": torch.zeros(5, 5, 5, 48),
        "inpaint_net/conv2_downsample/kernel": torch.zeros(3, 3, 24, 96),
    }
    assert not any(layout.fits(gated) for layout in METHOD.layouts)


@pytest.mark.parametrize("name", ["daa233", "mmagic"])
def test_critics(name: str) -> None:
    stored = arrays(f"deepfillv1-{name}-critics")
    built = networks(published(f"deepfillv1-{name}-critics"), name)
    assert built.keys() == {"local", "global"}
    for place, critic in built.items():
        image = stored[f"input.{place}"].requires_grad_()
        scores = critic(image)
        assert_close(scores.detach(), stored[f"output.{place}"], 2e-5)
        if f"output.{place}_grad_norm" not in stored:
            continue
        (slope,) = torch.autograd.grad(scores.sum(), image)
        norms = stored[f"output.{place}_grad_norm"]
        assert_close(slope.flatten(1).norm(dim=1), norms, 2e-5)
        n, _, h, w = image.shape
        mask = torch.from_numpy(hole(h, w, seed={"local": 200, "global": 201}[place], batch=n))
        masked_norms = stored[f"output.{place}_masked_grad_norm"]
        assert_close((slope.square() * mask).flatten(1).sum(1).sqrt(), masked_norms, 2e-5)
        # the penalty, at the picture itself
        image = image.detach()
        at_real = torch.zeros(n, 1, 1, 1)
        plain = gradient_penalty(critic, image, torch.zeros_like(image), mask, "plain", at_real).detach()
        assert_close(plain, (norms - 1).square().mean(), 2e-5)
        masked = gradient_penalty(critic, image, torch.zeros_like(image), mask, "masked", at_real).detach()
        assert_close(masked, (masked_norms - 1).square().mean(), 2e-5)


def write(tree: object, path: Path, kind: str) -> Path:
    if kind == "torch":
        torch.save(tree, path)
    else:
        path.write_bytes(pickle.dumps(tree, protocol=4))
    return path


def test_files_as_published(tmp_path: Path) -> None:
    """Each publisher's container, from the file to the numbers."""
    tensors, critics = published("deepfillv1-daa233"), published("deepfillv1-daa233-critics")
    stored = arrays("deepfillv1-daa233")
    split = {
        name: {key.removeprefix(f"{name}."): tensor for key, tensor in critics.items() if key.startswith(name)}
        for name in ("localD", "globalD")
    }

    own = load_file(write(tensors, tmp_path / "gen_00430000.pt", "torch"))
    assert (own.method, own.layout, own.preset, own.critics) == ("deepfill-v1", "daa233", "daa233", {})
    check(own.generator, stored)
    both = load_file(write(split, tmp_path / "dis_00430000.pt", "torch").parent)  # the folder with both files
    assert (both.layout, both.preset, both.critics.keys()) == ("daa233", "daa233", {"local", "global"})

    whole = load_file(write({**under("netG.", tensors), **critics}, tmp_path / "torch_model.p", "torch"))
    assert whole.layout == "daa233-converted" and whole.config.padding == "same"
    check(whole.generator, stored, "_official")
    port = load_file(tmp_path / "torch_model.p", semantics="port")
    check(port.generator, stored)

    arrays_of = {key: tensor.numpy() for key, tensor in tensors.items()}
    paddle = load_file(write(arrays_of, tmp_path / "gen_00144000.pdparams", "pickle"))
    assert (paddle.method, paddle.layout) == ("deepfill-v1", "daa233")
    check(paddle.generator, stored)
    # Paddle's linear layers are (in, out)
    turned = {
        name: {key: (tensor.t() if key == "linear.weight" else tensor).numpy() for key, tensor in part.items()}
        for name, part in split.items()
    }
    judges = load_file(write(turned, tmp_path / "dis_00144000.pdparams", "pickle")).critics
    for name, critic in judges.items():
        assert torch.equal(critic.get_parameter("linear.weight"), split[f"{name}D"]["linear.weight"])

    mmagic = {**published("deepfillv1-mmagic"), **published("deepfillv1-mmagic-critics")}
    tree = {"meta": {"iter": 1}, "state_dict": mmagic, "optimizer": {"generator": {"state": {}, "param_groups": []}}}
    loaded = load_file(write(tree, tmp_path / "deepfillv1_places.pth", "torch"))
    assert (loaded.layout, loaded.preset, loaded.critics.keys()) == ("mmagic", "mmagic", {"local", "global"})
    assert loaded.generator.order == "bgr"
    check(loaded.generator, arrays("deepfillv1-mmagic"))


def test_sizes() -> None:
    def parameters(network: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    with torch.device("meta"):
        generator = METHOD.build(OFFICIAL)
        critics = {name: METHOD.critics(METHOD.presets[name]) for name in METHOD.presets}
    assert parameters(generator) == 3_601_542 and len(generator.state_dict()) == 84
    assert [parameters(critic) for critic in critics["official"].values()] == [4_339_329, 2_733_441]
    assert [parameters(critic) for critic in critics["daa233"].values()] == [2_684_289, 2_733_441]
    assert sum(parameters(critic) for critic in critics["mmagic"].values()) == 7_072_770


def test_critics_of_other_sizes_and_their_refusal() -> None:
    config = DeepFillV1Config(width=4, critic_width=4, local_size=32, global_size=72)
    local = METHOD.critics(config)["local"]
    assert isinstance(local, Critic) and local(torch.zeros(2, 3, 32, 32)).shape == (2, 1)
    with pytest.raises(InputError, match="knows 32x32 only"):
        local(torch.zeros(2, 3, 40, 32))
    assert METHOD.critics(config)["global"](torch.zeros(1, 3, 72, 72)).shape == (1, 1)


@torch.no_grad()
@pytest.mark.parametrize("config", [OFFICIAL, DAA233, MMAGIC], ids=["official", "daa233", "mmagic"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_smallest_picture_in_other_precisions(config: DeepFillV1Config, dtype: torch.dtype) -> None:
    generator = METHOD.build(config).to(dtype).eval()
    side = generator.smallest
    image = torch.zeros(1, 3, side, side + 8, dtype=dtype)
    mask = torch.zeros(1, 1, side, side + 8)
    mask[..., :4, :4] = 1
    refined = generator(image, mask).refined
    assert refined.dtype == dtype and refined.isfinite().all()
    with pytest.raises(InputError, match="pad it to"):
        generator(image[..., :-4], mask[..., :-4])
