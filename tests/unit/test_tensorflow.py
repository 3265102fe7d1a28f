"""The checkpoint reader against files that TensorFlow 2.21 wrote (data/tensorflow), and against damaged ones."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_writer import write_checkpoint
from helpers import about, arrays, assert_close, filled

from retouche.errors import WeightsError
from retouche.methods.loading import load_file
from retouche.weights.read import read_tensors
from retouche.weights.tensorflow import crc32c

DATA = Path(__file__).parent / "data" / "tensorflow"


def variables() -> dict[str, torch.Tensor]:
    """What was given to `tf.compat.v1.train.Saver` for data/tensorflow/plain, in this order of drawing."""
    stream = np.random.RandomState(0)
    made: dict[str, Any] = {
        "inpaint_net/conv1/kernel": stream.randn(3, 3, 5, 4).astype(np.float32),
        "inpaint_net/conv1/bias": stream.randn(4).astype(np.float32),
    }
    made |= {f"inpaint_net/conv{i}_downsample/bias": stream.randn(3).astype(np.float32) for i in range(2, 30)}
    made["half"] = stream.randn(5, 3).astype(np.float16)
    brain = torch.from_numpy(stream.randn(7)).to(torch.bfloat16)
    made["double"] = stream.randn(2, 2)
    made["global_step"] = np.array(123456789012)
    made["count"] = np.array([-5, 7], np.int32)
    made["nothing"] = np.zeros((0, 3), np.float32)
    return {name: torch.from_numpy(value) for name, value in made.items()} | {"brain": brain}


def copy_of(tmp_path: Path, name: str = "plain") -> Path:
    return Path(shutil.copytree(DATA / name, tmp_path / name))


@pytest.mark.parametrize("path", ["", "snap-7", "snap-7.index", "snap-7.data-00000-of-00001"])
def test_every_type_and_name_is_read_bit_for_bit(path: str) -> None:
    tensors, header = read_tensors(DATA / "plain" / path)
    expected = variables()
    assert header == {}
    assert tensors.keys() == expected.keys(), "the text variable `words` is left out, all others are there"
    for name, tensor in tensors.items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name


def test_shards_are_put_together() -> None:
    stream = np.random.RandomState(1)
    tensors, _ = read_tensors(DATA / "two_shards")
    assert tensors.keys() == {"a/kernel", "b/kernel"}
    assert torch.equal(tensors["a/kernel"], torch.from_numpy(stream.randn(3, 4).astype(np.float32)))
    assert torch.equal(tensors["b/kernel"], torch.from_numpy(stream.randn(5).astype(np.float32)))


def test_sliced_variables_are_refused_in_words() -> None:
    with pytest.raises(WeightsError, match=r"1 variables in slices \(first: big\): save it unpartitioned"):
        read_tensors(DATA / "sliced")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = copy_of(tmp_path, "two_shards")
    (folder / "snap-1.data-00001-of-00002").unlink()
    with pytest.raises(WeightsError, match="data-00001-of-00002 is missing"):
        read_tensors(folder)


def test_changed_data_are_noticed(tmp_path: Path) -> None:
    data = copy_of(tmp_path) / "snap-7.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[500] ^= 1
    data.write_bytes(raw)
    with pytest.raises(WeightsError, match="its CRC differs"):
        read_tensors(data)


def test_cut_data_are_noticed(tmp_path: Path) -> None:
    data = copy_of(tmp_path) / "snap-7.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:600])
    with pytest.raises(WeightsError, match="cut short"):
        read_tensors(data)


@pytest.mark.parametrize("place", range(0, 1428, 61))
def test_a_changed_index_is_refused(tmp_path: Path, place: int) -> None:
    index = copy_of(tmp_path) / "snap-7.index"
    raw = bytearray(index.read_bytes())
    raw[place] ^= 0x40
    index.write_bytes(raw)
    with pytest.raises(WeightsError):
        read_tensors(index.with_suffix(""))


def test_a_cut_index_is_refused(tmp_path: Path) -> None:
    index = copy_of(tmp_path) / "snap-7.index"
    index.write_bytes(index.read_bytes()[-400:])
    with pytest.raises(WeightsError, match="damaged TensorFlow index"):
        read_tensors(index)


@pytest.mark.parametrize("name", ["snap-7", "snap-7.index", ""])
def test_an_index_without_its_end_is_refused(tmp_path: Path, name: str) -> None:
    index = copy_of(tmp_path) / "snap-7.index"
    index.write_bytes(index.read_bytes()[:700])
    with pytest.raises(WeightsError, match=r"damaged TensorFlow index \(it has no footer\)"):
        read_tensors(index.parent / name)


@pytest.mark.parametrize("said", ["/home/me/run/snap-7", "C:\\\\run\\\\snap-7", "../snap-7"])
def test_a_moved_folders_checkpoint_is_found_by_its_name(tmp_path: Path, said: str) -> None:
    folder = copy_of(tmp_path)
    shutil.copy(folder / "snap-7.index", folder / "snap-8.index")
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{said}"\n')
    assert read_tensors(folder)[0].keys() == variables().keys()


def test_a_folder_with_two_checkpoints_asks_which(tmp_path: Path) -> None:
    folder = copy_of(tmp_path)
    for file in sorted(folder.glob("snap-7.*")):
        shutil.copy(file, folder / file.name.replace("-7", "-8"))
    assert read_tensors(folder)[0].keys() == variables().keys(), "the file `checkpoint` says snap-7"
    (folder / "checkpoint").unlink()
    with pytest.raises(WeightsError, match="holds 2 checkpoints"):
        read_tensors(folder)


@pytest.mark.parametrize(("text", "crc"), [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"", 0)])
def test_crc_of_published_examples(text: bytes, crc: int) -> None:
    """The check value of CRC-32C's parameters, and RFC 3720 appendix B.4."""
    assert crc32c(np.frombuffer(text, np.uint8)) == crc


def test_crc_of_long_data_equals_the_bytewise_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retouche.weights.tensorflow.CHUNK_BYTES", 37)
    data = np.random.RandomState(0).randint(0, 256, 999).astype(np.uint8)
    crc = 0xFFFFFFFF
    for byte in data.tolist():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    assert crc32c(data) == crc ^ 0xFFFFFFFF


def official_deepfill() -> dict[str, np.ndarray]:
    """The golden weights of DeepFill v2 as the official program would save them: its names, its axes, its BGR."""
    layout = about("deepfillv2-tf")
    made: dict[str, np.ndarray] = {"global_step": np.array(40000)}
    for name, tensor in filled(layout["params"], layout["about"]["seed"], layout["about"]["gain"]).items():
        base, kind = name.removesuffix(".weight").removesuffix(".bias"), name.rpartition(".")[2]
        scope = base.removesuffix(".conv")
        if scope.endswith(".conv"):  # an upsampling layer: a scope with one convolution in it
            scope = f"{scope[:-5]}/{scope[:-5]}_conv"
        value = tensor.numpy()
        if kind == "weight":
            value = value.transpose(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
            if scope in {"conv1", "xconv1", "pmconv1"}:
                value = np.concatenate([value[:, :, 2::-1], value[:, :, 3:]], axis=2)
        if scope in {"conv17", "allconv17"}:
            value = value[..., ::-1]
        made[f"inpaint_net/{scope}/{'kernel' if kind == 'weight' else 'bias'}"] = np.ascontiguousarray(value)
    return made


def test_an_official_deepfill_checkpoint_loads_and_fills_as_published(tmp_path: Path) -> None:
    """The whole way: a full-size checkpoint under the official names -> the golden output of the official rules.

    TensorFlow's own saver wrote these 4 million numbers to files with the two hashes below. They are too large to
    commit, so that the test writes them itself: the same bytes, hence the same hashes.
    """
    write_checkpoint(tmp_path / "snap-40000", official_deepfill())
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(tmp_path.glob("snap-*"))]
    assert hashes == [
        "f247867f4dd78b4a712dec13875e5ecfc15e228a2b3c3fce1a436e7ba8aa2c5d",
        "92a2bf934859fc137b495281f5cb6e06009795b3df0aa717e1c2c946c52294c8",
    ]
    loaded = load_file(tmp_path)
    assert (loaded.method, loaded.layout, loaded.critics) == ("deepfill-v2", "official", {})
    assert loaded.generator is not None
    stored = arrays("deepfillv2-tf")
    with torch.no_grad():
        prediction = loaded.generator(stored["input.image"], stored["input.mask"])
    assert prediction.refined is not None
    assert_close(prediction.refined, stored["output.fine_official"], 2e-5)
