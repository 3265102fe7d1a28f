"""Turn a weight file of any known kind into one of ours: safetensors that run alone and hold no code.

FILE is recognised by its content: PyTorch (.pth, .pt), safetensors, Paddle (.pdparams), Lua Torch (.t7), a TensorFlow
checkpoint (its prefix or folder), or a folder with one method's files. Every tensor must find its place.

examples:
  retouche convert G0000000.pt aot-gan.safetensors
  retouche convert release_places2_256/ deepfill-v2.safetensors
  retouche convert states_tf_places2.pth port.safetensors --semantics port
  retouche convert states_tf_places2.pth bgr.safetensors --order bgr
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from retouche.apps.cli import terminal
from retouche.errors import InputError


@dataclass(frozen=True)
class Options:
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The weight file, checkpoint prefix or folder."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The file to write, ending in .safetensors."""
    semantics: Literal["original", "port"] = "original"
    """Where a converted file has two targets: compute as the original program does, or as the port does."""
    order: Annotated[Literal["rgb", "bgr"] | None, terminal.without_default("rgb|bgr")] = None
    """The order of the colours that the networks were trained on, if you know better than docs/models.md; the new file
    keeps it. `retouche compare --orders` shows both on a picture."""
    overwrite: terminal.Switch = False
    """Write over OUT if it is there."""


def main(options: Options) -> int:
    """Read, write, say what it is."""
    if options.out.suffix != ".safetensors":
        raise InputError(f"{options.out} must end in .safetensors: that is what is written")
    terminal.check_output(options.out, [options.file], overwrite=options.overwrite)
    from retouche.methods import find
    from retouche.methods.loading import load_file
    from retouche.weights.native import save_networks

    loaded = load_file(options.file, options.semantics, order=options.order)
    known = (weights for weights in find(loaded.method).weights if weights.sha256 == loaded.source_sha256)
    save_networks(
        options.out,
        loaded.method,
        loaded.layout,
        loaded.config,
        loaded.generator,
        loaded.critics,
        preset=loaded.preset,
        step=loaded.header.get("step"),
        ema=loaded.header.get("ema"),
        perceptual=loaded.header.get("perceptual"),
        licence=loaded.header.get("licence") or next((weights.licence for weights in known), None),
        source_sha256=loaded.source_sha256,
    )
    networks = [*(["generator"] if loaded.generator is not None else []), *loaded.critics]
    size = terminal.show_bytes(options.out.stat().st_size)
    layout = f" ({loaded.layout})" if loaded.layout else ""
    terminal.print_line(f"{options.out}: {loaded.method}{layout}, {', '.join(networks)}, {size}")
    return 0
