"""Draws a network as it computes: a bar for each layer with a kernel, from hooks on the layers themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from retouche.methods.method import Method

HEIGHTS = {1: 96, 2: 68, 4: 48, 8: 34, 16: 24, 32: 17, 64: 12}
"""Of bars in pixels, by how many times smaller than the picture the layer's map is."""
WIDE, GAP, LINE, APART = 1180, 2, 144, 30
COLOURS = {"plain": "#4878a8", "dilated": "#d08030", "transposed": "#5a9a5a"}
STYLE = "text{font:11px sans-serif;fill:#333}.n{font-weight:bold;font-size:12px}rect:hover{opacity:.6}"


@dataclass(frozen=True)
class Layer:
    """One layer as it was computed: the module's name, its kind, its kernel and what came out."""

    name: str
    title: str
    kind: str
    channels: int
    shrink: int  # the picture's side / the map's

    @property
    def part(self) -> str:
        """The part of the network that it belongs to."""
        return self.name.split(".")[0]


def side_of(method: Method, preset: str) -> int:
    """The side of the picture that the figure is drawn of: small, but with a map of some cells at the deepest layer."""
    scope = method.scope(method.presets[preset])
    if scope.centre is not None:
        return scope.centre[0]
    assert method.build is not None
    with torch.device("meta"):
        network = method.build(method.presets[preset])
    least = max(64, network.smallest)
    return -(-least // network.multiple) * network.multiple


def layers(method: Method, preset: str) -> list[Layer]:
    """The layers with a kernel in the order in which they are computed."""
    assert method.build is not None
    config = method.presets[preset]
    with torch.random.fork_rng(devices=[]):
        network = method.build(config)
    # some networks compute by another way once they are no longer trained; their layers are called in training
    network.train(any(isinstance(each, nn.BatchNorm2d) for each in network.modules()) and network.smallest < 64)
    side = side_of(method, preset)
    found: list[Layer] = []

    def hook(name: str) -> Any:
        def heard(module: nn.Module, given: Any, made: Any) -> None:
            out = made if isinstance(made, Tensor) else made[0]
            if out.ndim == 4:
                found.append(_layer(name, module, out, side))

        return heard

    for name, module in network.named_modules():
        if is_drawn(module):
            module.register_forward_hook(hook(name))
    image, mask = torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side)
    mask[..., side // 2 - 8 : side // 2 + 8, side // 2 - 8 : side // 2 + 8] = 1
    conditioning = method.conditioning(config)
    guides = {"structure": image} if "structure" in conditioning else {}
    guides |= {"sketch": mask} if "sketch" in conditioning else {}
    with torch.enable_grad():  # ours compute near the hole alone where nobody wants gradients, past their own layers
        network(image, mask, **guides)
    return found


def _kernel(module: nn.Module) -> Tensor | None:
    """A layer's own kernel of two dimensions."""
    return next((each for each in module.parameters(recurse=False) if each.ndim == 4), None)


def is_drawn(module: nn.Module) -> bool:
    """Whether a layer has a kernel of two dimensions of its own."""
    return _kernel(module) is not None


def _layer(name: str, module: Any, out: Tensor, side: int) -> Layer:
    kernel = _kernel(module)
    assert kernel is not None
    dilation, stride = (_one(getattr(module, word, 1)) for word in ("dilation", "stride"))
    shrink = max(1, 2 ** round((torch.tensor(side / out.shape[-2]).log2()).item()))
    transposed = bool(getattr(module, "transposed", False))
    kind = "transposed" if transposed else "dilated" if dilation > 1 else "plain"
    more = [f"stride {stride}"] if stride > 1 else []
    more += [f"dilation {dilation}"] if dilation > 1 else []
    given = getattr(module, "in_channels", kernel.shape[0 if transposed else 1])
    title = (
        f"{name}: {type(module).__name__} {kernel.shape[-1]}x{kernel.shape[-1]}, {given} to {out.shape[1]} channels"
        f"{''.join(', ' + word for word in more)}; map {_size(shrink)}"
    )
    return Layer(name, title, kind, out.shape[1], min(shrink, max(HEIGHTS)))


def _one(value: Any) -> int:
    return int(value[0] if isinstance(value, (tuple, list)) else value)


def _size(shrink: int) -> str:
    return "of the picture's size" if shrink == 1 else f"1/{shrink} of the picture's side"


def drawn(method: Method, preset: str, name: str) -> str:
    """The figure, SVG."""
    body: list[str] = []
    x, top = 10, 8
    for part, run in groupby(layers(method, preset), key=lambda layer: layer.part):
        for number, row in enumerate(_rows(list(run))):
            needed = max(sum(_width(layer) + GAP for layer in row), 8 * len(part))
            if x > 10 and (number or x + needed > WIDE - 10):
                x, top = 10, top + LINE
            body += _row(part, row, x, top)
            x += needed + APART
    height = top + LINE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {height}" role="img" aria-label="{escape(name)}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _width(layer: Layer) -> int:
    return 5 + min(24, layer.channels // 16)


def _rows(run: list[Layer]) -> Iterator[list[Layer]]:
    """Layers of one part, cut where a line is full."""
    row: list[Layer] = []
    used = 0
    for layer in run:
        if row and used + _width(layer) + GAP > WIDE - 20:
            yield row
            row, used = [], 0
        row.append(layer)
        used += _width(layer) + GAP
    if row:
        yield row


def _row(part: str, row: list[Layer], x: int, top: int) -> Iterator[str]:
    """One line of bars from x on; channels and size are written beneath where they change and there is room."""
    base = top + 14 + HEIGHTS[1]
    yield f'<text class="n" x="{x}" y="{top + 8}">{escape(part)}</text>'
    written = -100
    before: tuple[int, int] | None = None
    for layer in row:
        height, width = HEIGHTS[layer.shrink], _width(layer)
        yield (
            f'<rect x="{x}" y="{base - height}" width="{width}" height="{height}" fill="{COLOURS[layer.kind]}">'
            f"<title>{escape(layer.title)}</title></rect>"
        )
        now = (layer.channels, layer.shrink)
        if now != before and x - written >= 52:
            share = "" if layer.shrink == 1 else f" 1/{layer.shrink}"
            yield f'<text x="{x}" y="{base + 14}">{layer.channels}{share}</text>'
            written, before = x, now
        x += width + GAP
