"""Do again what an edit file of the editor records: the same masks, models and options, on the same picture.

An edit file (photo.retouche.json) holds every fill with its mask, and, saved with the picture, the picture itself. The
picture's SHA-256 and the models' hashes are compared with those of the edit. What the browser filled by itself,
`retouche.runtime` fills with the same exported file: in this folder, beside the edit file, or named.

examples:
  retouche replay photo.retouche.json --output photo_filled.jpg
  retouche replay photo.retouche.json --image photo.jpg --output photo_filled.jpg
  retouche replay photo.retouche.json --browser-model default.onnx --output photo_filled.jpg

exit code: 0 done, 2 wrong use or bad input (nothing is written)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from retouche.apps.cli import flags, terminal
from retouche.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

    from retouche.image import Box
    from retouche.inference.model import Model
    from retouche.pictures import Picture
    from retouche.runtime import Network

    Layer = list[tuple[Box, Tensor, np.ndarray]]  # crop, fill, where it was filled

FORMAT = "retouche-edit "
IN_BROWSER = "browser:"
"""Before the file's name, where the page filled by itself."""
MOST_BYTES = 1 << 30
MOST_FILLS = 10_000


@dataclass(frozen=True)
class Options:
    edit: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """What the editor saved."""
    output: Annotated[Path, tyro.conf.arg(metavar="P")]
    """The filled picture: a file, its format by its suffix."""
    image: Annotated[Path | None, terminal.without_default("P")] = None
    """The picture. Default: the one inside the edit file."""
    other_picture: terminal.Switch = False
    """Use the edit on a picture that it was not made for, of the same size."""
    browser_model: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE.onnx [...]", help_behavior_hint="")] = ()
    """Files by which the browser filled. Default: of their names, in this folder or in that of the edit file."""
    device: flags.Device = "auto"
    threads: flags.Threads = None
    overwrite: flags.OverwriteOutput = False
    json: terminal.Switch = False
    """What was done as one JSON object on stdout."""


def main(options: Options) -> int:
    """Read, fill in turn, write."""
    inputs = [(options.edit, "FILE"), *([] if options.image is None else [(options.image, "--image")])]
    inputs += [(path, "--browser-model") for path in options.browser_model]
    terminal.check_inputs(*inputs)
    terminal.check_output(options.output, [path for path, _ in inputs], overwrite=options.overwrite)
    edit = _read(options.edit)

    from retouche.apps.batch.manifest import model_hash
    from retouche.inference.devices import choose_device
    from retouche.inference.load import load
    from retouche.pictures import decode, write_picture

    terminal.set_threads(options.threads)
    content, name = _picture_of(edit, options)
    picture = decode(content, name)
    size = _field(edit["source"], "width", int), _field(edit["source"], "height", int)
    if size != (picture.width, picture.height):
        raise InputError(
            f"the edit is for {size[0]}x{size[1]} pixels, {name} has {picture.width}x{picture.height}: give its picture"
        )
    device = choose_device(options.device).device
    models: dict[str, Model | Network] = {}
    fills = _field(edit, "fills", list)
    rows: list[dict[str, Any]] = []
    layers: list[Layer] = []
    for number, fill in enumerate(fills, 1):
        word = _field(fill, "model", str)
        if word not in models:
            if word.startswith(IN_BROWSER):
                models[word], found = _network(word, fill.get("model_hash"), options)
            else:
                models[word] = model = load(word, device=device)
                found = model_hash(model)
            if fill.get("model_hash") not in (None, found):
                terminal.warn(f'the model "{word}" is not the one of the edit (its hash differs): fills will differ')
        # it sees the fills beneath that it saw the first time
        seen = _field(fill, "over", list) if "over" in fill else range(number - 1)
        beneath = _composed(picture, [layer for at, layer in enumerate(layers) if at in seen])
        layer, seconds = _fill(beneath, models[word], fill, f"fill {number}")
        layers.append(layer)
        row = {"model": word, "seconds": seconds}
        rows.append(row)
        if not options.json:
            print(f"{number} of {len(fills)}: {word}, {row['seconds']:.2f} s")
    shown = [layer for layer, fill in zip(layers, fills, strict=True) if not fill.get("hidden")]
    write_picture(_composed(picture, shown), options.output, overwrite=options.overwrite, parents=True)
    for text in picture.remarks:
        terminal.warn(text)
    if options.json:
        terminal.show_json({"output": str(options.output), "fills": rows})
    else:
        terminal.print_line(options.output)
    return 0


def _composed(picture: Picture, layers: Sequence[Layer]) -> Picture:
    """The picture with fills on it, the lowest first."""
    import numpy as np
    import torch

    result = picture.copy()
    for crop, rgb, inside in (part for layer in layers for part in layer):
        left, top, right, bottom = crop
        hole = np.zeros((picture.height, picture.width), np.bool_)
        hole[top:bottom, left:right] = inside
        result.expect(hole)
        result.paste(rgb, crop, torch.from_numpy(inside.astype(np.float32))[None, None])
    return result


def _fill(picture: Picture, model: Model | Network, fill: dict[str, Any], name: str) -> tuple[Layer, float]:
    """Do one fill again: each crop that was sent, with the hole in it. Returns: what it made, and seconds"""
    import numpy as np

    from retouche import runtime
    from retouche.image import to_uint8
    from retouche.masks import dilate
    from retouche.pictures import Picture as CanvasPart

    whole = (0, 0, picture.width, picture.height)
    box = _box(_field(fill, "box", dict), whole, name)
    hole, sketch = (_laid(picture, fill.get(layer), box, f"{name}: {layer}") for layer in ("mask", "sketch"))
    if hole is None:
        raise InputError(f"{name} has no mask: save the edit again")
    crops = fill.get("crops")
    if crops is None:
        terminal.warn(f"{name} does not record which part its model saw: it sees the whole picture")
    grown, seconds = _field(fill, "dilate", int), 0.0
    layer: Layer = []
    for crop in [whole] if crops is None else [_box(each, whole, name) for each in crops]:
        left, top, right, bottom = crop
        here = hole[top:bottom, left:right]
        strokes = None if sketch is None else sketch[top:bottom, left:right]
        if isinstance(model, runtime.Network):
            began, inside = time.perf_counter(), dilate(here, grown)
            layer.append((crop, _in_browser(model, to_uint8(picture.rgb(crop)), inside, strokes), inside))
            seconds += time.perf_counter() - began
            continue
        if picture.mode in ("CMYK", "YCbCr") or picture.pixels.dtype == np.uint8:  # as the editor saw them
            part = CanvasPart(to_uint8(picture.rgb(crop)), "RGB")
        else:
            part = CanvasPart(picture.pixels[top:bottom, left:right], picture.mode)
        filled, report = model(
            part,
            here,
            sketch=strokes,
            dilate=grown,
            feather=fill.get("feather"),
            seed=int(fill.get("seed") or 0),
            report=True,
        )
        seconds += report.seconds
        layer.append((crop, filled.rgb(), dilate(here, grown)))
    return layer, seconds


def _in_browser(network: Network, rgb: np.ndarray, inside: np.ndarray, sketch: np.ndarray | None) -> Tensor:
    """A crop as the browser filled it: the grown hole, without a soft edge."""
    from retouche import runtime
    from retouche.pictures import Picture

    strokes = sketch if "sketch" in network.inputs else None
    return Picture(runtime.fill(rgb, inside, network, sketch=strokes), "RGB").rgb()


def _network(word: str, wanted: str | None, options: Options) -> tuple[Network, str]:
    """The exported file by which the browser filled, and its hash: the named one of that hash, else one of its name."""
    from retouche import runtime

    name = Path(word.removeprefix(IN_BROWSER)).name
    places = options.browser_model or (Path(name), options.edit.parent / name)
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in places if path.is_file()}
    path = next((path for path, found in hashes.items() if found == wanted), next(iter(hashes), None))
    if path is None:
        raise InputError(f'"{name}" filled in the browser and is not here: give the file by --browser-model')
    return runtime.load(path, threads=options.threads), hashes[path]


# Reading ------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES >> 20} MiB: no edit file is that large")
    try:
        edit = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no JSON: give what the editor saved") from None
    if not isinstance(edit, dict) or not str(edit.get("format")).startswith(FORMAT):
        raise InputError(f"{path} is no edit of the editor: give what it saved (*.retouche.json)")
    if edit["format"] != f"{FORMAT}1":
        raise InputError(f'{path} is of the newer format "{str(edit["format"])[:40]}": update retouche')
    _field(edit, "source", dict)
    if len(_field(edit, "fills", list)) > MOST_FILLS or not all(isinstance(fill, dict) for fill in edit["fills"]):
        raise InputError(f"{path} is damaged: its fills cannot be read")
    return edit


def _picture_of(edit: dict[str, Any], options: Options) -> tuple[bytes, str]:
    """The picture's bytes, which must be those the edit was made for, and its name."""
    source = edit["source"]
    if options.image is not None:
        content, name = options.image.read_bytes(), options.image.name
    elif isinstance(source.get("data"), str):
        content, name = _bytes(source["data"], "the picture inside"), str(source.get("name"))
    else:
        raise InputError(f"{options.edit} holds no picture: name it by --image")
    wanted = source.get("sha256")
    if wanted is not None and wanted != hashlib.sha256(content).hexdigest() and not options.other_picture:
        raise InputError(f"the edit was made for another picture than {name}: give that, or say --other-picture")
    return content, name


def _field(of: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = of.get(name)
    if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 0)):
        raise InputError(f'the edit\'s "{name}" is missing or no {kind.__name__}: save it again in the editor')
    return value


def _box(of: Any, whole: Box, name: str) -> Box:
    sides = [of.get(side) for side in ("left", "top", "right", "bottom")] if isinstance(of, dict) else of
    if isinstance(sides, list) and len(sides) == 4 and all(type(side) is int for side in sides):
        left, top, right, bottom = sides
        if 0 <= left < right <= whole[2] and 0 <= top < bottom <= whole[3]:
            return left, top, right, bottom
    raise InputError(f"{name}: a box lies outside the picture: save the edit again")


def _bytes(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{name} is no base64: save the edit again") from None


def _laid(picture: Picture, text: Any, box: Box, name: str) -> np.ndarray | None:
    """A mask or sketch of a box as (H, W) bool of the picture; None where there is none."""
    if text is None:
        return None
    import numpy as np

    from retouche.masks import open_mask
    from retouche.pictures import decode

    left, top, right, bottom = box
    part, _ = open_mask(decode(_bytes(str(text), name), name), (bottom - top, right - left), name=name)
    laid = np.zeros((picture.height, picture.width), np.bool_)
    laid[top:bottom, left:right] = part
    return laid
