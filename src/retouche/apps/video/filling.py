"""Filling one hole through a film, so that it can be stopped and goes on.

First every frame's fill is made and kept beside the output, a chunk at a time, then the film is encoded in one go, so
that nobody sees where it was stopped. The output appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.apps.video.clip import Clip, frames, painted, pixels, write
from retouche.apps.video.steady import Invent, Steady
from retouche.errors import InputError
from retouche.files import atomic_write

CHUNK_BYTES = 32 << 20
CHUNK_FRAMES = 64
OURS = re.compile(r"(about\.json|\d{9}\.npz)")

Array = NDArray[Any]
FrameCallback = Callable[[int], None]


@dataclass
class Flicker:
    """Mean difference from frame to frame, in levels of 255: in the hole as filled, and around it.

    Attributes:
        inside, around: sums over frames
    """

    inside: float = 0.0
    around: float = 0.0
    count: int = 0
    last: Array | None = None

    def add(self, frame: Array, hole: Array, ring: Array) -> None:
        """A frame's window (h, w, 3), filled."""
        now = frame.astype(np.float32) * (255 / np.iinfo(frame.dtype).max)
        if self.last is not None:
            apart = np.abs(now - self.last).mean(axis=2)
            self.inside += float(apart[hole].mean())
            self.around += float(apart[ring].mean()) if ring.any() else 0.0
            self.count += 1
        self.last = now

    @property
    def means(self) -> tuple[float, float]:
        """Inside and around."""
        return self.inside / max(1, self.count), self.around / max(1, self.count)


@dataclass(frozen=True)
class Done:
    """How a film was filled.

    Attributes:
        frames: how many
        invented: of them filled anew, in whole or in part; the others took an earlier frame's fill along
        inside, around: mean difference from frame to frame, in levels
        resumed: frames that an earlier run had filled
    """

    frames: int
    invented: int
    inside: float
    around: float
    resumed: int


class Work:
    """The folder beside the output where a film's fills are kept until it is whole."""

    def __init__(self, output: Path, about: dict[str, Any]) -> None:
        """Go on with what is there, if it was made of the same; else begin anew."""
        self.folder = output.with_name(f".{output.name}.retouche")
        self.folder.mkdir(exist_ok=True)
        self.about = json.dumps(about, sort_keys=True)
        settings_file = self.folder / "about.json"
        if not settings_file.is_file() or settings_file.read_text() != self.about:
            self._empty()
            settings_file.write_text(self.about)

    def chunks(self) -> list[Path]:
        """In order."""
        return sorted(self.folder.glob("?????????.npz"))

    def add(self, first: int, fills: list[Array], state: dict[str, Array]) -> None:
        """Keep the fills of frames in a row, whole or not at all."""
        with atomic_write(self.folder / f"{first:09}.npz") as path, path.open("wb") as file:
            held: dict[str, Any] = {"fills": np.stack(fills), **state}
            np.savez_compressed(file, **held)

    def fills(self) -> Iterator[Array]:
        """(pixels of the hole, 3), frame by frame."""
        for path in self.chunks():
            with np.load(path) as chunk:
                yield from chunk["fills"]

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if OURS.fullmatch(path.name):
                path.unlink()

    def remove(self) -> None:
        """Nothing of it is needed any more."""
        self._empty()
        if not any(self.folder.iterdir()):
            os.rmdir(self.folder)


def fill_clip(
    clip: Clip,
    hole: Array,
    weight: Array,
    invent: Invent,
    output: Path,
    about: dict[str, Any],
    on_progress: FrameCallback,
    on_written: FrameCallback,
) -> Done:
    """Fill a hole through a film.

    Args:
        hole: (H, W) bool, as stored, grown
        weight: (H, W) float, 0..1, how much of the fill each pixel takes
        invent: fills a frame
        output: a film's file; replaced if it is there
        about: what decides over the fills
        on_progress, on_written: called with the number of frames filled, and written

    Raises: InputError
    """
    work = Work(output, about)
    steady, flicker = Steady(hole, invent), Flicker()
    inside, ring = hole[steady.at], ~hole[steady.at]
    share = weight[steady.at][inside][:, None]
    done = 0
    if (kept := work.chunks()) and (last := _usable(kept[-1])) is not None:
        done = int(kept[-1].stem) + len(last["fills"])
        steady.restore(last)
        flicker.inside, flicker.around, flicker.count = (
            last["flicker"][0],
            last["flicker"][1],
            int(last["flicker"][2]),
        )
    elif kept:
        raise InputError(f"{kept[-1]} is damaged: remove its folder and begin anew")
    resumed, fills = done, list[Array]()
    count = 0

    def keep() -> None:
        numbers = np.array([flicker.inside, flicker.around, flicker.count])
        work.add(count - len(fills), fills, {**steady.state(), "flicker": numbers})
        fills.clear()

    for frame in frames(clip.path):
        count += 1
        if count <= done:
            continue
        if (frame.height, frame.width) != hole.shape:
            raise InputError(
                f"frame {count} of {clip.path.name} is {frame.width}x{frame.height}: cut the film there first"
            )
        if frame.pts is None:
            raise InputError(f"frame {count} of {clip.path.name} has no time: convert the film first")
        before = pixels(frame)
        window = steady.fill(before)
        old = before[steady.at][inside].astype(np.float32)
        mixed = old + share * (window[inside] - old)
        window[inside] = np.rint(mixed).astype(window.dtype)
        flicker.add(window, inside, ring)
        fills.append(window[inside])
        if len(fills) >= CHUNK_FRAMES or sum(part.nbytes for part in fills) >= CHUNK_BYTES:
            keep()
        on_progress(count)
    if fills:
        keep()
    if count < done or not count:
        raise InputError(f"{clip.path.name} has {count} frames, {done} are filled already: remove {work.folder}")
    _write(clip, hole, output, work, on_written)
    work.remove()
    return Done(count, steady.invented, *flicker.means, resumed)


def _usable(path: Path) -> dict[str, Array] | None:
    try:
        with np.load(path) as chunk:
            return {name: chunk[name] for name in chunk.files}
    except (OSError, ValueError, KeyError):
        return None


def _write(clip: Clip, hole: Array, output: Path, work: Work, on_progress: FrameCallback) -> None:
    fills = work.fills()

    def change(number: int, frame: Any) -> Any:
        rgb = pixels(frame)
        fill = next(fills, None)
        if fill is None:
            raise InputError(f"{clip.path.name} has changed meanwhile: run the same command again")
        rgb[hole] = fill
        on_progress(number + 1)
        return painted(frame, rgb, hole)

    with atomic_write(output) as temporary:
        write(clip, temporary, output.suffix.lower(), change)
