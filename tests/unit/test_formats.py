"""The table of formats is the only one: other places that name formats name all of them."""

import re
from pathlib import Path

import retouche
from retouche.pictures.formats import FORMATS, SUFFIXES

EDITOR = Path(retouche.__file__).parent / "apps" / "editor"


def test_the_editor_opens_and_names_what_the_server_decodes() -> None:
    accepted = re.search(r'id="file"[^>]* accept="([^"]*)"', (EDITOR / "index.html").read_text())
    assert accepted is not None and set(SUFFIXES) <= set(accepted[1].split(","))
    named = (EDITOR / "save.js").read_text()
    for one in FORMATS.values():
        assert f'"{one.media}": "' in named, one.title
