"""ONNX files that mean harm: one line each, nothing else opened, no memory taken for what is not there."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import exported, photograph

import retouche
from retouche import runtime
from retouche.engines.onnx_file import look_through, open_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def elsewhere(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"


def elsewhere_in_an_attribute(model: Any) -> None:
    tensor = onnx.helper.make_tensor("t", 1, [1], [0.0])
    tensor.data_location = 1
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["unused"], value=tensor))


def more_than_is_there(model: Any) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([1 << 20, 1 << 20])


def beyond_all_numbers(model: Any) -> None:
    model.graph.initializer[0].dims.extend([1 << 62, 1 << 62])


def negative(model: Any) -> None:
    model.graph.initializer[0].dims[0] = -1


def typed_list_too_short(model: Any) -> None:
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type = "short", 1
    tensor.dims.extend([1 << 40])
    tensor.float_data.extend([1.0])


def foreign_operator(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Run", [], ["x"], domain="evil.example"))


def foreign_domain(model: Any) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("evil.example", 1))


def unknown_operator(model: Any) -> None:
    model.graph.node[0].op_type = "NoSuchOperator"


def functions(model: Any) -> None:
    ops = [onnx.helper.make_opsetid("", 17)]
    model.functions.append(onnx.helper.make_function("", "f", [], ["y"], [], ops))


def huge_shape(model: Any) -> None:
    shape = onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "huge")
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["huge"], ["unused"]))


def huge_shape_by_constant(model: Any) -> None:
    shape = onnx.numpy_helper.from_array(np.array([1 << 35], np.int64))
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["huge"], value=shape))
    model.graph.node.insert(1, onnx.helper.make_node("ConstantOfShape", ["huge"], ["unused"]))


def huge_shape_by_numbers(model: Any) -> None:
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["huge"], value_ints=[1 << 35]))
    model.graph.node.insert(1, onnx.helper.make_node("ConstantOfShape", ["huge"], ["unused"]))


def huge_shape_by_arithmetic(model: Any) -> None:
    side = onnx.numpy_helper.from_array(np.array([1 << 17], np.int64), "side")
    model.graph.initializer.append(side)
    model.graph.node.insert(0, onnx.helper.make_node("Mul", ["side", "side"], ["huge"]))
    model.graph.node.insert(1, onnx.helper.make_node("ConstantOfShape", ["huge"], ["unused"]))


def huge_range(model: Any) -> None:
    for name, value in (("first", 0), ("end", 1 << 34), ("step", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.int64), name))
    model.graph.node.insert(0, onnx.helper.make_node("Range", ["first", "end", "step"], ["unused"]))


def huge_product(model: Any) -> None:
    column = onnx.numpy_helper.from_array(np.ones((1 << 17, 1), np.float32), "column")
    model.graph.initializer.append(column)
    model.graph.node.insert(0, onnx.helper.make_node("Mul", ["column", "column"], ["unused"]))


def huge_noise(model: Any) -> None:
    model.graph.node.insert(0, onnx.helper.make_node("RandomNormal", [], ["unused"], shape=[1 << 17, 1 << 17]))


def file_of_an_engine(model: Any) -> None:
    words = {"domain": "com.microsoft", "ep_cache_context": "/etc/passwd", "embed_mode": 0}
    model.graph.node.append(onnx.helper.make_node("EPContext", ["image"], ["unused"], **words))


def for_ever(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["unused"], body=body))


def declared_beyond_all_pictures(model: Any) -> None:
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("x", 1, [1 << 20, 1 << 20]))


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


def graphs_within_graphs(model: Any) -> None:
    inner = onnx.helper.make_graph([], "g", [], [])
    for _ in range(12):
        node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        inner = onnx.helper.make_graph([node], "g", [], [])
        if inner.ByteSize() > 1 << 20:
            break
    model.graph.node.extend(inner.node)


def without_metadata(model: Any) -> None:
    del model.metadata_props[:]


def newer(model: Any) -> None:
    for entry in model.metadata_props:
        if entry.key == "format":
            entry.value = "2"


def tell(model: Any, key: str, change: Callable[[str], str]) -> None:
    """Change one entry of the metadata."""
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = change(entry.value)


def windows(**changed: object) -> Callable[[str], str]:
    return lambda said: json.dumps({**json.loads(said), **changed})


TOLD: dict[str, tuple[str, Callable[[str], str]]] = {
    "no list": ("window", lambda said: "[1, 2]"),
    "nothing": ("window", lambda said: "{}"),
    "by nothing": ("window", windows(multiple=0)),
    "words": ("window", windows(side="512")),
    "not a number": ("window", windows(context=float("nan"))),
    "a picture of a terabyte": ("window", windows(only=1 << 30)),
    "at least a terabyte": ("window", windows(smallest=1 << 30)),
    "a middle larger than the whole": ("window", windows(centre=[64, 128])),
    "three sides": ("window", windows(centre=[64, 32, 16])),
    "another form": ("form", lambda said: "poem"),
    "the other form": ("form", lambda said: "pipeline"),
    "other inputs": ("inputs", lambda said: "mask image"),
    "no inputs": ("inputs", lambda said: ""),
}


@pytest.mark.parametrize("told", TOLD)
def test_metadata_beyond_bounds_is_refused(told: str, tmp_path: Path) -> None:
    model = onnx.load(exported("network"))
    tell(model, *TOLD[told])
    path = tmp_path / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    for opened in (retouche.load, runtime.load):
        with pytest.raises(retouche.WeightsError, match="damaged metadata"):
            opened(path)


def fails(model: Any) -> None:
    shape = onnx.numpy_helper.from_array(np.array([1, 3, 7, 7], np.int64), "fixed_shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(onnx.helper.make_node("Reshape", ["image", "fixed_shape"], ["prediction"]))


def gives_another_shape(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Identity", ["mask"], ["prediction"]))


def gives_another_type(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Cast", ["image"], ["prediction"], to=11))
    model.graph.output[0].type.tensor_type.elem_type = 11


@pytest.mark.parametrize(
    ("harm", "said"), [(fails, "failed in onnxruntime"), (gives_another_shape, "gives"), (gives_another_type, "gives")]
)
def test_what_fails_or_gives_no_picture_is_one_line(
    harm: Callable[[Any], None], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(exported("network"))
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    harm(model)
    path = tmp_path / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    picture, mask = photograph(64, 64), np.zeros((64, 64), bool)
    mask[20:30, 20:30] = True
    for filled in (lambda: retouche.load(path)(picture, mask), lambda: runtime.fill(picture, mask, path)):
        with pytest.raises(retouche.WeightsError, match=said) as told:
            filled()
        assert "\n" not in str(told.value) and str(path) in str(told.value)
    assert "onnxruntime" not in capfd.readouterr().err  # it does not tell the same a second time


def odd_metadata(model: Any) -> None:
    for entry in model.metadata_props:
        if entry.key == "window":
            entry.value = "[" * 100_000


def other_method(model: Any) -> None:
    for entry in model.metadata_props:
        if entry.key == "method":
            entry.value = "../../evil"


HARM: dict[Callable[[Any], None], str] = {
    elsewhere: "other files",
    elsewhere_in_an_attribute: "other files",
    more_than_is_there: "not all there",
    beyond_all_numbers: "not all there",
    negative: "cannot be",
    typed_list_too_short: "not all there",
    foreign_operator: "evil.example",
    foreign_domain: "evil.example",
    unknown_operator: "refused by onnxruntime",
    functions: "operators of its own",
    huge_shape: "more than any picture",
    huge_shape_by_constant: "more than any picture",
    huge_shape_by_numbers: "more than any picture",
    huge_shape_by_arithmetic: "from constants alone",
    huge_range: "from constants alone",
    huge_product: "from constants alone",
    huge_noise: "RandomNormal",
    file_of_an_engine: "EPContext",
    for_ever: "Loop",
    declared_beyond_all_pictures: "more than any picture",
    sparse: "sparse",
    graphs_within_graphs: "graphs within graphs",
    without_metadata: "retouche export",
    newer: "update Retouche",
    odd_metadata: "damaged metadata",
    other_method: "not installed",
}


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_harm_is_one_line(harm: Callable[[Any], None], tmp_path: Path) -> None:
    model = onnx.load(exported("network"))
    harm(model)
    path = tmp_path / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(retouche.WeightsError, match=HARM[harm]) as said:
        retouche.load(path)
    assert "\n" not in str(said.value) and len(str(said.value)) < 600 and str(path) in str(said.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_damage_anywhere_is_said_at_once() -> None:
    whole = exported("network").read_bytes()
    random = np.random.default_rng(0)
    for end in (0, 1, 7, 100, len(whole) // 2, len(whole) - 1):
        with pytest.raises(retouche.WeightsError):
            look_through(whole[:end])
    for _ in range(200):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), 8):
            damaged[at] = random.integers(256)
        try:
            look_through(bytes(damaged))
        except retouche.WeightsError as said:
            assert "\n" not in str(said)
    with pytest.raises(retouche.WeightsError):
        look_through(b"\x3a" + b"\xff" * 9 + b"\x7f")  # a length beyond all memory


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes on this system")
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "zero.onnx").symlink_to("/dev/zero")
    (tmp_path / "folder.onnx").mkdir()
    for name in ("pipe.onnx", "zero.onnx", "folder.onnx"):
        with pytest.raises(retouche.InputError, match=name):
            open_onnx(tmp_path / name)


def test_files_of_ours_pass() -> None:
    file = open_onnx(exported("pipeline"))
    assert file.inputs == ["picture", "mask"] and file.outputs == ["filled"]
