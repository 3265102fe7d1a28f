"""What the site takes from the code and from the files beside `docs/`; hooks of MkDocs, which `mkdocs.yml` names.

The command line comes from the parser (`retouche VERB --help`), the Python page from `retouche.__all__`, architecture,
contributing and changes from their files; the menu of Chinese pages is Chinese (`extra.chinese` in `mkdocs.yml`). A
page that would load anything from another host is an error.
"""

from __future__ import annotations

import contextlib
import inspect
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


def first_line(value: Any) -> str:
    """The first line of a docstring, as a cell of a table."""
    lines = (inspect.getdoc(value) or "").splitlines() or [""]
    return lines[0].replace("|", r"\|")


def table(module: ModuleType, names: list[str]) -> list[str]:
    """Public names of a module, each with what it is."""
    rows = [f"| `{module.__name__}.{name}` | {first_line(getattr(module, name))} |\n" for name in names]
    return ["\n| name | what it is |\n|---|---|\n", *rows]


def methods() -> list[str]:
    """Names that `retouche.create` and `retouche.load` take, each with its title."""
    from retouche.methods import METHODS, find

    return [
        "\n| name | method |\n|---|---|\n",
        *(f"| `{name}` | {find(name).title} |\n" for name in METHODS),
    ]


def python() -> str:
    """The page of the Python interface: every public name by its signature and docstring."""
    import retouche

    parts = ["# Python\n\n```python\nimport retouche\n\n"]
    parts += [(retouche.__doc__ or "").split("\n\n", 1)[1].strip(), "\n```\n\n"]
    parts += ["What comes back has the type of the picture given: an array for an array, a PIL image for a path. "]
    parts += ["Every error says in one line what to do.\n"]
    for name in sorted(retouche.__all__, key=lambda name: (name[0].isupper(), name)):
        value = getattr(retouche, name)
        if isinstance(value, ModuleType):
            words = (inspect.getdoc(value) or "").split("\n\n")[0]
            parts += [f"\n## retouche.{name}\n\n{words}\n"]
            parts += methods() if name == "methods" else table(value, sorted(value.__all__))
            continue
        options = {"heading": f"retouche.{name}", "toc_label": f"retouche.{name}", "heading_level": 2}
        parts += [f"\n::: {value.__module__}.{value.__name__}\n    options:\n"]
        parts += [f"      {option}: {words}\n" for option, words in options.items()]
    return "".join(parts)


def pages() -> dict[str, str]:
    """Address of each page that is no file in `docs/` -> its Markdown."""
    copied = {page: (ROOT / file).read_text(encoding="utf-8") for page, file in COPIED.items()}
    return {"command-line.md": command_line(), "python.md": python(), **copied}


def with_methods(entries: list[Any]) -> list[Any]:
    """A menu in which the list of methods is followed by the page of each."""
    pages = sorted(path.name for path in (ROOT / "docs" / "methods").glob("*.md") if path.name != "README.md")
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            entry = {title: with_methods(below) if isinstance(below, list) else below for title, below in entry.items()}
        found.append(entry)
        if entry == "methods/README.md":
            found += [{page.removesuffix(".md"): f"methods/{page}"} for page in pages]
    return found


def on_config(config: Any) -> Any:
    """Put each method's page into the menu."""
    config.nav = with_methods(config.nav)
    return config


def rename(entries: Any, words: dict[str, str]) -> None:
    """Put other words into a menu, wherever `words` has some."""
    for entry in entries:
        entry.title = words.get(entry.title, entry.title)
        rename(entry.children or [], words)


def on_page_context(context: Any, page: Any, config: Any, nav: Any) -> Any:
    """Write menu and labels of a page in the language of the page: each is rendered right after this."""
    chinese = page.file.src_uri.endswith(".zh.md")
    words: dict[str, str] = config.extra["chinese"]
    rename(nav.items, words if chinese else {translated: word for word, translated in words.items()})
    config.theme["language"] = "zh" if chinese else "en"
    return context


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
