"""Several models on one picture, on one contact sheet: the input with its hole marked, then each model's fill.

examples:
  retouche compare --image photo.jpg --mask mask.png --model harmonic exemplar --output sheet.png
  retouche compare --image photo.jpg --mask mask.png --model default mine.safetensors --output sheet.jpg
  retouche compare --image red.jpg --mask mask.png --model states_tf_places2.pth --orders --output orders.png

exit code: 0 done, 2 wrong use or bad input (nothing is written)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from retouche.apps.cli import flags, terminal
from retouche.errors import InputError

ORDERS: tuple[Literal["rgb", "bgr"], ...] = ("rgb", "bgr")
"""Of colours, that a network may have been trained on."""


@dataclass(frozen=True)
class Options:
    image: Annotated[Path, tyro.conf.arg(metavar="P")]
    """The picture."""
    mask: Annotated[Path, tyro.conf.arg(metavar="P")]
    """Its mask: white is the hole."""
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="M [M ...]")]
    """Names, weight files or folders; `retouche models` lists the names."""
    output: Annotated[Path, tyro.conf.arg(metavar="P")]
    """The sheet: a file, its format by its suffix."""
    device: flags.Device = "auto"
    dilate: Annotated[str, tyro.conf.arg(metavar="N|auto")] = "auto"
    """Grow the hole by N pixels. auto: the longest side / 256, at least 1."""
    invert_mask: flags.InvertMask = False
    orders: terminal.Switch = False
    """Show each model twice: as one trained on red, green, blue, and as one trained on blue, green, red. On a strongly
    coloured picture the right one is plain to see."""
    memory: flags.MemoryOfEach = "2GiB"
    threads: flags.Threads = None
    seed: flags.Seed = 0
    overwrite: terminal.Switch = False
    """Replace the sheet if it exists."""
    json: terminal.Switch = False
    """Models and seconds as one JSON object on stdout."""


def main(options: Options) -> int:
    """Fill with each model, write the sheet."""
    dilate, memory = terminal.dilation(options.dilate), terminal.parse_bytes(options.memory)
    if not options.model:
        raise InputError("--model names none: give one or more")
    terminal.check_inputs((options.image, "--image"), (options.mask, "--mask"))
    terminal.check_output(options.output, (options.image, options.mask), overwrite=options.overwrite)

    from retouche.inference.devices import choose_device
    from retouche.inference.load import load
    from retouche.inference.names import resolve
    from retouche.inference.sheet import Panel, contact_sheet, mark_hole, pixels_rgb
    from retouche.masks import open_mask
    from retouche.pictures import open_picture, write_picture

    terminal.set_threads(options.threads)
    device = choose_device(options.device).device
    models = [
        (typed, order, load(typed, device=device, order=order))
        for typed in options.model
        for order in (ORDERS if options.orders else (None,))
    ]
    picture = open_picture(options.image)
    hole, remarks = open_mask(options.mask, (picture.height, picture.width), invert=options.invert_mask)
    for text in (*picture.remarks, *remarks):
        terminal.warn(text)
    before = pixels_rgb(picture)
    caption = f"{options.image.name}\n{picture.width}x{picture.height}, {100 * hole.mean():.1f} % hole"
    panels = [Panel(mark_hole(before, hole), caption)]
    rows = []
    for typed, order, model in models:
        filled, report = model(picture, hole, dilate=dilate, seed=options.seed, memory=memory, report=True)
        name = meant.name if isinstance(meant := resolve(typed), Path) else typed
        name = f"{name}, {order}" if order else name
        panels.append(Panel(pixels_rgb(filled), f"{name}\n{report.strategy}, {report.seconds:.2f} s"))
        row = {"model": typed, "method": report.method, "strategy": report.strategy, "seconds": report.seconds}
        rows.append(row | {"order": order} if order else row)
    sheet = contact_sheet(panels)
    write_picture(open_picture(sheet), options.output, overwrite=options.overwrite, parents=True)
    if options.json:
        terminal.show_json({"output": str(options.output), "models": rows})
    else:
        for row in rows:
            print(f"{row['model']}: {row['seconds']:.2f} s, {row['strategy']}")
        terminal.print_line(options.output)
    return 0
