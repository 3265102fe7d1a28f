"""The methods by name. Adding one is its file and one line here.

Modules are imported only when asked for, so that `retouche --help` stays quick. Other packages add methods through
the entry-point group `retouche.methods` with the same record.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING

from retouche.errors import InputError

if TYPE_CHECKING:
    from retouche.methods.method import Method

METHODS = {
    "aot-gan": "retouche.methods.aot_gan",
    "context-encoder": "retouche.methods.context_encoder",
    "deepfill-v1": "retouche.methods.deepfill_v1",
    "deepfill-v2": "retouche.methods.deepfill_v2",
    "lama": "retouche.methods.lama",
    "mi-gan": "retouche.methods.mi_gan",
    "partial-conv": "retouche.methods.partial_conv",
    "sii-gan": "retouche.methods.sii_gan",
    "structural": "retouche.methods.structural",
    "structure-flow": "retouche.methods.structure_flow",
    # ours
    "layout": "retouche.methods.layout",
    "refine": "retouche.methods.refine",
    "thin": "retouche.methods.thin",
    "retouche": "retouche.methods.retouche",
    "guided": "retouche.methods.guided",
    # fills that nobody trains
    "exemplar": "retouche.methods.fills:EXEMPLAR",
    "harmonic": "retouche.methods.fills:HARMONIC",
    "mean": "retouche.methods.fills:MEAN",
}
WITHOUT_WEIGHTS = ("retouche", "guided", "exemplar", "harmonic", "mean")
CLASSICAL = {  # baselines of tables, behind the extra `classical`; known by name only, not listed
    "telea": "retouche.methods.fills:TELEA",
    "navier-stokes": "retouche.methods.fills:NAVIER_STOKES",
    "fsr": "retouche.methods.fills:FSR",
}
STAND_INS = {"portable": "retouche.methods.portable"}  # networks of exported files alone; known by name only
DEFAULT = "retouche"
"""The shipped default: what `default`, and names of programs we do not have, resolve to."""


@cache
def _foreign() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group="retouche.methods")}


def methods() -> list[str]:
    """Names of the trainable methods, then of the fills without weights."""
    known = [*METHODS, *sorted(_foreign().keys() - METHODS.keys())]
    return sorted((name for name in known), key=lambda name: name in WITHOUT_WEIGHTS)


@cache
def find(name: str) -> Method:
    """The record of a method.

    Raises: InputError with the nearest name if there is none of this name
    """
    from retouche.methods.method import Method  # brings PyTorch, which lists of names do without

    name = DEFAULT if name == "default" else name
    unlisted = CLASSICAL.get(name) or STAND_INS.get(name)
    if name not in METHODS and not unlisted and name not in _foreign():
        near = difflib.get_close_matches(name, [*methods(), "default"], 1)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        raise InputError(f'no method "{name[:80]}"; {hint}known: {", ".join(methods())}')
    path, _, attribute = (METHODS.get(name) or unlisted or _foreign()[name]).partition(":")
    record = getattr(importlib.import_module(path), attribute or "METHOD")
    if not isinstance(record, Method):
        raise InputError(f'method "{name}" of {path} is no retouche.methods.method.Method')
    return record


class _CallableModule(ModuleType):
    """`retouche.methods()` lists the names although `retouche.methods` is also this package."""

    def __call__(self) -> list[str]:
        return methods()


sys.modules[__name__].__class__ = _CallableModule
