"""Filling one picture that comes, or goes, through a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from retouche.apps.batch.fill import Fill, Settings
from retouche.apps.batch.pipes import STDIN, STDOUT, is_pipe
from retouche.apps.batch.reading import Given, without_mask
from retouche.inference.report import Report
from retouche.masks import open_mask
from retouche.pictures import Picture, decode, encode, open_picture
from retouche.pictures.formats import BY_SUFFIX
from retouche.runners.work import Job


class Piped(Fill):
    """As `Fill`, with contents that have been read already, and an output that may be no file.

    Attributes:
        result: the filled picture's bytes, where its output is a pipe
    """

    def __init__(self, settings: Settings, contents: Mapping[Path, bytes], format: str | None = None) -> None:
        """Nothing is decoded yet.

        Args:
            contents: of the paths that are pipes
            format: of a piped output, a name in `formats.FORMATS`; None = by the pipe's suffix, or the picture's own
        """
        super().__init__(settings)
        self.contents, self.format = contents, format
        self.result = b""

    def read(self, job: Job) -> Given:
        picture = self._picture(job.image)
        picture.expendable = True
        if job.mask is None:
            return without_mask(picture, job.image, self.settings.alpha)
        size, name = (picture.height, picture.width), _name(job.mask)
        hole, remarks = open_mask(self._picture(job.mask), size, invert=self.settings.invert, name=name)
        return Given(picture, hole, tuple(remarks), tuple(open_mask(hole, size)[1]))

    def _picture(self, path: Path) -> Picture:
        return decode(self.contents[path], _name(path)) if path in self.contents else open_picture(path)

    def write(self, job: Job, result: tuple[Picture, Report]) -> tuple[tuple[str, ...], Report]:
        if not is_pipe(job.output, STDOUT):
            return super().write(job, result)
        filled, report = result
        known = list(filled.remarks)
        by_suffix = BY_SUFFIX.get(job.output.suffix.lower())
        self.result = encode(filled, self.format or (by_suffix.name if by_suffix else None), "the output")
        lost = tuple(text for text in filled.remarks if text not in known)
        report = replace(report, remarks=(*report.remarks, *lost))
        return report.remarks, report


def _name(path: Path) -> str:
    """What errors call it."""
    return "standard input" if str(path) in STDIN else path.name
