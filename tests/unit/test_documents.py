"""What the documents name is there: links resolve, files and names exist, the site's pages come from the code."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "retouche"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
MADE = {
    "command-line.md",
    "python.md",
    "architecture.md",
    "contributing.md",
    "changelog.md",
}  # by scripts/site_hooks.py
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
MENTION = re.compile(r"`([\w/]+\.py)(?:: (\w+))?`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_documents_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = {link for link in LINK.findall(text) if "://" not in link}
    assert [link for link in links if link not in MADE and not (document.parent / link).exists()] == []
    named = set(re.findall(r"`((?:docs|tests|scripts|benchmarks|examples)/[\w./-]+)`", text))
    generated = {"examples/web/ort"}
    assert [name for name in named - generated if not (ROOT / name).exists()] == []


def names_in(path: Path) -> set[str]:
    """What a file defines at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_files_and_names_of_the_architecture_exist() -> None:
    mentions = MENTION.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert len(mentions) > 40
    for file, name in mentions:
        homes = (
            [ROOT / file]
            if (ROOT / file).exists()
            else [path for path in SOURCE.rglob("*.py") if path.as_posix().endswith(f"/{file}")]
        )
        assert homes, f"ARCHITECTURE.md names {file}, which is not there"
        assert not name or any(name in names_in(home) for home in homes), f"ARCHITECTURE.md names {name} of {file}"


def test_the_page_of_the_command_line_comes_from_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import site_hooks

    from retouche.apps.cli import VERBS

    monkeypatch.setattr(site_hooks, "help_of", lambda *words: f"help of {' '.join(words)}")
    page = site_hooks.command_line()
    assert all(f"## {name}\n" in page and f"help of {name}\n" in page for name in VERBS)
    monkeypatch.undo()
    sys.modules.pop("site_hooks")


def test_help_is_taken_from_the_parser_and_the_environment_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setenv("COLUMNS", "40")
    import os

    import site_hooks

    text = site_hooks.help_of("check")
    assert "--lossy" in text and "\x1b" not in text and max(map(len, text.splitlines())) <= 100
    assert os.environ["COLUMNS"] == "40"


def test_what_would_be_loaded_from_elsewhere_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import site_hooks

    assert site_hooks.FOREIGN.search('<script async src="https://elsewhere.example/x.js"></script>')
    assert site_hooks.FOREIGN.search('<link rel="stylesheet" href="//elsewhere.example/x.css">')
    assert not site_hooks.FOREIGN.search('<a href="https://elsewhere.example">x</a><img src="../examples/face.jpg">')


def test_the_python_page_has_every_public_name_and_says_what_is_in_its_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import site_hooks

    import retouche
    from retouche.methods import METHODS

    page = site_hooks.python()
    assert all(f"retouche.{name}\n" in page for name in retouche.__all__)
    modules = retouche.layers, retouche.losses
    names = {f"{module.__name__}.{name}" for module in modules for name in module.__all__}
    rows = dict(re.findall(r"^\| `([\w.-]+)` \| (.*) \|$", page, re.M))
    assert rows.keys() == names | METHODS.keys() and all(rows.values())


def test_every_method_is_in_the_menu_and_every_word_of_it_is_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import site_hooks

    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    menu, chinese = text[text.index("nav:") : text.index("\nextra:")], text[text.index("  chinese:") :]
    words = dict(re.findall(r"^    ([^:]+): (.+)$", chinese, re.M))
    titles = re.findall(r"^ +- ([A-Z][^:]*):", menu, re.M)
    assert titles == list(words) and all(re.search(r"[\u4e00-\u9fff]", word) for word in words.values())
    (below,) = site_hooks.with_methods([{"Methods": ["methods/README.md"]}])
    pages = {path.name for path in (ROOT / "docs" / "methods").glob("*.md")}
    assert {page for entry in below["Methods"][1:] for page in entry.values()} == {
        f"methods/{page}" for page in pages - {"README.md"}
    }
    assert below["Methods"][0] == "methods/README.md"
