"""Any method of the registry becomes an ONNX file that computes what PyTorch does; a new method gets this for free."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from test_methods import NETWORKS
from torch import nn

import retouche
from retouche.engines.onnx_file import open_onnx
from retouche.export.parity import Parity, within
from retouche.methods import find

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TINY = {"width": 8, "blocks": 2, "bottleneck": 64}
"""Settings of any method that make its network small."""
OWN = {"mi-gan": {"side": 32, "most": 32}, "layout": {"width": 6}}
LONG = {"structure-flow", "deepfill-v1", "layout", "refine"}
"""Whose graphs are long; of their parts other networks are made, too, that are tried every time."""
MARKED = [
    pytest.param(name, form, marks=pytest.mark.slow if name in LONG or form == "pipeline" else [], id=f"{name}-{form}")
    for name in NETWORKS
    for form in ("network", "pipeline")
]


def tiny(name: str) -> retouche.Model:
    """A small fresh network whose features keep their size from layer to layer, so that differences are seen."""
    model = retouche.create(name)
    settings = {**TINY, **OWN.get(name, {})}
    known = {field.name for field in dataclasses.fields(model.config)}
    model.config = dataclasses.replace(model.config, **{key: settings[key] for key in settings.keys() & known})
    model.preset = None
    build = find(name).build
    assert build is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.generator = build(model.config).eval()
        for layer in model.generator.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
    return model


@pytest.mark.parametrize(("name", "form"), MARKED)
def test_exported_file_computes_what_pytorch_does(name: str, form: str, tmp_path: Path) -> None:
    from retouche.export.write import export

    model = tiny(name)
    made = export(model, tmp_path / "network.onnx", form)  # refuses by itself what differs
    assert made.parity and made.tolerance <= (1 if form == "pipeline" else 2e-3)
    assert made.largest <= made.tolerance or (find(name).jump and within(made.parity, made.tolerance, math.inf))
    fixed = find(name).scope(model.config).centre is not None or model.generator.largest
    assert len({(each.height, each.width) for each in made.parity}) == (1 if fixed else 3)
    assert fixed or any(each.height != each.width for each in made.parity)
    assert {each.hole for each in made.parity} == {"box", "strokes"}
    file = open_onnx(made.path)
    assert file.inputs == list(made.inputs) and file.opset == made.opset
    facts = file.facts()
    assert facts["method"] == name and facts["form"] == form and len(facts["weights_sha256"]) == 64
    assert facts["window"]["multiple"] == model.generator.multiple and facts["licence"]
    assert facts["parity"] == [dataclasses.asdict(each) for each in made.parity]
    if not fixed and form == "network":
        assert_no_size_is_recorded(model, made.path)


def test_a_step_excuses_the_few() -> None:
    def differing(*largest: float) -> list[Parity]:
        return [Parity(64, 64, "box", each) for each in largest]

    assert within(differing(1e-4, 2e-4), 2e-4) and not within(differing(1e-4, 3e-4), 2e-4)
    assert within(differing(1e-4, 1e-4, 3e-2), 2e-4, 5e-2)
    assert not within(differing(1e-4, 3e-2, 3e-2), 2e-4, 5e-2)  # most: no matter of rounding
    assert not within(differing(1e-4, 1e-4, 6e-2), 2e-4, 5e-2) and not within(differing(1e-4, math.inf), 2e-4, 5e-2)


def assert_no_size_is_recorded(model: retouche.Model, path: Path) -> None:
    """Recorded from another batch and size, the graph is the same to the last number: no size can be left in it."""
    import onnx

    from retouche.export import parity
    from retouche.export.graph import recorded
    from retouche.export.write import AXES, OUTPUTS, form_of

    form = form_of(model, "network")
    height, width = parity.sizes(form)[0]
    example = parity.examples(form, height + form.generator.multiple, width + 2 * form.generator.multiple, batch=2)
    written, again = onnx.load(path).graph, recorded(form, example, OUTPUTS["network"], AXES["network"]).graph
    assert list(written.node) == list(again.node)
    assert list(written.initializer) == list(again.initializer)
