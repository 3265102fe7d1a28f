"""The VGG backbones: torchvision's names, strict files, each with its normalisation."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from retouche import InputError, WeightsError
from retouche.backbones import vgg as module
from retouche.backbones.vgg import VGG, layer_names, vgg

# published indices of the convolutions by block, and of the pool behind each block
TABLE = {
    16: ([0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28], [4, 9, 16, 23, 30]),
    19: ([0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34], [4, 9, 18, 27, 36]),
}


def small(seed: int = 0, bias: float = 0.1) -> dict[str, Tensor]:
    """Tensors of VGG16 up to relu2_1 under torchvision's names."""
    backbone = vgg(16, "random", last="relu2_1", seed=seed)
    return {name: tensor + (bias if name.endswith("bias") else 0) for name, tensor in backbone.state_dict().items()}


def load_small(weights: Any, **options: Any) -> VGG:
    return vgg(16, weights, last="relu2_1", **options)


@pytest.mark.parametrize("depth", [16, 19])
def test_names_and_indices_are_torchvisions(depth: Any) -> None:
    names = layer_names(depth)
    convolutions, pools = TABLE[depth]
    assert [i for i, name in enumerate(names) if name.startswith("conv")] == convolutions
    assert [i for i, name in enumerate(names) if name.startswith("pool")] == pools
    assert all(names[i + 1] == names[i].replace("conv", "relu") for i in convolutions)
    with torch.device("meta"):
        backbone = VGG(depth)
    assert list(backbone.state_dict()) == [f"features.{i}.{kind}" for i in convolutions for kind in ("weight", "bias")]
    assert backbone.last == {16: "relu5_3", 19: "relu5_4"}[depth]
    assert not backbone.training and not any(p.requires_grad for p in backbone.parameters())


def test_layers_before_and_after_the_relu_and_nothing_deeper() -> None:
    backbone = load_small(small())
    ran: list[int] = []
    backbone.features[5].register_forward_hook(lambda *_: ran.append(5))
    image = torch.rand(2, 3, 9, 12) * 2 - 1
    found = backbone(image, ["relu1_2", "conv1_2", "pool1"])
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        "conv1_2": (2, 64, 9, 12), "relu1_2": (2, 64, 9, 12), "pool1": (2, 64, 4, 6),
    }  # fmt: skip
    assert (found["conv1_2"] < 0).any()
    torch.testing.assert_close(found["relu1_2"], found["conv1_2"].relu())
    assert not ran
    with pytest.raises(InputError, match="relu2_2"):
        backbone(image, ["relu2_2"])


@pytest.mark.parametrize(
    ("normalisation", "seen"),
    [
        ("torchvision", [(0.6 - 0.485) / 0.229, (0.6 - 0.456) / 0.224, (0.6 - 0.406) / 0.225]),
        ("caffe", [153 - 123.68, 153 - 116.779, 153 - 103.939]),
        ("none", [0.2, 0.2, 0.2]),
    ],
)
def test_normalisations_by_hand(normalisation: Any, seen: list[float]) -> None:
    tensors = small()
    tensors["features.0.weight"] = torch.zeros(64, 3, 3, 3)
    for channel in range(3):
        tensors["features.0.weight"][channel, channel, 1, 1] = 1
    tensors["features.0.bias"] = torch.zeros(64)
    found = load_small(tensors, normalisation=normalisation)(torch.full((1, 3, 5, 5), 0.2), ["conv1_1"])
    assert found["conv1_1"][0, :3, 2, 2].tolist() == pytest.approx(seen, rel=1e-5)


def test_full_files_load_by_rule_and_nothing_else_does(tmp_path: Path) -> None:
    tensors = small()
    whole = {
        **tensors,
        "features.7.weight": torch.zeros(128, 128, 3, 3),  # deeper than asked for
        "features.7.bias": torch.zeros(128),
        "classifier.0.weight": torch.full((2, 2), float("nan")),  # as in torchvision's features-only files
        "classifier.0.bias": torch.zeros(2),
    }
    torch.save(whole, tmp_path / "vgg16.pth")
    backbone = load_small(tmp_path / "vgg16.pth")
    assert backbone.normalisation == "torchvision" and backbone.origin.startswith("vgg16.pth ")
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in backbone.state_dict().items())
    for wrong, word in (
        ({name: t for name, t in tensors.items() if name != "features.2.bias"}, "1 missing"),
        ({**tensors, "features.1.weight": torch.zeros(1)}, "1 unexpected"),
        ({**tensors, "running": torch.zeros(1)}, "1 unexpected"),
        ({**tensors, "features.2.bias": torch.zeros(3)}, "of another shape"),
        ({**tensors, "features.2.bias": torch.full((64,), float("nan"))}, "with NaN"),
    ):
        with pytest.raises(WeightsError, match=word):
            load_small(wrong)


def test_a_file_says_its_normalisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = small()
    path = tmp_path / "ours.safetensors"
    save_file(tensors, path, {"normalisation": "caffe", "order": "bgr"})
    backbone = load_small(path)
    assert backbone.normalisation == "caffe"
    assert torch.equal(backbone.features[0].weight, tensors["features.0.weight"].flip(1))  # type: ignore[arg-type]
    assert load_small(path, normalisation="none").normalisation == "none"

    index = {"features.0": "conv1_1", "features.2": "conv1_2", "features.5": "conv2_1"}
    caffe = {f"{index[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": t for name, t in tensors.items()}
    backbone = load_small({**caffe, "fc6.weight": torch.zeros(1)})
    assert backbone.normalisation == "caffe"
    assert torch.equal(backbone.features[0].weight, tensors["features.0.weight"].flip(1))  # type: ignore[arg-type]

    torch.save(tensors, tmp_path / "known.pth")
    digest = hashlib.sha256((tmp_path / "known.pth").read_bytes()).hexdigest()
    monkeypatch.setitem(module.CAFFE, digest[:8], "rgb")
    backbone = load_small(tmp_path / "known.pth")
    assert backbone.normalisation == "caffe"
    assert torch.equal(backbone.features[0].weight, tensors["features.0.weight"])  # type: ignore[arg-type]

    save_file(tensors, path, {"normalisation": "sepia"})
    with pytest.raises(InputError, match='no normalisation "sepia"'):
        load_small(path)


def test_random_only_when_asked_for_and_reproducible(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"vgg19-dcbb9e9d\.pth.*random"):
        vgg(19, None)
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth"):
        vgg(16, tmp_path / "absent.pth")
    before = torch.random.get_rng_state()
    first, again, other = small(), small(), small(seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])
    assert vgg(16, "random", last="relu1_1").origin == "random"
    assert first["features.5.weight"].std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def test_files_that_are_no_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"features.0.weight": Code()}, tmp_path / "code.pth")
    torch.save(small(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    save_file(small(), tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("code.pth", "cut.pth", "cut.safetensors", "text.pth", "empty.pth"):
        with pytest.raises(WeightsError, match=r"never run|fetch it anew|of no known kind"):
            load_small(tmp_path / name)
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="16 or 19"):
        vgg(11, "random")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="relu9_9"):
        vgg(16, "random", last="relu9_9")
