"""Fill the holes of a picture, of a folder, of a glob or of a list of pictures.

Nothing outside the mask (grown by --dilate) changes: same pixels, size, bit depth, colour profile and alpha.
White in the mask is the hole. Masks of a folder are found by name: photos/a.jpg goes with masks/a.png or
masks/a_mask.png; one mask may serve all pictures; without --mask the hole is where a picture is transparent.

examples:
  retouche run --image photo.jpg --mask mask.png --output filled.jpg
  retouche run --image photo.png --output filled.png                     (the hole is the transparent part)
  retouche run --image photos/ --mask masks/ --output filled/ --resume   (again after a stop: does the rest)
  retouche run --image "photos/**/*.png" --mask logo.png --output filled/ --model harmonic --workers 4
  retouche run --image photos/ --mask masks/ --output filled/ --cluster auto --resume
  retouche run --image list.txt --mask masks/ --output filled/ --json > filled.jsonl
  retouche run --image scan.tif --mask mask.png --output filled.tif --pages 2-5
  cat photo.jpg | retouche run --image - --mask mask.png --output - > filled.jpg
  retouche run --image photo.jpg --output wider.jpg --extend left=200,right=10%   (--mask may go with it)

exit code: 0 done, 1 some pictures of a batch failed (listed at the end), 2 nothing done: wrong use or bad input
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from retouche.apps.batch.pairing import ALPHA, Plan, absolute, plan
from retouche.apps.batch.pipes import STDIN, STDOUT, check_receiver, deliver, is_pipe, read_pipes
from retouche.apps.cli import flags, folder_runs, terminal
from retouche.errors import InputError
from retouche.pictures.formats import FORMATS
from retouche.pictures.margins import SIDES, parsed
from retouche.runners.work import Facts, Outcome, Runner

if TYPE_CHECKING:
    from retouche.apps.batch.fill import Settings
    from retouche.inference.report import Report


@dataclass(frozen=True)
class Options:
    image: Annotated[tuple[str, ...], tyro.conf.arg(metavar="P [P ...]")]
    """What to fill: a file, a folder (with its subfolders), a glob in quotes, a list file (.txt, a path a line), or a
    pipe: - is standard input."""
    output: Annotated[str, tyro.conf.arg(metavar="P")]
    """Where to write. A folder if it exists as one, ends in a slash or the input is many (names, subfolders and
    formats are kept); else a file, its format by its suffix; - is standard output."""
    mask: Annotated[tuple[str, ...], terminal.without_default("P|alpha")] = ()
    """The hole, white on black, of the picture's size: a file, folder, glob, list file or pipe. "alpha", or nothing,
    takes it from where the picture is transparent; the result is opaque."""
    model: flags.ModelName = "default"
    device: flags.Device = "auto"
    engine: flags.EngineName = None
    sketch: Annotated[str | None, terminal.without_default("P")] = None
    """White strokes on black that the fill should follow, for models that listen to them: a file, or a folder."""
    structure: Annotated[str | None, terminal.without_default("P")] = None
    """A smoothed picture that keeps the edges, for models that take one: a file, or a folder."""
    dilate: Annotated[str, tyro.conf.arg(metavar="N|auto")] = "auto"
    """Grow the hole by N pixels. auto: the longest side / 256, at least 1. 0: exactly the mask."""
    feather: flags.Feather = "auto"
    invert_mask: flags.InvertMask = False
    extend: Annotated[str | None, terminal.without_default("SIDE=N[,SIDE=N ...]")] = None
    """Enlarge the canvas and fill what is new: left, top, right, bottom, in pixels or percent of the picture's side.
    Masks are of the picture's own size and may be left out; guides are of the new size."""
    refine: terminal.Switch = False
    """Let the model refine its fill of large pictures, where it can (lama): many times slower."""
    precision: flags.Precision = "32"
    compile: flags.Compile = False
    memory: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "2GiB"
    """What one pass of the model may take; larger pictures are cropped, scaled or tiled to fit."""
    threads: flags.ThreadsOfEach = None
    workers: Annotated[int | None, terminal.without_default("N")] = None
    """Processes that fill a batch side by side. Default: one; on a cluster as many as there is room for."""
    cluster: Annotated[str | None, terminal.without_default("auto|ADDRESS")] = None
    """Fill a batch on the machines of a Ray cluster, which see the files at the same paths (extra: batch). auto: the
    cluster this machine belongs to."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """For models that draw at random: the same seed gives the same bytes."""
    manifest: Annotated[Literal["jsonl", "parquet"], tyro.conf.arg(metavar="jsonl|parquet")] = "jsonl"
    """How a batch's record is written: manifest.jsonl, or at the end manifest.parquet with the same rows beside it."""
    resume: terminal.Switch = False
    """Skip the pictures that an earlier run with the same files, options and model has done
    (OUTPUT/manifest.jsonl says so)."""
    overwrite: flags.Overwrite = False
    report: terminal.Switch = False
    """Say what was done: strategy for each hole, crop, scale, passes, seconds, memory."""
    json: flags.JsonOfEach = False
    pages: Annotated[str | None, terminal.without_default("all|N|A-B")] = None
    """Fill these pages of TIFFs and frames of GIFs, counted from 1, each with the one mask, or with its own of a mask
    file of as many pages. All others, times and loops are kept."""
    format: Annotated[str | None, terminal.without_default("F")] = None
    """Of what goes into a pipe: png, jpeg, webp, tiff, bmp, avif, heif or jxl. Default: the picture's own."""
    config: Annotated[str | None, tyro.conf.Suppress] = None
    """IOPaint's file of settings, which say nothing to these models: accepted and left aside."""
    model_dir: Annotated[str | None, tyro.conf.Suppress] = None
    """IOPaint's folder of models: accepted and left aside."""


def main(options: Options) -> int:
    """Settle everything first, then fill."""
    dilate, feather = terminal.dilation(options.dilate), terminal.dilation(options.feather)
    memory = terminal.parse_bytes(options.memory)
    if options.extend is not None:
        parsed(options.extend)
        if options.pages is not None:
            raise InputError(
                "--extend makes pictures larger, which the pages of one file cannot become: leave out --pages"
            )
    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers is {options.workers}: give 1 or more")
    if options.manifest == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InputError("--manifest parquet needs PyArrow: pip install 'retouche[batch]'")
    if options.engine == "openvino" and (options.workers or 1) > 1:
        raise InputError("--engine openvino takes all cores in one process: leave out --workers, or say --engine onnx")
    if options.pages is not None:
        from retouche.pictures.pages import selection

        selection(options.pages)
    planned = folder_runs.plan_beside(
        lambda: plan(
            options.image,
            options.mask,
            options.output,
            sketch=options.sketch,
            structure=options.structure,
            overwrite=options.overwrite,
            resume=options.resume,
            pipes=options.pages is None,
            pages=options.pages is not None,
        ),
        options.workers or 1,
        "retouche.apps.batch.fill",
    )
    contents = _through_pipes(planned, options)
    for text in planned.remarks:
        terminal.warn(text)
    for flag, value in (("--config", options.config), ("--model-dir", options.model_dir)):
        if value is not None:
            terminal.warn(f"{flag} is IOPaint's and has no effect here")

    workers = min(options.workers or 1, len(planned.jobs))
    far = options.cluster is not None
    ahead = None
    # torch is loaded only now: what is wrong with the paths of one process is reported at once
    with terminal.loading():
        if workers == 1 and not far and contents is None and options.pages is None:
            from retouche.apps.batch.reading import ReadAhead

            ahead = ReadAhead(planned.jobs[0], options.invert_mask, _from_alpha(options))
        from retouche.apps.batch.fill import Fill, Settings
        from retouche.inference.devices import choose_device

    threads = (options.threads or 1) if far else folder_runs.share_of_threads(options.threads, workers)
    settings = Settings(
        model=os.path.abspath(options.model) if far and os.path.exists(options.model) else options.model,
        device=options.device,
        engine=options.engine,
        threads=threads,
        dilate=dilate,
        feather=feather,
        refine=options.refine,
        precision=options.precision,
        compile=options.compile,
        invert=options.invert_mask,
        extend=options.extend,
        alpha=_from_alpha(options),
        memory=memory,
        seed=options.seed,
        overwrite=options.overwrite or options.resume,
        pages=options.pages,
    )
    work = Fill(settings, ahead)
    if options.pages is not None:
        from retouche.apps.batch.paged import Paged

        work = Paged(settings)
    runner: Runner
    if contents is not None:
        return _piped(planned, settings, contents, options)
    if options.cluster is not None:
        from retouche.runners.cluster import Cluster

        gpu = {"auto": None, "cpu": False}.get(options.device, True)
        runner = Cluster(work, options.cluster, options.workers, threads or 1, gpu=gpu)
        planned = absolute(planned)
    else:
        if workers == 1:
            terminal.set_threads(threads)
        elif terminal.is_ours():
            terminal.set_threads(1)  # so that loading starts no threads, which would not survive a fork
        device = str(choose_device(options.device).device)
        runner = folder_runs.local(work, workers, planned, device=device)
    return folder_runs.run_all(
        planned,
        runner,
        "filling",
        resume=options.resume,
        show=lambda outcome: _show(outcome, options),
        check=lambda facts: _check_guides(facts, options),
        parquet=options.manifest == "parquet",
    )


def _through_pipes(planned: Plan, options: Options) -> dict[Path, bytes] | None:
    """What has come through pipes; None where there are none."""
    job = planned.jobs[0]
    receives = is_pipe(job.output, STDOUT)
    sends = {"--image": job.image} if job.mask is None else {"--image": job.image, "--mask": job.mask}
    if options.format is not None and not receives:
        raise InputError("--format is for pipes: the suffix of --output says a file's format")
    if options.format is not None and options.format.upper() not in FORMATS:
        known = ", ".join(name.lower() for name in FORMATS)
        raise InputError(f'no format "{options.format}": known are {known}')
    if planned.folder is not None or not (receives or any(is_pipe(path, STDIN) for path in sends.values())):
        return None
    if options.cluster is not None:
        raise InputError("--cluster reads files that all machines see, no pipes: give files")
    if receives and options.json and str(job.output) in STDOUT:
        raise InputError("--json and the picture would both go to standard output: leave one out")
    check_receiver(job.output)
    return read_pipes(sends)


def _piped(planned: Plan, settings: Settings, contents: dict[Path, bytes], options: Options) -> int:
    """Fill one picture that comes or goes through a pipe."""
    from retouche.apps.batch.piped import Piped

    terminal.set_threads(settings.threads)
    work = Piped(settings, contents, options.format and options.format.upper())

    def show(outcome: Outcome) -> None:
        if work.result:
            deliver(work.result, outcome.job.output)
        if str(outcome.job.output) not in STDOUT:
            _show(outcome, options)
        elif options.report and outcome.report is not None:
            for text in _explain(outcome.report).splitlines():
                terminal.complain(text)

    return folder_runs.run_all(
        planned,
        folder_runs.local(work, 1, planned),
        "filling",
        resume=False,
        show=show,
        check=lambda facts: _check_guides(facts, options),
    )


def _from_alpha(options: Options) -> bool:
    """Whether pictures without a mask have their hole where they are transparent."""
    return options.extend is None or list(options.mask) == [ALPHA]


def _check_guides(facts: Facts, options: Options) -> None:
    for word, given in (("sketch", options.sketch), ("structure", options.structure)):
        if given is not None and word not in facts.conditioning:
            raise InputError(
                f'model "{options.model}" takes no {word}: leave --{word} out, or choose a model that does'
            )


def _show(outcome: Outcome, options: Options) -> None:
    """A picture's result on stdout."""
    job, report = outcome.job, outcome.report
    if options.json:
        without = ALPHA if _from_alpha(options) else None
        line = {"mask": without if job.mask is None else str(job.mask), **folder_runs.line(outcome)}
        if report is not None:
            line["strategy"] = report.strategy
            if options.report:
                line["report"] = report.as_json()
        terminal.show_json(line)
    elif report is not None:
        terminal.print_line(job.output)
        if options.report:
            print(_explain(report), flush=True)


def _explain(report: Report) -> str:
    """A report for people."""
    lines = [
        f"  {report.width}x{report.height}, {100 * report.hole_ratio:.2f} % hole, grown by {report.dilate} pixels, "
        f"soft edge {report.feather}; model {report.model} ({report.method}) on {report.device}, "
        f"{report.seconds:.2f} s, peak {terminal.show_bytes(report.peak_memory_bytes)}"
    ]
    if report.extended is not None:
        added = ", ".join(f"{side} {pixels}" for side, pixels in zip(SIDES, report.extended, strict=True) if pixels)
        lines.append(f"  extended by pixels: {added}")
    for hole in report.holes:
        left, top, right, bottom = hole.box
        lines.append(
            f"  hole {right - left}x{bottom - top} at ({left}, {top}): {hole.strategy}, seen at {hole.scale:.2g} of "
            f"its size in a crop of {hole.crop[2] - hole.crop[0]}x{hole.crop[3] - hole.crop[1]}, "
            f"{hole.passes} pass{'es' if hole.passes > 1 else ''}"
            + (f", by {hole.method}: {hole.why}" if hole.why else "")
        )
    return "\n".join(lines)
