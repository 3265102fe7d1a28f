"""What the site takes from the code and from the files beside `docs/`; hooks of MkDocs, which `mkdocs.yml` names.

The command line comes from the parser (`retouche VERB --help`), the Python pages from `retouche.__all__`, architecture,
contributing and changes from their files. A page that would load anything from another host is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
COPIED = {"architecture.md": "ARCHITECTURE.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
FOREIGN = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def help_of(*words: str) -> str:
    """What `retouche WORDS --help` prints, at a width of 100 characters, without colours."""
    from retouche.apps.cli import main

    printed = io.StringIO()
    kept = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(printed):
            code = main([*words, "--help"])
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert code == 0, f"retouche {' '.join(words)} --help: exit code {code}"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).splitlines()
    return "\n".join(textwrap.fill(line, 100) if len(line.rstrip()) > 100 else line.rstrip() for line in lines)


def command_line() -> str:
    """The page of the command line: every verb with its help."""
    from retouche.apps.cli import VERBS

    parts = ["# Command line\n", "```text", help_of().rstrip(), "```\n"]
    for name, verb in VERBS.items():
        parts += [
            f"## {name}\n",
            f"{verb.help[0].upper()}{verb.help[1:]}.\n",
            "```text",
            help_of(name).rstrip(),
            "```\n",
        ]
    return "\n".join(parts)


def python() -> str:
    """The page of the Python interface: every public name by its docstring."""
    import retouche

    parts = ["# Python\n", "```python", (retouche.__doc__ or "").split("\n\n", 1)[1].strip(), "```\n"]
    parts += [
        "The type given comes back: a PIL image for a path, an array for an array. Every error names its remedy.\n"
    ]
    for name in sorted(retouche.__all__, key=lambda name: (name[0].isupper(), name)):
        value = getattr(retouche, name)
        where = value.__name__ if isinstance(value, ModuleType) else f"{value.__module__}.{value.__name__}"
        parts += [f"## retouche.{name}\n", f"::: {where}"]
        parts += ["    options:", "      show_root_heading: false", "      show_root_toc_entry: false"]
        parts += (
            ["      members: false\n"] if where in {"retouche.layers", "retouche.losses", "retouche.methods"} else [""]
        )
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """Address of each page that is no file in `docs/` -> its Markdown."""
    copied = {page: (ROOT / file).read_text(encoding="utf-8") for page, file in COPIED.items()}
    return {"command-line.md": command_line(), "python.md": python(), **copied}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made here."""
    from mkdocs.structure.files import File

    for address, text in pages().items():
        files.append(File.generated(config, address, content=text))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuse what would be loaded from another host.

    Raises: PluginError, which ends the build
    """
    from mkdocs.exceptions import PluginError

    foreign = FOREIGN.search(output)
    if foreign:
        raise PluginError(f"{page.file.src_uri} would load from another host: {foreign.group()[:200]}")
    return output
