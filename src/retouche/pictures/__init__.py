"""Pictures: what users have, decoded from streams and encoded again with everything that came with them.

`decode` takes a file's bytes or a stream and gives a `Picture`, `encode` gives a file's bytes back; `open_picture` and
`write_picture` are the doors for paths, PIL images, arrays and tensors. A picture holds the user's own values, lends
crops of them as images and takes filled crops back, so that what is not filled comes out as it came in, bit for bit.

Nothing is imported before it is used: the table of formats alone needs neither Pillow nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retouche.pictures.decoding import decode, measure
    from retouche.pictures.doors import PictureLike, open_picture, write_picture
    from retouche.pictures.encoding import encode
    from retouche.pictures.picture import Picture
    from retouche.pictures.source import MAX_PIXELS, Source

_HOMES = {
    "MAX_PIXELS": "source",
    "Picture": "picture",
    "PictureLike": "doors",
    "Source": "source",
    "decode": "decoding",
    "encode": "encoding",
    "measure": "decoding",
    "open_picture": "doors",
    "write_picture": "doors",
}

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "PictureLike",
    "Source",
    "decode",
    "encode",
    "measure",
    "open_picture",
    "write_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'retouche.pictures' has no attribute {name!r}")
    return getattr(importlib.import_module(f"retouche.pictures.{_HOMES[name]}"), name)
