"""Write a network as one ONNX file that runs without PyTorch, with any batch, height and width.

The file says what it is: method, licence, settings, hash of the weights, sizes it takes. Before it appears it is
compared with PyTorch at three sizes with two kinds of hole; the figures are printed and kept in it (extra: onnx).

--form network   image (N, 3, H, W) in -1..1 and mask (N, 1, H, W), 1 = hole -> prediction; sides by the network's
                 multiple, nothing is pasted
--form pipeline  picture (N, H, W, 3) and mask (N, H, W), 8 bits, any size -> the filled picture, unchanged outside

examples:
  retouche export --model lama --output lama.onnx
  retouche export --model aot-gan.pth --form pipeline --output aot-gan.onnx
  retouche export --model aot-gan.pth --precision fp16 --output half.onnx
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from retouche.apps.cli import flags, terminal
from retouche.errors import InputError


@dataclass(frozen=True)
class Options:
    output: Annotated[Path, tyro.conf.arg(metavar="F.onnx")]
    """The file to write."""
    model: Annotated[str, tyro.conf.arg(metavar="M")] = "default"
    """Which network: a name, NAME:TAG, a weight file or a folder; `retouche models` lists the names."""
    form: Literal["network", "pipeline"] = "network"
    """Tensors as networks see them, or 8-bit pictures."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """Fewer bits make the file smaller. Their PSNR to float32 is printed; below 40 dB nothing is written."""
    pictures: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="P [P ...]", help_behavior_hint="")] = ()
    """Pictures to measure --precision on. Default: built-in ones."""
    anyway: terminal.Switch = False
    """Write what --precision takes below 40 dB, too."""
    overwrite: terminal.Switch = False
    """Write over the output if it is there."""
    json: flags.Json = False


def main(options: Options) -> int:
    """Load, record, compare, write, say what it is."""
    if options.output.suffix != ".onnx":
        raise InputError(f"{options.output} must end in .onnx: that is what is written")
    if options.precision == "fp32" and (options.pictures or options.anyway):
        raise InputError("--pictures and --anyway say how fewer bits are judged: give --precision fp16 or int8, too")
    terminal.check_output(options.output, [], overwrite=options.overwrite)
    from retouche.export.write import export
    from retouche.inference.load import load
    from retouche.pictures import open_picture

    opened = [open_picture(path) for path in options.pictures]
    result = export(
        load(options.model),
        options.output,
        options.form,
        precision=options.precision,
        pictures=[each.rgb((0, 0, each.width, each.height)) for each in opened],
        anyway=options.anyway,
    )
    if options.json:
        terminal.show_json({**asdict(result), "path": str(result.path), "largest": result.largest})
        return 0
    unit = " levels of 255" if result.form == "pipeline" else ""
    for each in result.parity:
        difference = f"{each.largest:g}" if result.form == "pipeline" else f"{each.largest:.1e}"
        terminal.print_line(f"  {each.width}x{each.height}, {each.hole}: differs from PyTorch by {difference}{unit}")
    if result.psnr is not None:
        terminal.print_line(f"  {result.precision}: {result.psnr:.1f} dB to float32 inside the holes")
    size = terminal.show_bytes(result.size_bytes)
    inputs = ", ".join(result.inputs)
    terminal.print_line(
        f"{result.path}: {result.form} of {options.model} ({inputs}), opset {result.opset}, {size}; largest difference "
        f"{result.largest:.1e}{unit}, allowed {result.tolerance:g}"
    )
    return 0
