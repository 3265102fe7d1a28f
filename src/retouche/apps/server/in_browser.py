"""What the page needs to fill without the server: exported files, and ONNX Runtime Web, which runs them there.

ONNX Runtime Web is an npm package that the operator brings; the page asks no other address for it. WebAssembly needs a
word in the page's policy, which is there only where this is on.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retouche.apps.server.safety import HEADERS
from retouche.engines.onnx_file import open_onnx
from retouche.errors import InputError, WeightsError

PACKAGE = Path("node_modules") / "onnxruntime-web"
"""Where npm puts it."""
NEEDED = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""What the page loads of it: WebAssembly alone, and with WebGPU."""
RUNTIME_PATH, MODELS_PATH = "/onnxruntime-web", "/browser-models"
MEDIA = "application/octet-stream"
POLICY = "content-security-policy"


@dataclass(frozen=True)
class BrowserModel:
    """An exported file that the page may load.

    Attributes:
        path: where it is
        sha256: of its bytes
        size: in bytes
        facts: what it says of itself
    """

    path: Path
    sha256: str
    size: int
    facts: dict[str, Any]

    @property
    def address(self) -> str:
        """Where the page finds it; another file never has the same."""
        return f"{MODELS_PATH}/{self.sha256}.onnx"

    def row(self) -> dict[str, Any]:
        """What the page is told."""
        facts = {name: self.facts.get(name) for name in ("method", "title", "licence", "form", "inputs", "window")}
        return {"name": self.path.name, "address": self.address, "sha256": self.sha256, "bytes": self.size, **facts}


@dataclass(frozen=True)
class InBrowser:
    """What the page fills with by itself.

    Attributes:
        runtime: the folder of ONNX Runtime Web's files
        models: may be none: the page opens files of its user's
    """

    runtime: Path
    models: tuple[BrowserModel, ...] = ()

    def row(self) -> dict[str, Any]:
        """What the page is told."""
        return {"runtime": f"{RUNTIME_PATH}/", "models": [model.row() for model in self.models]}


def in_browser(models: tuple[str, ...], package: str | None) -> InBrowser | None:
    """What an operator's words mean; None where nothing was asked for.

    Args:
        models: exported files
        package: the folder of the npm package onnxruntime-web; None = where npm puts it, if there are models
    Raises: InputError, WeightsError
    """
    if not models and package is None:
        return None
    found = {model.sha256: model for model in map(_model, models)}
    return InBrowser(_runtime(package), tuple(found.values()))


def headers(page: InBrowser | None) -> dict[str, str]:
    """The headers of safety; where the page fills, its scripts may compile WebAssembly, and share memory."""
    if page is None:
        return HEADERS
    policy = HEADERS[POLICY].replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    return {**HEADERS, POLICY: policy, "cross-origin-embedder-policy": "require-corp"}


def runtime_file(page: InBrowser, name: str) -> Path | None:
    """A file of ONNX Runtime Web that the page may load."""
    return page.runtime / name if re.fullmatch(r"ort[\w.-]*\.(mjs|wasm)", name) else None


def _runtime(package: str | None) -> Path:
    folder = PACKAGE if package is None else Path(package)
    for place in (folder / "dist", folder):
        if all((place / name).is_file() for name in NEEDED):
            return place.resolve()
    if package is None:
        raise InputError(
            f"--browser-model needs ONNX Runtime Web: npm install onnxruntime-web, then --onnxruntime-web {PACKAGE}"
        )
    missing = next(name for name in NEEDED if not (folder / "dist" / name).is_file())
    raise InputError(
        f"--onnxruntime-web {package} is not the npm package onnxruntime-web (no dist/{missing}): "
        f"npm install onnxruntime-web, then give {PACKAGE}"
    )


def _model(name: str) -> BrowserModel:
    file = open_onnx(name)
    facts = file.facts()
    if "structure" in facts["inputs"].split():
        raise WeightsError(f"{name} needs structure pictures, which the page does not make: give it by --model")
    return BrowserModel(file.path.resolve(), hashlib.sha256(file.data).hexdigest(), len(file.data), facts)
