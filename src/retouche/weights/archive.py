"""Zip archives of uncompressed files, as `torch.save` writes them: a table of names, each a part of the archive.

Python's own reader makes an object of every entry and unpacks what an archive asks for; here entries are counted, none
is unpacked, and none lies outside the archive.

Format: PKWARE's APPNOTE 6.3.
"""

from __future__ import annotations

import struct

from retouche.errors import WeightsError
from retouche.weights.border import TENSORS, Stream, damaged

END, END_64, PLACE_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
ENTRY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
COMMENT_BYTES = 65535
ENTRIES = 2 * TENSORS


def read_archive(stream: Stream) -> dict[str, memoryview]:
    """The files in a zip archive: name -> bytes, in the archive's order.

    Raises: WeightsError if it is cut, damaged, compressed, or has more entries than a weight file has
    """
    view = stream.view
    tail_start = max(0, len(view) - COMMENT_BYTES - 22)
    tail = view[tail_start:].tobytes()
    found = tail.rfind(END)
    if found < 0 or found + 22 > len(tail):
        raise WeightsError("is cut short (its table of contents is missing): fetch it anew")
    count, size, start = struct.unpack("<HLL", tail[found + 10 : found + 20])
    end = tail_start + found
    if end >= 20 and view[end - 20 : end - 16].tobytes() == PLACE_64:
        end = struct.unpack("<Q", view[end - 12 : end - 4])[0]
        if view[end : end + 4].tobytes() != END_64:
            raise damaged("its table of contents is missing")
        count, size, start = struct.unpack("<QQQ", view[end + 32 : end + 56])
    if count > ENTRIES:
        raise WeightsError(f"holds {count} files, more than weights have: give the weight file alone")
    if start + size > len(view):
        raise damaged("its table of contents lies outside")
    files: dict[str, memoryview] = {}
    place = start
    for _ in range(count):
        if view[place : place + 4].tobytes() != ENTRY:
            raise damaged("its table of contents is torn")
        flags, method = struct.unpack("<HH", view[place + 8 : place + 12])
        packed, plain, name_length, extra, comment = struct.unpack("<LLHHH", view[place + 20 : place + 34])
        (local,) = struct.unpack("<L", view[place + 42 : place + 46])
        name = view[place + 46 : place + 46 + name_length].tobytes().decode("utf-8", "replace")
        more = view[place + 46 + name_length : place + 46 + name_length + extra].tobytes()
        packed, plain, local = _wide(more, packed, plain, local)
        place += 46 + name_length + extra + comment
        if method != 0 and name.partition("/")[2].startswith("code/"):
            continue  # of a TorchScript program, which is not looked at
        if method != 0 or flags & 1:
            raise WeightsError(
                f"is a compressed or locked archive (first: {name}), which PyTorch does not write: "
                "unpack it, and give the weight file in it or zip it without compression"
            )
        if view[local : local + 4].tobytes() != LOCAL:
            raise damaged(f"{name} has no beginning")
        begin = local + 30 + sum(struct.unpack("<HH", view[local + 26 : local + 30]))
        if plain != packed or begin + plain > len(view):
            raise damaged(f"{name} lies outside")
        files[name] = view[begin : begin + plain]
    return files


def _wide(extra: bytes, packed: int, plain: int, local: int) -> tuple[int, int, int]:
    """Sizes and place where they are too large for 32 bits: field 1 of the extra data holds those that are."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[place : place + 4])
        if kind == 1:
            words = iter(struct.unpack(f"<{length // 8}Q", extra[place + 4 : place + 4 + length // 8 * 8]))
            plain, packed, local = (
                next(words, value) if value == 0xFFFFFFFF else value for value in (plain, packed, local)
            )
        place += 4 + length
    return packed, plain, local
