"""Verifying files of several pages or frames: filled pages outside the hole, all others everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from retouche.errors import InputError
from retouche.inference.verify import Verdict, compare, hole_of_alpha
from retouche.masks import open_mask
from retouche.pictures import open_picture
from retouche.pictures.pages import Pages, open_pages, page, selection


def verify_pages(
    before: Path,
    after: Path,
    mask: Path | None,
    dilation: int | None = None,
    *,
    pages: str = "all",
    invert: bool = False,
) -> list[Verdict] | None:
    """Compare two files page by page; None where neither holds several.

    Args:
        before: the file that was filled
        after: the result
        mask: its mask, for all pages or with as many; None = before's transparency
        dilation: pixels to grow the mask by; None = as filling does by itself
        pages: those that were filled, "all", "3", "2-5"
        invert: black is the hole

    Raises: InputError if a file cannot be read, the mask does not fit, or a page is not there
    """
    old, new = open_pages(before), open_pages(after)
    if not any(one is not None and (one.count > 1 or path.suffix.lower() == ".gif")
               for one, path in ((old, before), (new, after))):  # fmt: skip
        return None
    if old is None or new is None or old.count != new.count:
        counts = [1 if one is None else one.count for one in (old, new)]
        raise InputError(
            f"{before.name} has {counts[0]} pages but {after.name} has {counts[1]}: give what was made of it"
        )
    filled = range(old.count) if pages == "all" else selection(pages, old.count, before.name)
    masks = None if mask is None else open_pages(mask)
    one_mask = open_picture(mask) if mask is not None and masks is None else None
    if masks is not None and masks.count not in (1, old.count):
        raise InputError(
            f"{masks.name} has {masks.count} pages but {before.name} has {old.count}: give one, or as many"
        )
    verdicts = []
    for number in range(old.count):
        first, second = page(old, number), page(new, number)
        if number not in filled:
            hole = np.zeros((first.height, first.width), bool)
        elif mask is None:
            hole = hole_of_alpha(first, before)
        else:
            drawn = one_mask if masks is None else page(masks, number if masks.count > 1 else 0)
            assert drawn is not None
            hole, _ = open_mask(drawn, (first.height, first.width), invert=invert, name=mask.name)
        verdict = compare(first, second, hole, dilation, opaque=mask is None and number in filled)
        verdicts.append(_with_timing(verdict, old, new, number))
    return verdicts


def _with_timing(verdict: Verdict, old: Pages, new: Pages, number: int) -> Verdict:
    if old.timing[number] == new.timing[number]:
        return verdict
    return replace(verdict, differences=(*verdict.differences, "the page's time or name changed"))
