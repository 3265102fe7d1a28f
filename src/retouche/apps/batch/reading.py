"""What a fill reads: picture and mask, or the hole that a picture's alpha draws. Nothing here needs PyTorch."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from retouche.errors import InputError
from retouche.folders.elsewhere import Far
from retouche.masks import open_mask
from retouche.pictures import Picture, open_picture
from retouche.runners.work import Job


@dataclass(frozen=True)
class Given:
    """What one fill reads: the picture, the hole (H, W), remarks on the mask, and which of them the model repeats."""

    picture: Picture
    hole: np.ndarray
    remarks: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """What it holds in memory, and after it what becomes of it."""
        return int(self.picture.pixels.nbytes + self.hole.nbytes)


def read_given(job: Job, invert: bool, alpha: bool) -> Given:
    """Picture and mask of a job.

    Args:
        invert: white is known, black is hole
        alpha: without a mask, the hole is where the picture is transparent; else there is none

    Raises: RetoucheError, OSError
    """
    picture = open_picture(job.image)
    picture.expendable = True
    if job.mask is None:
        return without_mask(picture, job.image, alpha)
    size = (picture.height, picture.width)
    stamp = job.mask.stamp() if isinstance(job.mask, Far) else os.stat(job.mask)
    mark = str(stamp) if isinstance(stamp, dict) else f"{stamp.st_size} {stamp.st_mtime_ns}"
    return Given(picture, *_read_mask(job.mask, size, invert, mark))


def without_mask(picture: Picture, path: Path, alpha: bool) -> Given:
    """What is filled of a picture that comes without a mask, beside the room that is added."""
    hole = transparent(picture, path) if alpha else np.zeros((picture.height, picture.width), np.bool_)
    return Given(picture, hole)


class ReadAhead:
    """The first picture, read by a thread while this one imports PyTorch: decoding leaves the interpreter alone."""

    def __init__(self, job: Job, invert: bool, alpha: bool) -> None:
        """Begin. Whatever goes wrong is raised where the result is asked for."""
        self.job = job
        self._given: Given | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, args=(invert, alpha), daemon=True)
        self._thread.start()

    def _read(self, invert: bool, alpha: bool) -> None:
        try:
            self._given = read_given(self.job, invert, alpha)
        except BaseException as error:
            self._error = error

    def result(self) -> Given:
        """What was read, once.

        Raises: as `read_given`
        """
        self._thread.join()
        given, self._given = self._given, None
        if given is None:
            assert self._error is not None
            raise self._error
        return given


@lru_cache(maxsize=2)  # one mask may serve all pictures
def _read_mask(
    path: Path, size: tuple[int, int], invert: bool, mark: str
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """The hole, remarks on it, and which the model will repeat. The mark distinguishes files of one name."""
    hole, remarks = open_mask(path, size, invert=invert)
    hole.flags.writeable = False
    return hole, tuple(remarks), tuple(open_mask(hole, size)[1])


def opaque(pixels: np.ndarray) -> float:
    """The alpha value that hides what is behind: the dtype's largest, 1 for floats."""
    return np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1.0


def transparent(picture: Picture, path: Path) -> np.ndarray:
    """The hole that a picture's alpha draws: where it is more transparent than opaque.

    Returns: (H, W) bool
    Raises: InputError if the picture has no alpha or no transparent pixel
    """
    alpha = picture.alpha()
    if alpha is None:
        raise InputError(f"{path} has no alpha to take the hole from: give --mask")
    hole = np.asarray(alpha <= opaque(alpha) / 2)
    if not hole.any():
        raise InputError(f"{path} has no transparent pixels to take the hole from: give --mask")
    return hole
