"""XMP for a filled, upright picture: without embedded previews, its time linear in its length.

Layout: ISO 16684-1; extended XMP of JPEG: XMP specification, part 3.
"""

from __future__ import annotations

import hashlib
import re

PREVIEWS = (b"xmp:Thumbnails", b"xap:Thumbnails", b"xmpGImg:image", b"xapGImg:image")
FURTHER = (b"hdrgm:", b"GContainer", b"GDepth:", b"GImage:", b"GCamera:MicroVideo")
"""Words of packets that describe further pictures in the file: gain map, depth map, film."""

_EXTENSION = re.compile(rb"xmpNote:HasExtendedXMP(?:\s*=\s*[\"']([0-9A-Fa-f]{32})[\"']|>([0-9A-Fa-f]{32})<)")


def cleaned(xmp: bytes) -> bytes | None:
    """The packet without previews, orientation 1; None where previews are in it in a way that is not known here."""
    for name in PREVIEWS:
        taken = _without_element(xmp, name)
        if taken is None:
            return None
        # an attribute; where the quotes of one are not closed, none after it are looked at
        xmp = re.sub(rb"\s" + name + rb"=(\"[^\"]*\"|'[^']*')", b"", taken)
    if b":Thumbnails" in xmp or b"GImg:image" in xmp:
        return None
    xmp = re.sub(rb"(tiff:Orientation=[\"'])[2-8]", rb"\g<1>1", xmp)
    return re.sub(rb"(<tiff:Orientation>)[2-8](</tiff:Orientation>)", rb"\g<1>1\g<2>", xmp)


def resized(xmp: bytes, width: int, height: int) -> bytes:
    """The packet for a picture of another size: the numbers of pixels it states, where it does, become these."""
    for names, pixels in (
        (b"tiff:ImageWidth|exif:PixelXDimension", width),
        (b"tiff:ImageLength|exif:PixelYDimension", height),
    ):
        number = str(pixels).encode()
        xmp = re.sub(rb"((?:" + names + rb")\s{0,9}=\s{0,9}[\"'])\d{1,9}(?=[\"'])", rb"\g<1>" + number, xmp)
        xmp = re.sub(rb"(<(?:" + names + rb")>\s{0,9})\d{1,9}(?=\s{0,9}</)", rb"\g<1>" + number, xmp)
    return xmp


def names_further_pictures(xmp: bytes) -> bool:
    """Whether it describes pictures that are not written with it (a gain map, a depth map)."""
    return any(word in xmp for word in FURTHER)


def _without_element(xmp: bytes, name: bytes) -> bytes | None:
    """Without all elements of a name; None where one is not closed. Each byte is looked at a few times only."""
    opening, closing = b"<" + name, b"</" + name
    kept, at = [], 0
    while (start := xmp.find(opening, at)) >= 0:
        after = start + len(opening)
        if xmp[after : after + 1].isalnum():  # a longer name
            kept.append(xmp[at:after])
            at = after
            continue
        end = xmp.find(b">", after)
        if end > 0 and xmp[end - 1 : end] != b"/":
            end = xmp.find(closing, end)
            end = xmp.find(b">", end) if end > 0 else -1
        if end < 0:
            return None
        kept.append(xmp[at:start])
        at = end + 1
    return b"".join([*kept, xmp[at:]])


def extension_of(xmp: bytes) -> bytes | None:
    """The name (32 hexadecimal digits) of the extension that a packet asks for."""
    found = _EXTENSION.search(xmp)
    return (found[1] or found[2]) if found else None


def pointing(xmp: bytes, extended: bytes | None) -> bytes:
    """The packet asking for this extension by its MD5, or for none."""
    name = b"" if extended is None else hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode()
    return _EXTENSION.sub(lambda found: found[0].replace(found[1] or found[2], name) if name else b"", xmp)
