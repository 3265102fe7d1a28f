"""Verify that nothing outside the hole has changed.

BEFORE and AFTER are compared in their own values (8 or 16 bit) outside MASK, grown as `retouche run` grows it; MASK may
be the word alpha, where the hole was the picture's transparency. The largest difference and its place are printed.
A JPEG, AVIF, HEIC or lossy WebP is encoded anew as a whole: with --lossy, each block away from the hole may differ by
what encoding BEFORE alone does to it, plus 2 levels (JPEG) or 12 (the others). Files of several pages (TIFF, GIF) are
judged page by page.
A picture that `run --extend` has made larger is compared where the original lies in it: say the same --extend, and MASK
only if there was one.

examples:
  retouche check photo.png filled.png mask.png
  retouche check photo.jpg filled.jpg mask.png --lossy
  retouche check photo.tif filled.tif mask.png --dilate 0 --json
  retouche check photo.png wider.png --extend left=200,right=10%

exit code: 0 kept, 1 violated, 2 bad input
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from retouche.apps.cli import flags, terminal
from retouche.errors import InputError
from retouche.pictures.formats import JPEG_SUFFIXES

if TYPE_CHECKING:
    from retouche.inference.verify import Verdict


LOSSY = (*JPEG_SUFFIXES, ".webp", ".avif", ".heic", ".heif")


@dataclass(frozen=True)
class Options:
    before: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="BEFORE")]
    """The picture that was filled."""
    after: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="AFTER")]
    """The result."""
    mask: Annotated[tyro.conf.Positional[Path | None], terminal.without_default("MASK|alpha")] = None
    """The mask it was filled with; left out where the picture was only extended."""
    dilate: Annotated[str, tyro.conf.arg(metavar="N|auto")] = "auto"
    """The --dilate it was filled with. auto: the longest side / 256, at least 1."""
    invert_mask: flags.InvertMask = False
    lossy: terminal.Switch = False
    """Allow what re-encoding alone does to a JPEG, AVIF, HEIC or lossy WebP."""
    extend: Annotated[str | None, terminal.without_default("SIDE=N[,SIDE=N ...]")] = None
    """The --extend it was filled with."""
    pages: Annotated[str | None, terminal.without_default("all|N|A-B")] = None
    """The --pages it was filled with; the other pages must be the same everywhere. Default: all."""
    json: flags.Json = False


def main(options: Options) -> int:
    """Compare, say the verdict."""
    if options.mask is None and options.extend is None:
        raise InputError("MASK is missing: give the mask it was filled with, or the word alpha")
    if options.extend is not None and options.pages is not None:
        raise InputError("--extend makes no files of several pages: leave out --pages")
    for path in (options.before, options.after, options.mask):
        if path is not None and not path.is_file() and not (path == options.mask and str(path) == "alpha"):
            raise InputError(f"{path} is not there" if not path.exists() else f"{path} is no file")
    from retouche.inference.verify import verify
    from retouche.inference.verify_pages import verify_pages

    alpha = options.mask is not None and str(options.mask) == "alpha" and not options.mask.exists()
    mask = None if alpha else options.mask
    files, dilation = (options.before, options.after, mask), terminal.dilation(options.dilate)
    several = None
    if options.extend is None:
        several = verify_pages(*files, dilation, pages=options.pages or "all", invert=options.invert_mask)
    if several is not None:
        return _show_pages(several, options)
    verdict = verify(
        *files, dilation, lossy=options.lossy, invert=options.invert_mask, extend=options.extend, alpha=alpha
    )
    if options.json:
        terminal.show_json(verdict.as_json())
    else:
        print(explain(verdict))
        if not verdict.kept and not options.lossy and options.after.suffix.lower() in LOSSY:
            terminal.warn(f"{options.after.name} may be lossy: --lossy allows for what encoding alone does")
    return 0 if verdict.kept else 1


def _show_pages(verdicts: list[Verdict], options: Options) -> int:
    """The verdicts of all pages; returns the exit code."""
    kept = all(verdict.kept for verdict in verdicts)
    if options.json:
        terminal.show_json({"kept": kept, "pages": [verdict.as_json() for verdict in verdicts]})
        return 0 if kept else 1
    for number, verdict in enumerate(verdicts, 1):
        for text in explain(verdict).splitlines():
            print(f"page {number}: {text}")
    print("kept" if kept else "violated")
    return 0 if kept else 1


def explain(verdict: Verdict) -> str:
    """The verdict in a line or a few."""
    outside = f"outside the mask (grown by {verdict.dilate} pixels)"
    if verdict.extended is not None:
        outside += " where the original lies"
    lines = []
    if verdict.where is not None:
        x, y = verdict.where
        lines.append(
            f"largest difference {outside}: {verdict.largest} at ({x}, {y}); "
            f"{verdict.changed} of {verdict.known} pixels differ"
        )
    elif verdict.kept:
        lines.append(f"largest difference {outside}: 0; all {verdict.known} pixels are identical")
    if (lossy := verdict.lossy) is not None:
        lines.append(
            f"{lossy.format}: re-encoding alone moves pixels by up to {lossy.reencoding}; beyond that {lossy.excess}, "
            f"allowed {lossy.tolerance}, in {lossy.block[0]}x{lossy.block[1]} blocks without hole "
            f"({lossy.judged} pixels judged; in blocks shared with the hole up to {lossy.shared})"
        )
    lines += [f"also: {text}" for text in verdict.differences]
    return "\n".join([*lines, "kept" if verdict.kept else "violated"])
