"""Photoshop's image resources, IPTC among them: kept, but for previews of what was removed.

Layout: Adobe Photoshop file formats specification (image resources), IPTC-IIM 4.2.
"""

from __future__ import annotations

import struct

IPTC = 1028
# thumbnails; copies of EXIF, XMP and profile, which are kept in their own places, upright
_LEFT_OUT = (1033, 1036, 1039, 1058, 1059, 1060)
_PREVIEWS = (200, 201, 202)  # data sets of IPTC's record 2: the preview's format, its version, the preview


def resources(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """(number, name as stored, content) of each resource, up to the first that is cut short."""
    found, at = [], 0
    while data[at : at + 4] == b"8BIM" and at + 7 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        length = data[at + 6] + 1
        named = at + 6 + length + length % 2
        if named + 4 > len(data):
            break
        (size,) = struct.unpack_from(">I", data, named)
        if named + 4 + size > len(data):
            break
        found.append((number, data[at + 6 : named], data[named + 4 : named + 4 + size]))
        at = named + 4 + size + size % 2
    return found


def packed(found: list[tuple[int, bytes, bytes]]) -> bytes:
    """The resources as stored, each of even length."""
    return b"".join(
        b"8BIM" + struct.pack(">H", number) + name + struct.pack(">I", len(content)) + content + bytes(len(content) % 2)
        for number, name, content in found
    )


def of_iptc(iptc: bytes) -> bytes:
    """IPTC alone as an image resource."""
    return packed([(IPTC, b"\0\0", iptc)])


def iptc_of(data: bytes) -> bytes | None:
    """The IPTC among image resources."""
    return next((content for number, _, content in resources(data) if number == IPTC), None)


def cleaned(data: bytes) -> bytes | None:
    """Without previews and without embedded pictures; None where nothing is left."""
    found = [
        (number, name, _without_previews(content) if number == IPTC else content)
        for number, name, content in resources(data)
        if number not in _LEFT_OUT
    ]
    return packed([each for each in found if b"\xff\xd8\xff" not in each[2]]) or None


def _without_previews(iptc: bytes) -> bytes:
    """IPTC's data sets without the preview; what does not read as a data set ends them."""
    kept, at = [], 0
    while at + 5 <= len(iptc) and iptc[at] == 0x1C:
        record, number, size = struct.unpack_from(">BBH", iptc, at + 1)
        head = 5
        if size & 0x8000:  # the length's own length
            head += size & 0x7FFF
            size = int.from_bytes(iptc[at + 5 : at + head], "big") if head <= 9 else len(iptc)
        end = at + head + size
        if end > len(iptc):
            break
        if record != 2 or number not in _PREVIEWS:
            kept.append(iptc[at:end])
        at = end
    return b"".join(kept)
