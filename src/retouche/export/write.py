"""Export a network to a file that says what it is, and has been compared with PyTorch before it appears."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import retouche
from retouche.ambient import plain_torch
from retouche.engines.facts import FORMAT
from retouche.engines.onnx_file import look_through
from retouche.engines.sessions import Run, open_session
from retouche.errors import InputError, RetoucheError
from retouche.export import parity
from retouche.export.forms import FORMS, NetworkForm, PipelineForm
from retouche.export.graph import OPSET, recorded
from retouche.export.precision import LEAST, PRECISIONS, batches, psnr, reduced
from retouche.files import atomic_write
from retouche.methods import find
from retouche.methods.loading import Networks

OUTPUTS = {"network": "prediction", "pipeline": "filled"}
AXES = {"network": {0: "batch", 2: "height", 3: "width"}, "pipeline": {0: "batch", 1: "height", 2: "width"}}
LARGEST = 2_000_000_000
"""Bytes of one ONNX file."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file
        form: "network" or "pipeline"
        inputs: names, in order
        opset: version of ONNX's operators
        size_bytes: of the file
        parity: the comparisons with PyTorch
        tolerance: what they had to stay within, but for jumps (`Method.jump`)
        precision: "fp32", "fp16" or "int8"
        psnr: dB of a graph of fewer bits to the float32 graph, inside the holes of the pictures judged on; None = fp32
    """

    path: Path
    form: str
    inputs: tuple[str, ...]
    opset: int
    size_bytes: int
    parity: tuple[parity.Parity, ...]
    tolerance: float
    precision: str = "fp32"
    psnr: float | None = None

    @property
    def largest(self) -> float:
        """The largest difference found."""
        return max(each.largest for each in self.parity)


@plain_torch()
def export(
    model: Networks,
    path: Path | str,
    form: str = "network",
    *,
    precision: str = "fp32",
    pictures: Sequence[Tensor] = (),
    anyway: bool = False,
    overwrite: bool = True,
) -> Exported:
    """Write a network as an ONNX file with dynamic batch, height and width.

    Args:
        model: with a generator
        path: a name ending in .onnx
        form: "network" for tensors in -1..1, "pipeline" for 8-bit pictures, see `export.forms`
        precision: "fp32"; "fp16" or "int8" for a graph of fewer bits, compared with the float32 one that was compared
            with PyTorch
        pictures: (1, 3, H, W) each, -1..1, to measure ranges and the PSNR on; built-in ones where there are none
        anyway: write even what is below 40 dB
        overwrite: whether a file that is there is replaced

    Raises: InputError for a model without a network, or one that cannot be recorded; RetoucheError where the file's
        results differ from PyTorch's by more than the method's tolerance or jump, or fewer bits cost too much: nothing
        is written then
    """
    path = Path(path)
    model = network_of(model)
    if form not in FORMS:
        raise InputError(f'no form "{form}"; known: {", ".join(FORMS)}')
    if precision not in PRECISIONS:
        raise InputError(f'no precision "{precision}"; known: {", ".join(PRECISIONS)}')
    eager = form_of(model, form)
    tolerance, jump = find(model.method).tolerance, find(model.method).jump
    if isinstance(eager, PipelineForm):
        tolerance, jump = parity.LEVEL, math.ceil(jump * 127.5)
    centre = find(model.method).scope(model.config).centre
    example = parity.examples(eager, *parity.sizes(eager)[-1], centre=centre[1] if centre else 0, batch=3)
    axes = {0: "batch"} if eager.side else AXES[form]
    # the tools that write fewer bits do not look into branches
    graph = recorded(eager, example, OUTPUTS[form], axes, branches=precision == "fp32")
    found = parity.compare(eager, _session(graph), centre[1] if centre else 0)
    largest = max(each.largest for each in found)
    if not parity.within(found, tolerance, jump):
        raise RetoucheError(
            f"the exported {model.method} differs from PyTorch by {largest:.1e}, more than {tolerance:.0e}: "
            "nothing is written"
        )
    header = metadata(model, eager, form, found, tolerance)
    cost = None
    if precision != "fp32":
        inputs = batches(eager, pictures, centre[1] if centre else 0)
        fewer = reduced(graph, precision, inputs)
        cost = psnr(_session(graph), _session(fewer), inputs)
        if cost < LEAST and not anyway:
            raise RetoucheError(
                f"{model.method} in {precision} is {cost:.1f} dB from float32, less than {LEAST:g}: nothing is "
                "written; say --anyway if that will do"
            )
        graph, header = fewer, {**header, "precision": precision, "psnr": f"{cost:.2f}"}
    add_metadata(graph, header)
    data = graph.SerializeToString()
    with atomic_write(path, overwrite=overwrite, parents=True) as part:
        part.write_bytes(data)
    return Exported(path, form, tuple(example), OPSET, len(data), tuple(found), tolerance, precision, cost)


def network_of(model: Networks) -> Networks:
    """The model itself, or the network that stands for a fill which is none (see `Method.stand_in`)."""
    record = find(model.method)
    if model.generator is not None or not record.stand_in:
        return model
    from retouche.methods.portable import PortableConfig, assembled

    licence = {"licence": "MIT"}  # our own weights'
    return Networks(
        name=model.name, method=record.stand_in, config=PortableConfig(), generator=assembled(), header=licence
    )


def key_of(model: Networks) -> str:
    """What an exported file's name is made of: the same for the same weights, settings and version."""
    from retouche.weights.native import config_as_json

    assert model.generator is not None
    words = (weights_sha256(model.generator), config_as_json(model.config), model.generator.order)
    return hashlib.sha256(" ".join((*words, retouche.__version__, FORMAT)).encode()).hexdigest()[:16]


def form_of(model: Networks, form: str) -> NetworkForm:
    """The module whose operations are recorded, with the network as PyTorch runs it.

    Raises: InputError for a fill without a network of its own
    """
    generator = model.generator
    if generator is None:
        raise InputError(f'"{model.method}" is no network: there is nothing to export; choose a model that is one')
    record = find(model.method)
    scope = record.scope(model.config)
    guides = tuple(name for name in ("sketch", "structure") if name in record.conditioning(model.config))
    one_size = generator.largest if generator.largest == generator.smallest else 0
    side = scope.centre[0] if scope.centre else one_size
    return FORMS[form](generator.cpu().eval(), guides, side)


def metadata(
    model: Networks, form: NetworkForm, kind: str, found: list[parity.Parity], tolerance: float
) -> dict[str, str]:
    """What the file says of itself: words as they are, the rest as JSON.

    `window` is what a program needs to bring any picture before the network: sides and their multiple, and the method's
    `Scope`.
    """
    from retouche.weights.native import config_as_json

    record = find(model.method)
    scope = record.scope(model.config)
    known = (weights for weights in record.weights if weights.sha256 and weights.sha256 == model.source_sha256)
    licence = model.header.get("licence") or next((weights.licence for weights in known), None)
    generator = form.generator
    window = {
        "multiple": generator.multiple,
        "smallest": generator.smallest,
        "largest": generator.largest,
        "only": form.side,
        **{key: value for key, value in dataclasses.asdict(scope).items() if value != float("inf")},
    }
    header = {
        "format": FORMAT,
        "retouche": retouche.__version__,
        "method": model.method,
        "title": record.title,
        "layout": model.layout,
        "preset": model.preset,
        "config": config_as_json(model.config),
        "licence": licence or "not known",
        "source_sha256": model.source_sha256,
        "weights_sha256": weights_sha256(generator),
        "form": kind,
        "inputs": " ".join(["image" if kind == "network" else "picture", "mask", *form.guides]),
        "output": OUTPUTS[kind],
        "gives": generator.gives,
        "colours": "rgb",
        "window": json.dumps(window),
        "precision": "fp32",
        "tolerance": f"{tolerance:g}",
        "parity": json.dumps(parity.as_json(found)),
    }
    return {key: str(value) for key, value in header.items() if value is not None}


def weights_sha256(network: nn.Module) -> str:
    """One hash of a network's tensors with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def add_metadata(graph: Any, header: Mapping[str, str]) -> None:
    """Write metadata into an `onnx.ModelProto`, in place of what it had."""
    del graph.metadata_props[:]
    graph.producer_name, graph.producer_version = "retouche", retouche.__version__
    for key, value in header.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value


def _session(graph: Any) -> Run:
    data = graph.SerializeToString() if graph.ByteSize() < LARGEST else b""
    if not data:
        raise InputError("this network is larger than the 2 GB that an ONNX file can hold")
    return open_session(look_through(data), "onnx")
