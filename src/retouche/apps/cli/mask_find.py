"""Find masks: the mark that all pictures of a folder bear at the same place, dates, or the dust and scratches of scans.

  watermark  one mask for the whole folder, with the mark's colour and opacity. Where the mark is translucent, the
             picture beneath can be recovered instead of invented: --recover writes the recovered pictures, and masks of
             what is left to fill. Needs 8 pictures or more of one size
  date       a mask for each picture: the date that a camera has written into a corner, orange, yellow or red. Over a
             folder the place repeats: where one is found in some, the others are looked at there more closely
  dust       a mask for each picture: small or thin things that stand out from their surroundings; from an infrared
             picture of the same scan where there is one (--infrared), which is far surer

Look at preview.png first: it shows what was found.

examples:
  retouche mask find --kind watermark --image photos/ --output found/ --recover clean/
  retouche run --image clean/ --mask found/left/ --output finished/
  retouche mask find --kind date --image album/ --output dates/
  retouche mask find --kind dust --image scans/ --output dust/ --sensitivity 1.5
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from retouche.apps.cli import terminal
from retouche.errors import InputError
from retouche.runners.local import Inline
from retouche.runners.work import Job, Outcome, Steps

if TYPE_CHECKING:
    from retouche.folders.finding import FoundFile
    from retouche.inference.sheet import Panel
    from retouche.masks import Mask
    from retouche.pictures import Picture

SHOWN = 6
"""Pictures on the preview sheet."""


@dataclass(frozen=True)
class Options:
    kind: Literal["watermark", "date", "dust"]
    """What to look for."""
    image: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH")]
    """Pictures: a folder, glob, files or list file (.txt)."""
    output: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Where masks and preview.png go: a new or empty folder."""
    recover: Annotated[Path | None, terminal.without_default("DIR")] = None
    """Of a watermark: where the pictures without it go, under their own names."""
    infrared: Annotated[Path | None, terminal.without_default("DIR")] = None
    """Of dust: a folder of infrared pictures with the same names and sizes."""
    sensitivity: Annotated[float, tyro.conf.arg(metavar="X")] = 1.0
    """Of dust: 2 finds what stands out half as much."""
    widest: Annotated[int, tyro.conf.arg(metavar="N")] = 9
    """Of dust: width of the widest speck or scratch, pixels."""
    overwrite: terminal.Switch = False
    """Write into folders that hold files already."""
    json: terminal.Switch = False
    """What was found as one JSON object on stdout."""


def main(options: Options) -> int:
    """Find, write, show."""
    from retouche.folders.finding import find

    if not 0 < options.sensitivity < 100:
        raise InputError(f"--sensitivity is {options.sensitivity}: give a number between 0 and 100, like 1.5")
    if not 1 <= options.widest <= 200:
        raise InputError(f"--widest is {options.widest}: give 1 to 200 pixels")
    if options.kind != "watermark" and options.recover is not None:
        raise InputError("--recover is for watermarks, which let light through: fill others by `retouche run --mask`")
    if options.kind != "dust" and options.infrared is not None:
        raise InputError("--infrared is for --kind dust: leave it out")
    found = find(options.image, "--image")
    if left_out := found.left_out.words():
        terminal.warn(left_out)
    for folder in (options.output, options.recover):
        _empty(folder, options.overwrite)
    sources = list(found.pictures)
    return {"watermark": _watermark, "date": _date, "dust": _dust}[options.kind](options, sources)


def _empty(folder: Path | None, overwrite: bool) -> None:
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"{folder} holds files already: give another folder, or say --overwrite")


def _watermark(options: Options, sources: Sequence[FoundFile]) -> int:
    import numpy as np

    from retouche.finders.series import MOST, find_mark, same_size
    from retouche.pictures import open_picture

    series = same_size([source.path for source in sources])
    if series.left_out:
        terminal.warn(
            f"{len(series.left_out)} pictures are not {series.size[1]}x{series.size[0]} and were left out "
            f"(first: {series.left_out[0]}): run again on them alone"
        )
    with terminal.progress("looking", 2 * min(MOST, len(series.paths))) as advance:
        found = find_mark(series, advance)
    if found is None:
        terminal.complain(f"nothing is at the same place of all {len(series.paths)} pictures")
        return 1
    left, top, right, bottom = found.box
    hole = np.zeros(series.size, np.bool_)
    hole[top:bottom, left:right] = found.mark.mask
    _write_mask(hole, options.output / "mask.png")
    layer = np.zeros((*series.size, 4), np.uint8)
    opacity = found.mark.opacity[..., None]
    seen = np.where(opacity > 0, found.mark.colour, 0)
    layer[top:bottom, left:right] = np.rint(255 * np.concatenate([seen, opacity], -1)).astype(np.uint8)
    _write_mask(layer, options.output / "mark.png")
    chosen = set(series.paths)
    there = [source for source in sources if source.path in chosen]
    last = len(there) if options.recover is not None else SHOWN
    by_path = {source.path: source for source in there}
    steps = Steps(
        lambda job: open_picture(job.image),
        lambda picture: _recovered(picture, found),
        lambda job, made: _keep_recovered(by_path[job.image], found, options, *made),
    )
    panels, holes, failed = [], 0, 0
    for number, outcome in enumerate(_each(there[:last], steps, options, "recovering")):
        if outcome.error is not None:
            failed += 1
            continue
        picture, rest = outcome.report
        holes += bool(rest.any())
        if number < SHOWN:
            panels += _panels(by_path[outcome.job.image], hole, picture)
    _write_sheet(panels, options.output)
    share = float(hole.mean())
    strength = float(np.quantile(found.mark.opacity[found.mark.mask], 0.9))
    summary: dict[str, Any] = {
        "mask": str(options.output / "mask.png"),
        "box": list(found.box),
        "share": share,
        "opacity": strength,
        "pictures": len(there),
        "to_fill": holes if options.recover is not None else None,
        "failed": failed,
    }
    if options.json:
        terminal.show_json(summary)
        return 1 if failed else 0
    terminal.print_line(
        f"a mark of {share:.1%} of the picture, opacity {strength:.2f}; look at {options.output}/preview.png"
    )
    if options.recover is not None and holes:
        terminal.print_line(
            f"{holes} of {len(there)} pictures have parts that do not show through; fill them: "
            f"retouche run --image {options.recover} --mask {options.output / 'left'} --output DIR"
        )
    return 1 if failed else 0


def _recovered(picture: Picture, found: Any) -> tuple[Picture, Mask]:
    """The picture without its mark; and what of it is still to be filled, in the mark's box."""
    import torch

    from retouche.finders.series import values

    picture = picture.copy()
    beneath, rest = found.mark.removed(values(picture, found.box))
    image = torch.from_numpy(beneath).permute(2, 0, 1)[None] * 2 - 1
    weight = torch.from_numpy(found.mark.mask & ~rest)[None, None].float()
    picture.paste(image, found.box, weight)
    return picture, rest


def _keep_recovered(
    source: FoundFile, found: Any, options: Options, picture: Picture, rest: Mask
) -> tuple[Picture, Mask]:
    """Write both where asked for, and hand them on."""
    import numpy as np

    from retouche.pictures import write_picture

    if options.recover is not None:
        write_picture(picture, options.recover / source.relative, overwrite=options.overwrite, parents=True)
        hole = np.zeros((picture.height, picture.width), np.bool_)
        hole[found.box[1] : found.box[3], found.box[0] : found.box[2]] = rest
        # also where nothing is left: `run` wants a mask for every picture of a folder
        _write_mask(hole, options.output / "left" / source.relative.with_suffix(".png"))
    return picture, rest


def _date(options: Options, sources: Sequence[FoundFile]) -> int:
    import numpy as np

    from retouche.finders.date import Row, at_place, common_place, date_mask, find_row
    from retouche.finders.series import values
    from retouche.pictures import open_picture

    rows: dict[FoundFile, Row | None] = {}
    sizes: dict[FoundFile, tuple[int, int]] = {}
    failed, dated = 0, 0
    panels: list[Panel] = []
    by_path = {source.path: source for source in sources}
    search = Steps(
        lambda job: values(open_picture(job.image)),
        lambda image: (find_row(image), image.shape[:2]),
        lambda job, made: made,
    )
    for outcome in _each(sources, search, options, "looking"):
        if outcome.error is None:
            source = by_path[outcome.job.image]
            rows[source], sizes[source] = outcome.report
        failed += outcome.error is not None
    place = common_place(list(rows.values()), list(sizes.values()))

    def draw(given: tuple[Job, Any]) -> tuple[bool, Mask]:
        row = rows[by_path[given[0].image]]
        row = row if place is None else at_place(given[1], row, place)
        hole = np.zeros(given[1].shape[:2], np.bool_) if row is None else date_mask(given[1], row)
        return row is not None, hole

    def keep(job: Job, result: tuple[bool, Mask]) -> tuple[bool, Mask]:
        # also where there is none: `run` wants a mask for every picture of a folder
        _write_mask(result[1], job.output)
        return result

    again = Steps(lambda job: (job, values(open_picture(job.image))), draw, keep)
    for outcome in _each(list(rows), again, options, "drawing"):
        if outcome.error is not None:
            failed += 1
            continue
        there, hole = outcome.report
        dated += there
        if there and len(panels) < SHOWN:
            panels += _panels(by_path[outcome.job.image], hole)
    _write_sheet(panels, options.output)
    if options.json:
        summary = {"folder": str(options.output), "pictures": len(rows), "dated": dated, "place": place is not None}
        terminal.show_json({**summary, "failed": failed})
    elif rows:
        where = "" if place is None else ", at one place"
        look = f"; look at {options.output}/preview.png" if dated else ""
        terminal.print_line(f"{dated} of {len(rows)} pictures bear a date{where}{look}")
    return 1 if failed else 0


def _dust(options: Options, sources: Sequence[FoundFile]) -> int:
    from retouche.finders.dust import find_dust
    from retouche.finders.series import values
    from retouche.pictures import open_picture

    panels: list[Panel] = []
    shares: dict[str, float] = {}
    failed = 0
    by_path = {source.path: source for source in sources}

    def read(job: Job) -> tuple[Any, Any]:
        image = values(open_picture(job.image))
        if options.infrared is None:
            return image, None
        return image, _infrared(options.infrared, by_path[job.image], image.shape[:2])

    def keep(job: Job, hole: Mask) -> Mask:
        _write_mask(hole, job.output)
        return hole

    steps = Steps(read, lambda given: find_dust(given[0], options.widest, options.sensitivity, given[1]), keep)
    for number, outcome in enumerate(_each(sources, steps, options, "looking")):
        if outcome.error is not None:
            failed += 1
            continue
        source, hole = by_path[outcome.job.image], outcome.report
        if number < SHOWN:
            panels += _panels(source, hole)
        shares[str(source.relative)] = float(hole.mean())
    _write_sheet(panels, options.output)
    if options.json:
        terminal.show_json({"folder": str(options.output), "shares": shares, "failed": failed})
    elif shares:
        mean = sum(shares.values()) / len(shares)
        terminal.print_line(f"{len(shares)} masks, {mean:.2%} on average; look at {options.output}/preview.png")
    return 1 if failed else 0


def _each(sources: Sequence[FoundFile], steps: Steps, options: Options, doing: str) -> Iterator[Outcome]:
    """How the steps ended for each picture, in order; errors are reported at once."""
    jobs = [Job(source.path, None, options.output / source.relative.with_suffix(".png")) for source in sources]
    with terminal.progress(doing, len(jobs)) as advance:
        for number, outcome in enumerate(Inline(steps).run(jobs), 1):
            if outcome.error is not None:
                terminal.complain(f"failed: {outcome.job.image}: {outcome.error}")
            yield outcome
            advance(number)


def _infrared(folder: Path, source: FoundFile, size: tuple[int, ...]) -> Any:
    from retouche.finders.series import values
    from retouche.pictures import open_picture

    beside = (folder / source.relative).parent
    same = sorted(path for path in beside.glob("*") if path.stem == source.path.stem) if beside.is_dir() else []
    if len(same) != 1:
        raise InputError(f"{folder} holds {len(same)} pictures named {source.relative.with_suffix('')}: give one")
    picture = values(open_picture(same[0])).mean(-1)
    if picture.shape != size:
        raise InputError(f"{same[0]} is {picture.shape[1]}x{picture.shape[0]}, its picture {size[1]}x{size[0]}")
    return picture


def _panels(source: FoundFile, hole: Mask, recovered: Any = None) -> list[Panel]:
    from retouche.inference.sheet import Panel, mark_hole, pixels_rgb
    from retouche.pictures import open_picture

    pixels = pixels_rgb(open_picture(source.path))
    panels = [Panel(mark_hole(pixels, hole), f"{source.relative}\nfound: {hole.mean():.2%}")]
    if recovered is not None:
        panels.append(Panel(pixels_rgb(recovered), f"{source.relative}\nrecovered"))
    return panels


def _write_mask(values: Any, path: Path) -> None:
    from PIL import Image

    from retouche.files import atomic_write

    with atomic_write(path, parents=True) as temporary, temporary.open("wb") as file:
        Image.fromarray(values).save(file, "PNG")


def _write_sheet(panels: Sequence[Panel], folder: Path) -> None:
    import numpy as np

    from retouche.inference.sheet import contact_sheet

    if panels:
        _write_mask(np.asarray(contact_sheet(panels, longest=640, columns=2)), folder / "preview.png")
