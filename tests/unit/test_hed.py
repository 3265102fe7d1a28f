"""HED by Caffe's rule and by the port's, each against a second writing of it; no published file was opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from caffe_writer import blob, network
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from retouche.apps.cli import main
from retouche.backbones import hed as module
from retouche.backbones.hed import edges, hed
from retouche.errors import WeightsError
from retouche.folders.pairing import companion

WIDTHS, COUNTS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)


def random_weights(seed: int = 0) -> dict[str, Tensor]:
    """By Caffe's names; so scaled that the maps neither die nor saturate."""
    stream = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}
    before = 3
    for block, (width, count) in enumerate(zip(WIDTHS, COUNTS, strict=True), 1):
        for layer in range(1, count + 1):
            made[f"conv{block}_{layer}.weight"] = (
                torch.randn(width, before, 3, 3, generator=stream) * (2 / (9 * before)) ** 0.5
            )
            made[f"conv{block}_{layer}.bias"] = torch.randn(width, generator=stream)
            before = width
        made[f"score-dsn{block}.weight"] = torch.randn(1, width, 1, 1, generator=stream) / (60 * width**0.5)
        made[f"score-dsn{block}.bias"] = torch.randn(1, generator=stream)
        if block > 1:
            side = 2**block
            made[f"upsample_{side // 2}.weight"] = torch.rand(1, 1, side, side, generator=stream) / 4
    made["new-score-weighting.weight"] = torch.randn(1, 5, 1, 1, generator=stream)
    made["new-score-weighting.bias"] = torch.randn(1, generator=stream)
    return made


@pytest.fixture(scope="module")
def caffemodel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hed") / "hed.caffemodel"
    layers: dict[str, list[bytes]] = {}
    for name, tensor in random_weights().items():
        layers.setdefault(name.rpartition(".")[0], []).append(blob(tensor.numpy(), old=True))
    path.write_bytes(network(layers, old=True))
    return path


def second_writing(weights: dict[str, Tensor], image: Tensor) -> Tensor:
    """Caffe's rule, all of it by coordinates: each map's cell stands where the centre of what it pooled stands."""
    height, width = image.shape[-2:]
    mean = torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
    x = (image + 1).div(2).mul(255)[:, [2, 1, 0]] - mean
    x = functional.pad(x, (34, 34, 34, 34))  # with the kernel's own 1: 35
    maps = []
    for block, count in enumerate(COUNTS, 1):
        if block > 1:
            odd = [x.shape[-1] % 2, x.shape[-2] % 2]
            x = functional.pad(x, (0, odd[0], 0, odd[1]), value=-torch.inf)
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
        for layer in range(1, count + 1):
            name = f"conv{block}_{layer}"
            x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).clamp(min=0)
        side = functional.conv2d(x, weights[f"score-dsn{block}.weight"], weights[f"score-dsn{block}.bias"])[0, 0]
        stride = 2 ** (block - 1)
        made = torch.zeros(height, width)
        kernel = torch.ones(1, 1) if block == 1 else weights[f"upsample_{stride}.weight"][0, 0]
        reach = len(kernel)
        for row in range(side.shape[0]):
            for column in range(side.shape[1]):
                # the kernel's middle lies on the middle of the cell; the picture begins 34 pixels inside
                places = [stride * at + (stride - 1) / 2 - (reach - 1) / 2 - 34 for at in (row, column)]
                assert all(place == round(place) for place in places)
                top, left = map(round, places)
                for y in range(max(0, -top), min(reach, height - top)):
                    start, end = max(0, -left), min(reach, width - left)
                    if start < end:
                        made[top + y, left + start : left + end] += side[row, column] * kernel[y, start:end]
        maps.append(made)
    weighed = (torch.stack(maps) * weights["new-score-weighting.weight"].view(5, 1, 1)).sum(0)
    return torch.sigmoid(weighed + weights["new-score-weighting.bias"])[None, None]


@pytest.mark.parametrize("size", [(33, 21), (16, 40)])
def test_caffes_rule(caffemodel: Path, size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    made = hed(caffemodel)(image)
    expected = second_writing(random_weights(), image)
    assert made.shape == expected.shape == (1, 1, *size)
    assert expected.std() > 0.02 and 0.02 < expected.mean() < 0.98
    assert (made - expected).abs().max() < 1e-4


class Port(nn.Module):
    """The port's network, written anew with its names."""

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for word, width, count in zip(("One", "Two", "Thr", "Fou", "Fiv"), WIDTHS, COUNTS, strict=True):
            layers: list[nn.Module] = [] if word == "One" else [nn.MaxPool2d(2, 2)]
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, 1, 1), nn.ReLU()]
                before = width
            setattr(self, f"netVgg{word}", nn.Sequential(*layers))
            setattr(self, f"netScore{word}", nn.Conv2d(width, 1, 1))
        self.netCombine = nn.Sequential(nn.Conv2d(5, 1, 1), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        x = (image * 0.5 + 0.5)[:, [2, 1, 0]] * 255
        x = x - torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
        maps = []
        for word in ("One", "Two", "Thr", "Fou", "Fiv"):
            x = getattr(self, f"netVgg{word}")(x)
            side = getattr(self, f"netScore{word}")(x)
            maps.append(functional.interpolate(side, image.shape[-2:], mode="bilinear", align_corners=False))
        made: Tensor = self.netCombine(torch.cat(maps, 1))
        return made


def keras_file(path: Path, weights: dict[str, Tensor], first: int = 1, group: str = "", scope: str = "{}") -> Path:
    """A Keras port's file with weights that are given by Caffe's names and in PyTorch's order of axes.

    Args:
        first: the number of the first layer that the port does not name
        group: what stands before all names, as in a file of a whole model
        scope: the inner name of a layer called {}
    """
    h5py = pytest.importorskip("h5py")

    def numbered(kind: str, place: int) -> str:
        return f"{kind}_{first + place}" if first + place else kind

    with h5py.File(path, "w") as file:
        for name, tensor in weights.items():
            layer, _, kind = name.rpartition(".")
            if layer.startswith("conv"):
                layer = "block" + layer[4:].replace("_", "_conv")
            elif layer.startswith("score"):
                layer = numbered("conv2d", int(layer[-1]) - 1)
            elif layer.startswith("upsample"):
                layer = numbered("conv2d_transpose", int(layer.split("_")[1]).bit_length() - 1)
            else:
                layer = numbered("conv2d", 5)
            values = tensor.permute(2, 3, 1, 0) if kind == "weight" else tensor
            file[f"{group}{layer}/{scope.format(layer)}/{'kernel' if kind == 'weight' else kind}:0"] = values.numpy()
    return path


def keras_weights() -> dict[str, Tensor]:
    weights = random_weights(3)
    del weights["new-score-weighting.bias"]
    weights["upsample_1.weight"] = torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(8)) / 4
    return weights


@pytest.mark.parametrize("size", [(33, 21), (16, 40)])
def test_the_keras_ports_rule(tmp_path: Path, size: tuple[int, int]) -> None:
    """Against a second writing, by coordinates; whichever numbers and scopes Keras gave the layers."""
    weights = keras_weights()
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    x = (image + 1).div(2).mul(255)[:, [2, 1, 0]] - mean
    maps = torch.zeros(5, *size)
    for block, count in enumerate(COUNTS, 1):
        if block > 1:
            x = functional.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), value=-torch.inf)
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
        for layer in range(1, count + 1):
            name = f"conv{block}_{layer}"
            x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).clamp(min=0)
        side = functional.conv2d(x, weights[f"score-dsn{block}.weight"], weights[f"score-dsn{block}.bias"])[0, 0]
        stride = 2 ** (block - 1)
        kernel = weights[f"upsample_{stride}.weight"][0, 0]
        for row, column in np.ndindex(*side.shape):
            for y, across in np.ndindex(*kernel.shape):
                at = (stride * row - stride // 2 + y, stride * column - stride // 2 + across)
                if 0 <= at[0] < size[0] and 0 <= at[1] < size[1]:
                    maps[block - 1][at] += side[row, column] * kernel[y, across]
    expected = torch.sigmoid((maps * weights["new-score-weighting.weight"].view(5, 1, 1)).sum(0))
    assert expected.std() > 0.02
    names = [(1, "", "{}"), (0, "model_weights/", "{}"), (95, "", "{}_1/x")]
    for number, (first, group, scope) in enumerate(names if size == (33, 21) else names[:1]):
        found = hed(keras_file(tmp_path / f"{number}.h5", weights, first, group, scope))
        assert found.rule == "keras" and (found(image)[0, 0] - expected).abs().max() < 1e-4


def test_the_keras_ports_edges_are_the_pytorch_ports_with_the_same_weights(tmp_path: Path) -> None:
    """With bilinear kernels both enlarge alike, but for the border, where the transposed convolution fades."""
    torch.manual_seed(6)
    port: Any = Port().eval()
    with torch.no_grad():
        port.netCombine[0].bias.zero_()  # the Keras port has none
    torch.save(port.state_dict(), tmp_path / "hed.pth")
    first = hed(tmp_path / "hed.pth")
    weights: dict[str, Tensor] = {}
    for block, count in enumerate(COUNTS, 1):
        for layer in range(1, count + 1):
            for kind in ("weight", "bias"):
                weights[f"conv{block}_{layer}.{kind}"] = first.state_dict()[f"blocks.{block - 1}.{layer - 1}.{kind}"]
        for kind in ("weight", "bias"):
            weights[f"score-dsn{block}.{kind}"] = first.state_dict()[f"sides.{block - 1}.{kind}"]
        stride = 2 ** (block - 1)
        tent = 1 - (torch.arange(2 * stride) - stride + 0.5).abs() / stride
        weights[f"upsample_{stride}.weight"] = (tent[:, None] * tent)[None, None]
    weights["upsample_1.weight"] = torch.tensor([[1.0, 0], [0, 0]])[None, None]
    weights["new-score-weighting.weight"] = first.state_dict()["fuse.weight"]
    second = hed(keras_file(tmp_path / "hed.h5", weights))
    assert (second.mean - first.mean).abs().max() > 1  # each port subtracts its own
    second.mean.copy_(first.mean)
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    one, two = first(image), second(image)
    assert torch.allclose(one[..., 8:-8, 8:-8], two[..., 8:-8, 8:-8], atol=1e-5) and one.std() > 1e-4
    assert not torch.allclose(one, two, atol=1e-5)


def test_a_keras_file_that_is_no_hed_is_named(tmp_path: Path) -> None:
    weights = keras_weights()
    backbone = {name: tensor for name, tensor in weights.items() if name.startswith("conv")}
    with pytest.raises(WeightsError, match=r"16 missing \(first: sides\.0\.weight\).*Keras port"):
        hed(keras_file(tmp_path / "vgg16.h5", backbone))
    with pytest.raises(WeightsError, match=r"1 missing \(first: enlarge\.4\.weight\)"):
        hed(keras_file(tmp_path / "a.h5", {name: one for name, one in weights.items() if name != "upsample_16.weight"}))


@pytest.mark.parametrize("prefix", ["net", "module"])
def test_the_ports_rule(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(5)
    port: Any = Port().eval()
    torch.save(
        {name.replace("net", prefix, 1): value for name, value in port.state_dict().items()}, tmp_path / "hed.pth"
    )
    image = torch.rand(1, 3, 37, 50) * 2 - 1
    with torch.no_grad():
        expected = port(image)
    assert expected.std() > 1e-4
    assert torch.allclose(hed(tmp_path / "hed.pth")(image), expected, atol=1e-5)


def test_bands_give_what_the_whole_gives(caffemodel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 3, 290, 2, generator=torch.Generator().manual_seed(2)) * 2 - 1
    found = hed(caffemodel)
    whole = edges(found, image)
    monkeypatch.setattr(module, "WHOLE", 100)
    monkeypatch.setattr(module, "BAND", 64)
    assert torch.allclose(edges(found, image), whole, atol=1e-5)


def test_other_files_are_refused(tmp_path: Path, caffemodel: Path) -> None:
    (tmp_path / "other").write_bytes(network({"conv1_1": [blob(np.ones((64, 3, 3, 3)))]}))
    with pytest.raises(WeightsError, match=r"hed_pretrained_bsds\.caffemodel"):
        hed(tmp_path / "other")
    with pytest.raises(WeightsError, match="no HED file"):
        hed(tmp_path / "nowhere")


def test_sketches_are_named_edge_and_found_under_that_name(
    tmp_path: Path, caffemodel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(1).integers(0, 255, (24, 20, 3), dtype=np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    words = ["sketch", "--image", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--hed", str(caffemodel)]
    assert main(words) == 0
    with Image.open(tmp_path / "out" / "a_edge.png") as drawn:
        made = np.asarray(drawn)
    sure = edges(hed(caffemodel), torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1)
    assert np.array_equal(made > 0, sure[0, 0].numpy() > 0.6) and 0 < (made > 0).mean() < 1
    assert companion(tmp_path / "out", "b.png", "sketch") == tmp_path / "out" / "b_edge.png"
    assert main([*words, "--overwrite", "--threshold", "0.99"]) == 0
    with Image.open(tmp_path / "out" / "a_edge.png") as drawn:
        assert (np.asarray(drawn) > 0).sum() < (made > 0).sum()
    run = ["run", "--image", str(tmp_path / "in"), "--output", str(tmp_path / "filled"), "--extend", "left=4"]
    assert main([*run, "--model", "default", "--sketch", str(tmp_path / "out")]) == 1  # sketches of the old size
    assert "sketch" in capsys.readouterr().err
    assert main([*words[:-1], "nowhere.caffemodel", "--overwrite"]) != 0
    assert main([*words, "--smooth", "2"]) == 2 and main([*words[:-2], "--threshold", "0.5"]) == 2
