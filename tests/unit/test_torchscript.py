"""TorchScript archives and Lightning checkpoints are read for their tensors alone, by their names in a state dict."""

from __future__ import annotations

import sys
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import retouche
from retouche.methods.lama import LamaConfig, LamaGenerator
from retouche.methods.mi_gan import MIGANConfig, MIGANGenerator
from retouche.weights.read import read_tensors


class Training(nn.Module):
    """As published files have it: the generator below another module."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator: Any = generator

    def forward(self, seen: Tensor) -> Tensor:
        if isinstance(self.generator, LamaGenerator):
            return self.generator.layer_by_layer(seen)
        return self.generator.encoded(seen)[0]


def traced(generator: nn.Module, side: int) -> torch.jit.ScriptModule:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.jit.trace(Training(generator).eval(), torch.rand(1, 4, side, side), check_trace=False)


def lama() -> LamaGenerator:
    torch.manual_seed(0)
    network = LamaGenerator(LamaConfig(width=4, blocks=2)).eval()
    for tensor in network.buffers():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return network


NETWORKS = [(lama(), 16), (MIGANGenerator(MIGANConfig(side=32)), 32)]


@pytest.mark.parametrize(("network", "side"), NETWORKS, ids=["lama", "mi-gan"])
def test_a_trace_gives_the_state_dict(network: nn.Module, side: int, tmp_path: Path) -> None:
    traced(network, side).save(str(tmp_path / "traced.pt"))
    wanted = network.state_dict()
    tensors, _ = read_tensors(tmp_path / "traced.pt")
    assert tensors.keys() >= {f"generator.{name}" for name, t in wanted.items() if t.ndim}
    model = retouche.load(tmp_path / "traced.pt")
    found = model.generator.state_dict()
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_a_program_in_an_archive_does_not_run(tmp_path: Path) -> None:
    path, evil = tmp_path / "traced.pt", tmp_path / "evil.pt"
    traced(lama(), 16).save(str(path))
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(evil, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = b"\x80\x02cos\nsystem\n(X\x05\x00\x00\x00falsetR."
            target.writestr(zipfile.ZipInfo(entry.filename), data)
    with pytest.raises(retouche.WeightsError, match="holds code"):
        read_tensors(evil)


def test_a_frozen_program_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.freeze(traced(lama(), 16)).save(str(tmp_path / "frozen.pt"))
    with pytest.raises(retouche.WeightsError, match=r"frozen TorchScript program.*safetensors"):
        read_tensors(tmp_path / "frozen.pt")


def test_a_lightning_checkpoint_with_its_callbacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published checkpoint's containers: classes of a package that is not here are keys and values."""
    module: Any = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")

    class ModelCheckpoint(dict):
        """Stands for the callback's class."""

    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    network = lama()
    tensors = {f"generator.{name}": tensor for name, tensor in network.state_dict().items()}
    others = {"loss_resnet_pl.impl.conv1.weight": torch.zeros(2), "val_evaluator.scores.0.mean": torch.zeros(3)}
    checkpoint = {
        "epoch": 3,
        "state_dict": {**tensors, **others},
        "callbacks": {ModelCheckpoint: {"best_model_score": torch.tensor(1.0), "kept": ModelCheckpoint(a=1)}},
        "optimizer_states": [{"state": {}, "param_groups": []}],
    }
    torch.save(checkpoint, tmp_path / "best.ckpt")
    for name in (module.__name__, "pytorch_lightning.callbacks", "pytorch_lightning"):
        monkeypatch.delitem(sys.modules, name)
    model = retouche.load(tmp_path / "best.ckpt")
    assert (model.method, model.config) == ("lama", LamaConfig(width=4, blocks=2))
    found = model.generator.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())
