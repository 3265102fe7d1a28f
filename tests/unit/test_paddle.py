"""Paddle's files and other pickles of arrays, through an unpickler that knows nothing else."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from retouche.errors import WeightsError
from retouche.weights.read import read_tensors

KERNEL = np.random.RandomState(0).randn(4, 3, 2, 2).astype(np.float32)
BIAS = np.arange(4.0)


class Pair:
    """How Paddle pickles a tensor that is not turned into an array: `tuple((name, array))`."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, ((self.name, self.array),)


def write(path: Path, tree: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(tree, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_a_state_dict_of_arrays(tmp_path: Path, protocol: int) -> None:
    tree = OrderedDict(
        {
            "conv.weight": KERNEL,
            "conv.bias": Pair("conv2d_0.b_0", BIAS),
            "transposed": KERNEL.T,
            "StructuredToParameterName@@": {"conv.weight": "conv2d_0.w_0", "conv.bias": "conv2d_0.b_0"},
        }
    )
    tensors, header = read_tensors(write(tmp_path / "gen.pdparams", tree, protocol))
    assert header == {}
    assert list(tensors) == ["conv.weight", "conv.bias", "transposed"]
    assert torch.equal(tensors["conv.weight"], torch.from_numpy(KERNEL))
    assert torch.equal(tensors["conv.bias"], torch.from_numpy(BIAS))
    assert torch.equal(tensors["transposed"], torch.from_numpy(KERNEL.T.copy()))


def test_numpy_1_wrote_another_module_name(tmp_path: Path) -> None:
    raw = pickle.dumps({"a": KERNEL}, 2)
    path = tmp_path / "old.pdparams"
    path.write_bytes(raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core" in path.read_bytes()
    assert torch.equal(read_tensors(path)[0]["a"], torch.from_numpy(KERNEL))


def test_bfloat16_is_kept_as_uint16(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -2.5, 0.125]).bfloat16()
    bits = values.view(torch.int16).numpy().view(np.uint16)
    tensors, _ = read_tensors(write(tmp_path / "a.pdparams", {"a": bits}))
    assert torch.equal(tensors["a"], values)


def test_sliced_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="in slices"):
        read_tensors(write(tmp_path / "a.pdparams", {"a@@.0": BIAS, "UnpackBigParamInfor@@": {"a": {}}}))


@pytest.mark.parametrize(
    "raw",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x01\x85C\x01b\x87R.",  # shape (1,), not (0,)
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02cbuiltins\ngetattr\n.",
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02r\xff\xff\xff\xff.",  # a memo of 4 billion entries
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x01\x00\x00.",  # a terabyte of bytes
        b"\x80\x04X\xff\xff\xff\xff.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
    ],
)
def test_everything_else_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.pdparams").write_bytes(raw)
    with pytest.raises(WeightsError, match=r"holds code|damaged"):
        read_tensors(tmp_path / "a.pdparams")


def test_cut_files_are_refused_wherever_they_end(tmp_path: Path) -> None:
    raw = pickle.dumps({"a": KERNEL, "b": BIAS}, 4)
    for end in range(2, len(raw), 7):
        (tmp_path / "a.pdparams").write_bytes(raw[:end])
        with pytest.raises(WeightsError):
            read_tensors(tmp_path / "a.pdparams")


def test_python_2_wrote_bytes_as_text(tmp_path: Path) -> None:
    """By hand, as Python 2 and NumPy 1 wrote {"a": array([1, 200], uint8)}: strings are SHORT_BINSTRING (U)."""
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    state = b"(K\x01K\x02\x85" + kind + b"\x89U\x02\x01\xc8tb"
    (tmp_path / "a.pdparams").write_bytes(b"\x80\x02}U\x01a" + array + state + b"s.")
    assert read_tensors(tmp_path / "a.pdparams")[0]["a"].tolist() == [1, 200]
