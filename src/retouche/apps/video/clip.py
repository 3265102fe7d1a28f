"""Films by PyAV (extra `video`): frames out, frames in, all else in the file as it was.

A frame keeps its own planes and values but for the hole's; then the film is encoded anew, finely, by the codec it had.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError, reason

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
}
# A codec -> who writes it, so finely that hardly anybody sees a difference
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"crf": "17"}),
    "hevc": ("libx265", {"crf": "19", "x265-params": "log-level=error"}),
    "vp8": ("libvpx", {"crf": "6", "b": "20M"}),
    "vp9": ("libvpx-vp9", {"crf": "20", "b": "0"}),
    "av1": ("libsvtav1", {"crf": "20"}),
    "ffv1": ("ffv1", {}),
    "prores": ("prores_ks", {}),
    "mpeg4": ("mpeg4", {}),
    "mjpeg": ("mjpeg", {}),
}
RICHER = 1.5  # bits of a codec without a scale of quality, against the source's
_PLAIN = {"nv12": "yuv420p", "nv21": "yuv420p", "p010le": "yuv420p10le", "yuyv422": "yuv422p", "uyvy422": "yuv422p"}
_UNKNOWN = 2  # a colour space that is not given
_RGB_RANGE = 2

Array = NDArray[Any]


def library() -> Any:
    """PyAV. Raises: InputError where it is missing"""
    try:
        return importlib.import_module("av")
    except ImportError:
        raise InputError('video needs PyAV: pip install "retouche[video]"') from None


@dataclass(frozen=True)
class Clip:
    """What a film's file says of itself.

    Attributes:
        width, height: of the frames as stored, pixels
        quarters: how many quarter turns, anticlockwise, show them upright
        frames: how many, as far as the file states; 0 = unknown
        codec: "h264", ...
        left_out: streams that are not copied, in words
    """

    path: Path
    width: int
    height: int
    quarters: int
    frames: int
    codec: str
    left_out: tuple[str, ...]

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width as displayed."""
        return (self.width, self.height) if self.quarters % 2 else (self.height, self.width)


@contextmanager
def _border(path: Path, verb: str) -> Iterator[None]:
    """Whatever FFmpeg stumbles over becomes one line."""
    try:
        yield
    except (InputError, BrokenPipeError):
        raise
    except Exception as error:
        raise InputError(f"{path.name} cannot be {verb} ({reason(error)}): it is damaged, or no film") from error


def examined(path: Path) -> Clip:
    """Look at a film. Raises: InputError"""
    av = library()
    with _border(path, "read"), av.open(str(path)) as file:
        video = _video(file, path)
        first = next(file.decode(video), None)
        if first is None:
            raise InputError(f"{path.name} holds no frame that can be decoded: it is damaged")
        turn = round(getattr(first, "rotation", 0) or 0)
        if turn % 90:
            raise InputError(f"{path.name} is shown turned by {turn} degrees: turn it by a right angle first")
        seconds = float(video.duration * video.time_base) if video.duration else (file.duration or 0) / 1e6
        count = video.frames or round(seconds * float(video.average_rate or 0))
        left = [f"{stream.type} stream {stream.index}" for stream in file.streams
                if stream is not video and not _copied(stream)]  # fmt: skip
        if video.codec_context.name and (codec := video.codec_context.codec.canonical_name) not in ENCODERS:
            known = ", ".join(sorted(ENCODERS))
            raise InputError(f"{path.name} is {codec}, which is not written here: convert it to one of {known} first")
        return Clip(path, first.width, first.height, turn // 90 % 4, count, codec, tuple(left))


def _video(file: Any, path: Path) -> Any:
    if not file.streams.video:
        raise InputError(f"{path.name} holds no pictures: give a film")
    video = file.streams.best("video") or file.streams.video[0]
    video.thread_type = "AUTO"
    return video


def _copied(stream: Any) -> bool:
    return stream.type in ("audio", "subtitle")


def frames(path: Path) -> Iterator[Any]:
    """The frames as stored, in the order they are shown. Raises: InputError"""
    av = library()
    with _border(path, "read"), av.open(str(path)) as file:
        yield from file.decode(_video(file, path))


def pixels(frame: Any) -> Array:
    """(H, W, 3) RGB, uint8, or uint16 where the film has more than 8 bits."""
    deep = max(component.bits for component in frame.format.components) > 8
    colours = {} if frame.colorspace == _UNKNOWN else {"src_colorspace": frame.colorspace}
    rgb = frame.reformat(format="rgb48le" if deep else "rgb24", dst_color_range=_RGB_RANGE, **colours)
    return np.asarray(rgb.to_ndarray())


def painted(frame: Any, rgb: Array, hole: Array) -> Any:
    """The frame with other pixels in a hole; all others keep their values.

    Args:
        rgb: (H, W, 3), of which only the hole and what is around it counts
        hole: (H, W) bool
    """
    av = library()
    if frame.format.name in _PLAIN:
        frame = frame.reformat(format=_PLAIN[frame.format.name])
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    top, left = (max(0, int(at[0]) - 8) // 8 * 8 for at in (rows, columns))
    bottom, right = (
        min(side, (int(at[-1]) + 16) // 8 * 8) for at, side in zip((rows, columns), hole.shape, strict=True)
    )
    part = np.ascontiguousarray(rgb[top:bottom, left:right])
    result = av.VideoFrame.from_ndarray(part, format="rgb48le" if part.dtype == np.uint16 else "rgb24")
    colours = {} if frame.colorspace == _UNKNOWN else {"dst_colorspace": frame.colorspace}
    result = result.reformat(
        format=frame.format.name, src_color_range=_RGB_RANGE, dst_color_range=frame.color_range, **colours
    )
    frame.make_writable()  # its decoder may still look at it
    for old, new in zip(frame.planes, result.planes, strict=True):
        ratio = (round(frame.height / old.height), round(frame.width / old.width))
        target, source = _samples(old, frame), _samples(new, result)
        y, x = top // ratio[0], left // ratio[1]
        there = _any(hole[top:bottom, left:right], ratio)
        height, width = min(there.shape[0], source.shape[0]), min(there.shape[1], source.shape[1])
        there = there[:height, :width]
        target[y : y + height, x : x + width][there] = source[:height, :width][there]
    return frame


def _samples(plane: Any, frame: Any) -> Array:
    """(h, w, k) bytes of a plane's samples; writing to it writes to the plane."""
    size = plane.line_size
    rows = np.frombuffer(plane, np.uint8).reshape(-1, size)[: plane.height]
    packed = len(frame.planes) == 1 and len(frame.format.components) > 1
    deep = max(component.bits for component in frame.format.components) > 8
    width = (len(frame.format.components) if packed else 1) * (2 if deep else 1)
    return rows[:, : plane.width * width].reshape(plane.height, plane.width, width)


def _any(hole: Array, ratio: tuple[int, int]) -> Array:
    """(h, w), whether any pixel of a coarser sample is hole."""
    padded = np.pad(hole, [(0, -side % step) for side, step in zip(hole.shape, ratio, strict=True)])
    return np.asarray(padded.reshape(padded.shape[0] // ratio[0], ratio[0], -1, ratio[1]).any(axis=(1, 3)))


def write(clip: Clip, target: Path, suffix: str, change: Callable[[int, Any], Any]) -> None:
    """Encode a film anew with changed frames; sound and subtitles are copied.

    Args:
        target: an open file's path, without suffix
        suffix: which container it is to be
        change: a frame's number and the frame -> the frame to be written

    Raises: InputError
    """
    av = library()
    with _border(clip.path, "written"), av.open(str(clip.path)) as file:
        video = _video(file, clip.path)
        with av.open(str(target), "w", format=CONTAINERS[suffix]) as out:
            out.metadata.update(file.metadata)
            result = _encoder(out, video, clip)
            copies = {stream.index: out.add_stream_from_template(stream) for stream in file.streams if _copied(stream)}
            number = 0
            for packet in file.demux([video, *(file.streams[index] for index in copies)]):
                if packet.stream.index in copies:
                    if packet.dts is not None:
                        packet.stream = copies[packet.stream.index]
                        out.mux(packet)
                    continue
                for frame in packet.decode():
                    frame = change(number, frame)
                    frame.pict_type = 0  # as the encoder likes
                    out.mux(result.encode(frame))
                    number += 1
            out.mux(result.encode(None))
    _turn(clip, target, suffix)


def _encoder(out: Any, video: Any, clip: Clip) -> Any:
    name, options = ENCODERS[clip.codec]
    old = video.codec_context
    result = out.add_stream(name, rate=video.average_rate or Fraction(25), options=dict(options))
    new = result.codec_context
    new.width, new.height = clip.width, clip.height
    new.pix_fmt = _PLAIN.get(old.pix_fmt, old.pix_fmt)
    fine = clip.codec != "mpeg4" or video.time_base.denominator < 1 << 16  # which cannot count finer
    new.time_base = result.time_base = video.time_base if fine else Fraction(1, 60000)
    if old.sample_aspect_ratio:
        new.sample_aspect_ratio = old.sample_aspect_ratio
    for word in ("color_range", "colorspace", "color_primaries", "color_trc"):
        setattr(new, word, getattr(old, word))
    if clip.codec == "hevc" and out.format.name in ("mp4", "mov"):
        new.codec_tag = "hvc1"
    if not options and clip.codec != "ffv1" and (rate := old.bit_rate or (video.container.bit_rate or 0)):
        new.bit_rate = int(RICHER * rate)
    result.metadata.update(
        {key: value for key, value in video.metadata.items() if key.lower() in ("language", "title")}
    )
    return result


# Turned films: MP4 and MOV hold a matrix in the header of each track (ISO/IEC 14496-12, 8.3.2) ------------------------


def _turn(clip: Clip, target: Path, suffix: str) -> None:
    if not clip.quarters:
        return
    if CONTAINERS[suffix] not in ("mp4", "mov"):
        raise InputError(f"{clip.path.name} is shown turned, which {suffix} cannot say: give --output .mp4 or .mov")
    one, zero, unit = 1 << 16, 0, 1 << 30
    width, height = clip.width << 16, clip.height << 16
    matrix = {
        1: (zero, -one, zero, one, zero, zero, zero, width, unit),
        2: (-one, zero, zero, zero, -one, zero, width, height, unit),
        3: (zero, one, zero, -one, zero, zero, height, zero, unit),
    }[clip.quarters]
    with open(target, "r+b") as file:
        place = _video_track(file)
        if place is None:
            raise InputError(f"{clip.path.name} is shown turned, which could not be kept: turn it first")
        file.seek(place)
        file.write(struct.pack(">9i", *matrix))


def _video_track(file: Any) -> int | None:
    """Where the matrix of the first track of pictures is."""
    for start, end in _boxes(file, 0, file.seek(0, 2), b"moov"):
        for first, last in _boxes(file, start, end, b"trak"):
            for header, _ in _boxes(file, first, last, b"tkhd"):
                file.seek(header)
                long = file.read(1) == b"\1"
                file.seek(header + (88 if long else 76))
                if struct.unpack(">II", file.read(8)) != (0, 0):  # width and height: sound has none
                    return int(header + (52 if long else 40))
    return None


def _boxes(file: Any, start: int, end: int, kind: bytes) -> Iterator[tuple[int, int]]:
    while start + 8 <= end:
        file.seek(start)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            head = 16
        size = size or end - start
        if size < head:
            return
        if name == kind:
            yield start + head, start + size
        start += size
