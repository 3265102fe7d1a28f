"""Fill one hole through a film: a logo, a date, a scratch on the lens.

The mask is a picture of the film's size as it is shown, white where the hole is; it is the same for all frames. A fill
moves with its surroundings and is invented anew only where they are others, so that it does not flicker. Sound and
subtitles are copied, times (also uneven ones), turn and colours kept; the frames are encoded anew, finely, by the codec
they had, which changes them a little everywhere. A stopped command goes on when it is given again.

examples:
  retouche video --video clip.mp4 --mask logo.png --output clean.mp4
  retouche video --video clip.mov --mask date.png --output clean.mov --model harmonic --dilate 3

exit code: 0 done, 2 nothing written: wrong use or bad input
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from retouche.apps.cli import flags, terminal
from retouche.errors import InputError

SPREAD = 4  # pixels that a mark's colours reach beyond it: they are stored at half the size, and encoded


@dataclass(frozen=True)
class Options:
    video: Annotated[Path, tyro.conf.arg(metavar="P")]
    """The film."""
    mask: Annotated[Path, tyro.conf.arg(metavar="P")]
    """The hole, white on black, of the film's size as it is shown."""
    output: Annotated[Path, tyro.conf.arg(metavar="P")]
    """The film to write: .mp4, .m4v, .mov, .mkv, .webm, .avi or .ts."""
    model: flags.ModelName = "default"
    device: flags.Device = "auto"
    dilate: Annotated[str, tyro.conf.arg(metavar="N|auto")] = "auto"
    """Grow the hole by N pixels. auto: the longest side / 256, at least 4: in films colours spread as far."""
    feather: flags.Feather = "auto"
    invert_mask: flags.InvertMask = False
    memory: flags.Memory = "2GiB"
    threads: flags.Threads = None
    seed: flags.Seed = 0
    overwrite: flags.OverwriteOutput = False
    json: flags.Json = False


def main(options: Options) -> int:
    """Settle everything first, then fill and write."""
    from retouche.apps.video.clip import CONTAINERS, examined, library

    library()
    dilate, feather = terminal.dilation(options.dilate), terminal.dilation(options.feather)
    memory = terminal.parse_bytes(options.memory)
    terminal.check_inputs((options.video, "--video"), (options.mask, "--mask"))
    if options.output.suffix.lower() not in CONTAINERS:
        raise InputError(f"--output {options.output} is no film known here: use one of {' '.join(CONTAINERS)}")
    terminal.check_output(options.output, (options.video, options.mask), overwrite=options.overwrite)
    clip = examined(options.video)

    import numpy as np

    from retouche.apps.batch.manifest import model_hash
    from retouche.apps.video.filling import fill_clip
    from retouche.inference.devices import choose_device
    from retouche.inference.load import load
    from retouche.masks import default_dilation, default_feather, dilate_thick, feather_weight, open_mask
    from retouche.masks import dilate as grown_by
    from retouche.runners.work import stamp

    hole, remarks = open_mask(options.mask, clip.shown, invert=options.invert_mask)
    if not hole.any():
        raise InputError(f"{options.mask.name} is empty: paint white what is to be filled")
    grow = max(SPREAD, default_dilation(*clip.shown)) if dilate is None else dilate
    grown = dilate_thick(hole, grow) | grown_by(hole, SPREAD) if dilate is None else grown_by(hole, grow)
    if grown.all():
        raise InputError(f"{options.mask.name} covers the whole film: leave something known to fill from")
    weight = feather_weight(hole, grown, min(grow, default_feather(grow) if feather is None else feather))
    for text in (*remarks, *(f"{stream} is left out" for stream in clip.left_out)):
        terminal.warn(text)
    terminal.set_threads(options.threads)
    model = load(options.model).to(choose_device(options.device).device)

    def invent(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
        turned = np.ascontiguousarray(np.rot90(picture, clip.quarters))
        filled = model(
            turned, np.rot90(missing, clip.quarters).copy(), dilate=0, feather=0, seed=options.seed, memory=memory
        )
        assert isinstance(filled, np.ndarray)
        return np.ascontiguousarray(np.rot90(filled, -clip.quarters))

    about = {
        "video": stamp(options.video),
        "mask": stamp(options.mask),
        "model": model_hash(model),
        "options": [grow, feather, options.invert_mask, memory, options.seed],
    }
    started = time.perf_counter()
    stored = [np.ascontiguousarray(np.rot90(plane, -clip.quarters)) for plane in (grown, weight)]
    try:
        with terminal.progress("filling", 2 * clip.frames) as on_progress:
            done = fill_clip(
                clip,
                stored[0],
                stored[1],
                invent,
                options.output,
                about,
                on_progress,
                lambda count: on_progress(clip.frames + count),
            )
    except KeyboardInterrupt:
        terminal.complain("retouche: stopped; the same command goes on")
        raise
    if done.resumed:
        terminal.note(f"{done.resumed} of {done.frames} frames were filled already")
    if options.json:
        terminal.show_json(
            {
                "input": str(options.video),
                "output": str(options.output),
                "frames": done.frames,
                "filled_anew": done.invented,
                "change_in_hole": round(done.inside, 3),
                "change_around": round(done.around, 3),
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
    else:
        terminal.print_line(options.output)
        terminal.complain(
            f"{done.frames} frames, {done.invented} filled anew; from frame to frame the hole changes by "
            f"{done.inside:.2f} levels, its surroundings by {done.around:.2f}"
        )
    return 0
