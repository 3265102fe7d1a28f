"""Writing a picture here or elsewhere."""

from __future__ import annotations

from pathlib import Path

from retouche.folders.elsewhere import Far
from retouche.pictures import Picture, encode, write_picture
from retouche.pictures.encoding import format_of


def write_output(picture: Picture, path: Path, *, overwrite: bool) -> None:
    """Write a picture here or elsewhere, whole or not at all. Raises: InputError"""
    if isinstance(path, Far):
        path.put(encode(picture, format_of(path).name, path.name), overwrite=overwrite)
    else:
        write_picture(picture, path, overwrite=overwrite, parents=True)
