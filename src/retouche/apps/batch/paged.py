"""Filling files of several pages or frames, page by page."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from retouche.apps.batch.fill import Fill
from retouche.apps.batch.reading import Given, without_mask
from retouche.errors import InputError
from retouche.files import atomic_write
from retouche.folders.elsewhere import Far
from retouche.inference.report import Report
from retouche.masks import open_mask
from retouche.pictures import Picture, open_picture
from retouche.pictures.pages import Pages, open_pages, page, rewrite, selection
from retouche.runners.work import Job, Progress


@dataclass(frozen=True)
class GivenPages:
    """What one file's fills read: its pages, which of them, and the mask: one for all, or one for each, or alpha."""

    pages: Pages
    selected: range
    mask: Picture | Pages | None
    nbytes: int


@dataclass(frozen=True)
class FilledPages:
    """A file with filled pages, remarks, and one report about all that was filled."""

    content: bytes
    remarks: tuple[str, ...]
    report: Report


class Paged(Fill):
    """As `Fill`, for files of several pages too; one of a single picture is filled as ever."""

    def read(self, job: Job) -> Any:
        if isinstance(job.image, Far) or isinstance(job.mask, Far) or isinstance(job.output, Far):
            raise InputError("--pages reads and writes local files alone: copy them, or mount their folder")
        pages = open_pages(job.image)
        words = self.settings.pages
        assert words is not None
        if pages is None or (pages.count == 1 and job.image.suffix.lower() != ".gif"):
            selection(words, 1, job.image.name)
            return super().read(job)
        if _kind(job.image.suffix) != _kind(job.output.suffix):
            raise InputError(f"{job.output.name} cannot hold the pages of {job.image.name}: give it the same suffix")
        selected = range(pages.count) if words == "all" else selection(words, pages.count, job.image.name)
        mask: Picture | Pages | None = None
        if job.mask is not None:
            mask = open_pages(job.mask)
            if mask is None or mask.count == 1:
                mask = open_picture(job.mask) if mask is None else page(mask, 0)
            elif mask.count != pages.count:
                raise InputError(
                    f"{job.mask.name} has {mask.count} pages but {job.image.name} has {pages.count}: give a mask with "
                    "as many, or with one for all"
                )
        return GivenPages(pages, selected, mask, os.stat(job.image).st_size)

    def share(self, given: Any) -> float:
        return super().share(given) if isinstance(given, Given) else 1.0

    def make(self, job: Job, given: Any, progress: Progress | None) -> Any:
        if isinstance(given, Given):
            return super().make(job, given, progress)
        reports: list[Report] = []
        remarks: dict[str, None] = {}

        def fill(number: int, picture: Picture) -> Picture:
            done, count = len(reports), len(given.selected)
            on_progress = None if progress is None else lambda fraction: progress((done + fraction) / count)
            filled, report = super(Paged, self).make(job, self._given(job, given, number, picture), on_progress)
            reports.append(report)
            remarks.update(dict.fromkeys(report.remarks))
            return filled

        content = rewrite(given.pages, given.selected, fill)
        all_remarks = (f"{len(given.selected)} of {given.pages.count} pages filled", *remarks)
        report = replace(
            reports[0],
            holes=tuple(hole for one in reports for hole in one.holes),
            hole_ratio=sum(one.hole_ratio for one in reports) / len(reports),
            seconds=sum(one.seconds for one in reports),
            remarks=all_remarks,
        )
        return FilledPages(content, all_remarks, report)

    def _given(self, job: Job, given: GivenPages, number: int, picture: Picture) -> Given:
        if job.mask is None:
            return without_mask(picture, job.image, self.settings.alpha)
        mask = given.mask
        if mask is not None and not isinstance(mask, Picture):
            mask = page(mask, number)
        assert mask is not None
        size = (picture.height, picture.width)
        hole, remarks = open_mask(mask, size, invert=self.settings.invert, name=f"{job.mask.name}, page {number + 1}")
        return Given(picture, hole, tuple(remarks), tuple(open_mask(hole, size)[1]))

    def write(self, job: Job, result: Any) -> tuple[tuple[str, ...], Report]:
        if not isinstance(result, FilledPages):
            return super().write(job, result)
        with atomic_write(job.output, overwrite=self.settings.overwrite or job.again, parents=True) as temporary:
            temporary.write_bytes(result.content)
        return result.remarks, result.report


def _kind(suffix: str) -> str:
    return suffix.lower().replace(".tiff", ".tif")
