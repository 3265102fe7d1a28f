"""Weight files of every kind: what is read, under which names, and what is refused with which remedy."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from retouche.errors import WeightsError
from retouche.weights.read import read_tensors, unwrapped

ONE = torch.arange(6.0).reshape(2, 3)
TWO = torch.tensor([1.5, -2.0])
ADAM = {
    "state": {0: {"step": torch.tensor(1.0), "exp_avg": ONE, "exp_avg_sq": ONE}},
    "param_groups": [{"lr": 1e-4, "betas": (0.5, 0.9), "foreach": None, "params": [0]}],
}
"""What `torch.optim.Adam.state_dict` gives."""


class Bomb:
    """Unpickling it runs code: it makes a file named by `fuse`."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.fuse,)


def saved(path: Path, tree: Any, zipped: bool = True) -> Path:
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["a.pth", "a.bin", "a", "a.safetensors"])
def test_pytorch_files_old_and_new_are_told_by_content(tmp_path: Path, zipped: bool, name: str) -> None:
    tensors, header = read_tensors(saved(tmp_path / name, {"a.weight": ONE, "a.bias": TWO}, zipped))
    assert header == {}
    assert list(tensors) == ["a.weight", "a.bias"]
    assert torch.equal(tensors["a.weight"], ONE)
    assert torch.equal(tensors["a.bias"], TWO)


def test_safetensors_with_any_suffix_and_foreign_header(tmp_path: Path) -> None:
    save_file({"module.a": ONE}, tmp_path / "a.pth", {"note": "from elsewhere"})
    tensors, header = read_tensors(tmp_path / "a.pth")
    assert (list(tensors), header) == (["a"], {"note": "from elsewhere"})


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_no_tensor_is_left_out(tmp_path: Path, zipped: bool) -> None:
    network = torch.nn.Linear(3, 2)
    tree = {
        "state_dict": OrderedDict(network.state_dict()),
        "optimizer": ADAM,
        "epoch": 3,
        "best": np.float64(0.25),
        "rate": np.float32(0.5),
        "meta": {"version": "1.0", "sizes": (256, 256), "none": None, "flag": True},
    }
    tensors, _ = read_tensors(saved(tmp_path / "a.pth", tree, zipped))
    assert list(tensors) == ["weight", "bias"]
    assert torch.equal(tensors["weight"], network.weight)
    assert not tensors["weight"].requires_grad


def test_numpy_arrays_in_pytorch_files_are_tensors(tmp_path: Path) -> None:
    tree = {"a": ONE.numpy(), "b": TWO.numpy().astype(">f8"), "words": np.array(["x"])}
    tensors, _ = read_tensors(saved(tmp_path / "a.pth", tree))
    assert list(tensors) == ["a", "b"]
    assert torch.equal(tensors["a"], ONE)
    assert torch.equal(tensors["b"], TWO.double())


def test_wrappers_are_removed_and_other_containers_kept() -> None:
    inner = {"conv.weight": ONE}
    assert list(unwrapped({"G": inner, "D": {"module.conv.weight": TWO}, "n_iter": 7})) == [
        "G.conv.weight",
        "D.conv.weight",
    ]
    for tree in (
        inner,
        {"state_dict": inner},
        {"state_dict": {"module.conv.weight": ONE}},
        {"model": {"state_dict": inner}},
        {"params_ema": inner, "params": {"conv.weight": TWO}},
        {"state_dict.conv.weight": ONE},
        {"model.conv.weight": ONE},
        {"module": inner},
    ):
        tensors = unwrapped(tree)
        assert list(tensors) == ["conv.weight"]
        assert torch.equal(tensors["conv.weight"], ONE)


def test_module_is_removed_wherever_it_stands() -> None:
    assert list(unwrapped({"generator": {"module.a.module.weight": ONE}})) == ["generator.a.weight"]
    assert list(unwrapped({"dis_conv_module.weight": ONE})) == ["dis_conv_module.weight"]


def test_a_networks_own_name_is_no_wrapper() -> None:
    assert list(unwrapped({"model.0.conv.weight": ONE, "model.4.bias": TWO})) == ["model.0.conv.weight", "model.4.bias"]
    assert list(unwrapped({"model.a": ONE, "b": TWO})) == ["model.a", "b"]
    assert list(unwrapped({"net": {"model": TWO}})) == ["net.model"]


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(WeightsError, match="two tensors named a"):
        unwrapped({"a": ONE, "module.a": TWO})


def test_an_optimisers_file_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no network tensors"):
        read_tensors(saved(tmp_path / "O.pt", {"optimG": ADAM, "optimD": ADAM}))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bomb_in_a_pytorch_file_does_not_go_off(tmp_path: Path, zipped: bool) -> None:
    fuse = tmp_path / "went off"
    path = saved(tmp_path / "bomb.pth", {"a": ONE, "bomb": Bomb(fuse)}, zipped)
    with pytest.raises(
        WeightsError, match=r"holds code .*never run: ask its publisher for a safetensors or state_dict"
    ):
        read_tensors(path)
    assert not fuse.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_bomb_in_a_bare_pickle_does_not_go_off(tmp_path: Path, protocol: int) -> None:
    fuse = tmp_path / "went off"
    path = tmp_path / "bomb.pkl"
    path.write_bytes(pickle.dumps({"a": ONE.numpy(), "bomb": Bomb(fuse)}, protocol))
    with pytest.raises(WeightsError, match="holds code"):
        read_tensors(path)
    assert not fuse.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds code \(torch.nn.modules.linear.Linear\)"):
        read_tensors(saved(tmp_path / "net.pth", torch.nn.Linear(3, 2)))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_cut_pytorch_files_are_refused(tmp_path: Path, zipped: bool, share: float) -> None:
    path = saved(tmp_path / "cut.pth", {"a": torch.ones(300), "b": ONE}, zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match=r"fetch it anew|no known kind"):
        read_tensors(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_cut_safetensors_are_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.safetensors"
    save_file({"a": torch.ones(300), "b": ONE}, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match="damaged or cut safetensors"):
        read_tensors(path)


REFUSED = {
    "empty": (b"", "is empty: fetch it anew"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "run `git lfs pull`"),
    "page": (
        b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>",
        "download it with a browser",
    ),
    "page2": (b"\n <HTML lang=en>", "download it with a browser"),
    "t7 table": (b"\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00", "Lua Torch"),
    "t7 object": (b"\x04\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00V 1\x0d\x00\x00\x00nn.Sequential", "Lua Torch"),
    "t7 text": (b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "Lua Torch"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "it ends early"),
    "hdf5 of tomorrow": (b"\x89HDF\r\n\x1a\n\x09", "convert it to safetensors"),
    "npy": (b"\x93NUMPY\x01\x00", "single NumPy array"),
    "gzip": (b"\x1f\x8b\x08\x00", "unpack it"),
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00", "of no known kind"),
    "text": (b"conv1 3 3\n", "of no known kind"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_kinds_are_named_with_a_remedy(tmp_path: Path, kind: str) -> None:
    content, words = REFUSED[kind]
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=words) as said:
        read_tensors(tmp_path / "a.pth")
    assert "\n" not in str(said.value)


def test_another_zip_is_named_by_what_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("big/config.yaml", "x")
    with pytest.raises(WeightsError, match=r"zip archive \(holding big/config.yaml\).*unpack"):
        read_tensors(tmp_path / "a.zip")


def test_missing_files_and_plain_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no file"):
        read_tensors(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match="folder without a TensorFlow checkpoint"):
        read_tensors(tmp_path)
