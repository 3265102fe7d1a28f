"""HDF5 as Keras writes it: arrays come out as they went in, nothing is followed out of the file, lies are one line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retouche.errors import WeightsError
from retouche.weights.read import read_tensors

h5py = pytest.importorskip("h5py")
RANDOM = np.random.default_rng(4)


def written(path: Path, arrays: dict[str, Any], libver: str = "earliest") -> Path:
    with h5py.File(path, "w", libver=libver) as file:
        file.attrs["model_config"] = b'{"class_name": "Lambda", "config": {"function": ["4wEAAAAA", null, null]}}'
        for name, values in arrays.items():
            file[name] = values
    return path


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_arrays_come_out_as_they_went_in(tmp_path: Path, libver: str) -> None:
    arrays: dict[str, Any] = {f"layer{i}/layer{i}/kernel:0": RANDOM.normal(size=(3, 3, i, 2)) for i in range(1, 6)}
    arrays |= {f"layer{i}/layer{i}/bias:0": RANDOM.normal(size=i).astype(dtype) for i, dtype in
               enumerate(("<f2", "<f4", ">f4", "<i8", "|u1"), 1)}  # fmt: skip
    arrays |= {"deep/er/and/deeper": np.float32(3), "text": "no numbers", "none": np.zeros((0, 4), np.float32)}
    tensors, header = read_tensors(written(tmp_path / "a.h5", arrays, libver))
    numbers = {name.replace("/", "."): values for name, values in arrays.items() if name != "text"}
    assert tensors.keys() == numbers.keys() and not header
    for name, values in numbers.items():
        assert np.array_equal(tensors[name].numpy(), values) and tensors[name].numpy().dtype.kind == values.dtype.kind


def test_many_names_and_a_whole_model_without_its_optimiser(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {f"model_weights/layer_{i}/kernel:0": np.full((2,), i, np.float32) for i in range(600)}
    arrays["optimizer_weights/Adam/kernel:0"] = np.ones(3)
    tensors, _ = read_tensors(written(tmp_path / "a.hdf5", arrays))
    assert len(tensors) == 600 and all(tensors[f"layer_{i}.kernel:0"][0] == i for i in range(600))


def refused(path: Path, words: str) -> None:
    started = time.process_time()
    with pytest.raises(WeightsError, match=words) as said:
        read_tensors(path)
    assert "\n" not in str(said.value) and str(path) in str(said.value)
    assert time.process_time() - started < 20


def test_what_lies_elsewhere_or_is_packed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret numbers..")
    other = written(tmp_path / "other.h5", {"kernel": np.ones(3)})
    for libver in ("earliest", "latest"):
        with h5py.File(tmp_path / "links.h5", "w", libver=libver) as file:
            file["own"] = np.ones(2)
            file["soft"] = h5py.SoftLink("/own")
            file["loop"] = h5py.SoftLink("/loop")
            file["outside"] = h5py.ExternalLink(str(other), "kernel")
        assert list(read_tensors(tmp_path / "links.h5")[0]) == ["own"]
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("a", (4,), "<f4", external=[(str(tmp_path / "secret"), 0, 16)])
    refused(tmp_path / "outside.h5", "another file")
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        file.create_dataset("a", data=np.ones((64, 64)), compression="gzip")
    refused(tmp_path / "packed.h5", "compressed or divided.*convert it to safetensors")
    with h5py.File(tmp_path / "void.h5", "w") as file:
        file.create_dataset("a", (1 << 40,), "<f4")
    refused(tmp_path / "void.h5", "never written")
    with h5py.File(tmp_path / "dense.h5", "w", libver="latest") as file:
        for i in range(40):
            file[f"layer{i}"] = np.ones(2)
    refused(tmp_path / "dense.h5", "newest kind")


def test_groups_within_themselves_and_in_each_other(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "loop.h5", "w") as file:
        group = file.create_group("a")
        group["b"] = group
    refused(tmp_path / "loop.h5", "a group within itself")
    with h5py.File(tmp_path / "tree.h5", "w") as file:  # 2 to the 40th names of one array
        inner = file.create_group("0")
        inner["x"] = np.ones(2)
        for i in range(1, 40):
            outer = file.create_group(str(i))
            outer["one"] = outer["two"] = inner
            inner = outer
    refused(tmp_path / "tree.h5", "too many parts|too long|more tensors")


def test_cut_and_changed_files_are_one_line(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {f"layer{i}/kernel:0": RANDOM.normal(size=(3, 3, 2, 2)) for i in range(12)}
    for libver in ("earliest", "latest"):
        content = written(tmp_path / f"{libver}.h5", {**arrays} if libver == "earliest" else {
            name: values for name, values in list(arrays.items())[:6]}, libver).read_bytes()  # fmt: skip
        path = tmp_path / "b.h5"
        started, lines = time.process_time(), set[str]()
        for number in range(250):
            broken = bytearray(content)
            if number % 5 == 0:
                del broken[int(RANDOM.integers(9, len(broken))) :]
            for place in RANDOM.integers(8, len(broken), int(RANDOM.integers(1, 6))):
                broken[place] = int(RANDOM.choice([0, 1, 2, 127, 128, 255]))
            path.write_bytes(broken)
            try:
                read_tensors(path)
            except WeightsError as said:
                lines.add(str(said))
        assert time.process_time() - started < 60
        assert len(lines) > 5 and not any("\n" in line for line in lines)


def test_an_array_larger_than_the_file_takes_no_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", {"a": np.arange(6, dtype=np.float32).reshape(2, 3)})
    content = path.read_bytes()
    sides = (2).to_bytes(8, "little") + (3).to_bytes(8, "little")
    assert content.count(sides) >= 1
    path.write_bytes(content.replace(sides, (1 << 40).to_bytes(8, "little") + (3).to_bytes(8, "little")))
    refused(path, "it ends early")
