"""Parts shared by the methods; the public ones by name, loaded when first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retouche.layers.attention import contextual_attention
    from retouche.layers.partial import PartialConv2d
    from retouche.layers.sampling import gaussian_sample
    from retouche.numerics.structure import rtv

__all__ = ["PartialConv2d", "contextual_attention", "gaussian_sample", "rtv"]

_HOMES = {
    "PartialConv2d": "retouche.layers.partial",
    "contextual_attention": "retouche.layers.attention",
    "gaussian_sample": "retouche.layers.sampling",
    "rtv": "retouche.numerics.structure",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
