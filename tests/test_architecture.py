"""The arrows of ARCHITECTURE.md: imports point down only, networks know no files, devices or settings."""

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "retouche"
ROOMS = {  # room -> rooms it may import
    "conventions": set(),
    "errors": set(),
    "ambient": set(),
    "arithmetic": set(),
    "progress": set(),
    "files": {"errors"},
    "folders": {"pictures", "files", "errors"},
    "runners": {"folders", "errors"},
    "image": {"conventions", "errors"},
    "pictures": {"files", "image", "conventions", "errors"},
    "mask_reading": {"pictures", "conventions", "errors"},
    "masks": {"mask_reading", "pictures", "image", "errors"},
    "backbones": {"weights", "errors"},
    "numerics": {"progress", "errors"},
    "layers": {"numerics", "image", "masks", "progress", "errors"},
    "fills": {"numerics", "image", "masks", "progress", "errors"},
    "losses": {"backbones", "layers", "image", "masks", "errors"},
    "weights": {"files", "errors"},
    "methods": {"backbones", "weights", "numerics", "layers", "fills", "losses"}
    | {"image", "masks", "progress", "ambient", "errors"},
    "data": {"numerics", "folders", "pictures", "image", "masks", "errors"},
    "metrics": {"image", "masks", "errors"},
    "inference": {"engines", "export", "methods", "fills", "weights", "pictures", "image", "masks"}
    | {"progress", "ambient", "arithmetic", "errors"},
    "finders": {"layers", "pictures", "image", "masks", "errors"},
    "training": {"backbones", "methods", "weights", "data", "metrics", "numerics", "losses"}
    | {"files", "image", "masks", "arithmetic", "errors"},
    "evaluation": {
        "arithmetic",
        "backbones",
        "inference",
        "methods",
        "weights",
        "data",
        "metrics",
        "files",
        "folders",
        "runners",
        "image",
        "pictures",
        "masks",
        "errors",
    },
    "engines": {"errors"},
    "export": {"engines", "methods", "weights", "layers", "files", "ambient", "image", "masks", "errors"},
    "runtime": {"engines", "errors"},
    "apps": {
        "arithmetic",
        "finders",
        "backbones",
        "inference",
        "training",
        "evaluation",
        "export",
        "engines",
        "runtime",
        "methods",
        "weights",
        "numerics",
        "data",
        "files",
        "folders",
        "runners",
        "image",
        "pictures",
        "masks",
        "progress",
        "errors",
    },
}
APPS = {  # app -> apps it may import
    "batch": set(),
    "video": set(),
    "server": {"batch"},
    "cli": {"batch", "video", "server"},
}
FORBIDDEN_ANYWHERE = {"torchvision", "scipy", "cv2", "ray", "lightning_fabric", "fastapi", "tensorflow", "onnxruntime"}
FORBIDDEN_ANYWHERE |= {"onnx", "openvino"}
NETWORKS = {"numerics", "fills", "layers", "losses"}
HANDS_OFF = {"os", "pathlib", "argparse", "json"}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path.parent != SOURCE or not path.name.startswith("__")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    assert here in ROOMS, f"{here}: a new room needs its line in ROOMS"
    used = {name.split(".")[1] for name in imports(path) if name.startswith("retouche.")}
    used &= ROOMS.keys()
    assert used <= ROOMS[here] | {here}, f"{here} may not import {sorted(used - ROOMS[here] - {here})}"


@pytest.mark.parametrize("path", [path for path in FILES if room(path) == "apps"], ids=lambda path: path.stem)
def test_apps_import_down(path: Path) -> None:
    inner = path.relative_to(SOURCE / "apps").parts
    here = inner[0].removesuffix(".py")
    if here == "__init__":
        return
    assert here in APPS, f"{here}: a new app needs its line in APPS"
    used = {name.split(".")[2] for name in imports(path) if name.startswith("retouche.apps.")}
    assert used <= APPS[here] | {here}, f"apps/{here} may not import {sorted(used - APPS[here] - {here})}"


def test_rooms_and_apps_form_no_circle() -> None:
    for rooms in (ROOMS, APPS):
        left = {name: set(below) for name, below in rooms.items()}
        while left:
            lowest = [name for name, below in left.items() if not below & left.keys()]
            assert lowest, f"these import each other: {sorted(left)}"
            left = {name: below for name, below in left.items() if name not in lowest}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_extras_are_not_needed_to_import(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path, top_level_only=True)}
    if path.parent == SOURCE / "apps" / "server":  # imported by `retouche start` alone
        roots -= {"fastapi"}
    assert not roots & FORBIDDEN_ANYWHERE, f"{sorted(roots & FORBIDDEN_ANYWHERE)} must be imported where it is used"


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in NETWORKS], ids=lambda path: path.stem)
def test_networks_know_no_files(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & HANDS_OFF


def test_importing_the_package_loads_no_app() -> None:
    import subprocess

    code = "import retouche, sys; print([m for m in ('tyro', 'rich', 'torch', 'PIL', 'tifffile') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_core_install_stays_small() -> None:
    """At most 12 packages beyond torch's own."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    def closure(name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            package = waiting.pop()
            if package in found:
                continue
            found.add(package)
            needs = [Requirement(text) for text in requires(package) or []]
            waiting += [n.name.lower() for n in needs if n.marker is None or n.marker.evaluate({"extra": ""})]
        return found

    more = closure("retouche") - closure("torch") - {"retouche"}
    assert len(more) <= 12, sorted(more)


def test_public_names() -> None:
    import retouche

    surface = (Path(__file__).parent / "api_surface.txt").read_text().split()
    assert sorted(retouche.__all__) == surface
    assert all(hasattr(retouche, name) for name in retouche.__all__)


def test_test_files_have_names_of_their_own() -> None:
    """Folders of tests are no packages: of two files of one name, pytest imports the first and refuses the second."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []
