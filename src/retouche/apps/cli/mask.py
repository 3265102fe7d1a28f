"""Make a set of masks: black and white PNG files, the same for the same seed, named by number.

A specification mixes makers: "wide:2,box:1" draws two wide masks for one box, "strokes+box" unites both, "box(0.25)"
gives a box a quarter of each side. Makers: box, centre, strokes, irregular, mmagic, wide, narrow, objects, or a folder.

The last line printed is the set's hash: two sets with the same hash are the same masks.

examples:
  retouche mask masks/ --masks wide:2,box:1 --count 1000 --size 256
  retouche mask masks/ --masks irregular --size 512x768 --seed 1

Masks that find themselves (watermarks, dust): retouche mask find --help
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from retouche.apps.cli import mask_find, terminal
from retouche.errors import InputError


@dataclass(frozen=True)
class Options:
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Where the masks go: a new or empty folder."""
    masks: Annotated[str, tyro.conf.arg(metavar="SPEC")] = "strokes+box"
    """Which masks."""
    count: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """How many."""
    size: Annotated[str, tyro.conf.arg(metavar="N|HxW")] = "256"
    """Side of square masks, or height x width, in pixels."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Other seeds give other masks."""
    overwrite: terminal.Switch = False
    """Write into a folder that holds masks already."""
    json: terminal.Switch = False
    """What was made as one JSON object on stdout."""


def parse(words: Sequence[str]) -> Options | mask_find.Options:
    """The flags of `retouche mask DIR` or of `retouche mask find`."""
    if words and words[0] == "find":
        return terminal.parse(mask_find.Options, words[1:], "mask find", mask_find.__doc__ or "")
    return terminal.parse(Options, words, "mask", __doc__ or "")


def main(options: Options | mask_find.Options) -> int:
    """Draw, write, count; or find."""
    return mask_find.main(options) if isinstance(options, mask_find.Options) else _draw(options)


def _draw(options: Options) -> int:
    height, width = _size(options.size)
    if options.count < 1:
        raise InputError(f"--count is {options.count}: give 1 or more")
    if options.folder.is_file():
        raise InputError(f"{options.folder} is a file: give a folder")
    if options.folder.is_dir() and any(options.folder.glob("*.png")) and not options.overwrite:
        raise InputError(f"{options.folder} holds pictures already: give another folder, or say --overwrite")
    import numpy as np
    from PIL import Image

    from retouche.data.mask_makers import histogram, mask_key, parse_masks
    from retouche.files import atomic_write
    from retouche.masks import hole_ratio

    masks = parse_masks(options.masks)
    digest, ratios = hashlib.sha256(f"{height}x{width}".encode()), []
    digits = max(5, len(str(options.count - 1)))
    with terminal.progress("drawing", options.count) as on_progress:
        for number in range(options.count):
            hole = masks.draw(mask_key(options.seed, number), height, width).hole
            digest.update(np.packbits(hole).tobytes())
            ratios.append(hole_ratio(hole))
            path = options.folder / f"{number:0{digits}d}.png"
            with atomic_write(path, parents=True) as temporary, temporary.open("wb") as file:
                Image.fromarray(hole).save(file, "PNG")
            on_progress(number + 1)
    counts = histogram(ratios)
    mean = sum(ratios) / len(ratios)
    if options.json:
        terminal.show_json(
            {
                "folder": str(options.folder),
                "count": options.count,
                "size": [height, width],
                "masks": options.masks,
                "seed": options.seed,
                "mean_hole_ratio": mean,
                "histogram": counts,
                "sha256": digest.hexdigest(),
            }
        )
        return 0
    for number, count in enumerate(counts):
        bar = "#" * round(40 * count / max(counts))
        print(f"hole {number * 10:3d} to {number * 10 + 10:3d} %  {count:6d}  {bar}".rstrip())
    terminal.print_line(f"{options.folder}: {options.count} masks of {width}x{height}, {mean:.1%} hole on average")
    print(f"sha256 {digest.hexdigest()}")
    return 0


def _size(text: str) -> tuple[int, int]:
    """ "256" or "512x768" -> height, width."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None or not int(match[1]) or (match[2] and not int(match[2])):
        raise InputError(f'--size is "{text}": give pixels, like 256 or 512x768 (height x width)')
    return int(match[1]), int(match[2] or match[1])
