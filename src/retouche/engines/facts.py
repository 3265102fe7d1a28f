"""What an exported file says of itself, read and held against bounds: programs work by these numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retouche.errors import WeightsError

FORMAT = "1"
"""Of the metadata; a newer one is refused."""
LARGEST_SIDE = 1 << 13
"""Pixels, of a network that knows one size."""
BOUNDS = {
    "multiple": (1, 1024),
    "smallest": (0, LARGEST_SIDE),
    "largest": (0, 1 << 24),
    "only": (0, LARGEST_SIDE),
    "side": (1, 1 << 24),
    "hole": (1, 1 << 24),
}
"""Of the numbers of `window`."""
PICTURES = {"network": "image", "pipeline": "picture"}
"""Form -> name of its first input; the mask is the second."""
GUIDES = {"sketch", "structure"}


def read(path: Path, metadata: Mapping[str, str], inputs: Sequence[str]) -> dict[str, Any]:
    """The metadata with its JSON read.

    Args:
        path: for messages
        metadata: as it is
        inputs: what the graph is fed, in order

    Raises: WeightsError for a file that is none of ours, newer than this version, or beyond bounds
    """
    if "retouche" not in metadata or "method" not in metadata:
        raise WeightsError(
            f"{path} is an ONNX file that does not say how pictures go in: make one with `retouche export`"
        )
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} has format {metadata.get('format', '?')[:20]}, this version reads {FORMAT}: update Retouche"
        )
    try:
        found = {
            **metadata,
            **{key: json.loads(metadata[key]) for key in ("window", "parity", "config") if key in metadata},
        }
        fits = _inputs_fit(found, inputs) and _window_fits(found["window"])
    except (ValueError, RecursionError, KeyError, TypeError):
        fits = False
    if not fits:
        raise WeightsError(f"{path} has damaged metadata: export it anew")
    return found


def _inputs_fit(facts: Mapping[str, Any], inputs: Sequence[str]) -> bool:
    return (
        facts["inputs"].split() == list(inputs)
        and list(inputs[:2]) == [PICTURES[facts["form"]], "mask"]
        and set(inputs[2:]) <= GUIDES
    )


def _window_fits(window: dict[str, Any]) -> bool:
    numbers = [(window[name], *bounds) for name, bounds in BOUNDS.items()]
    numbers.append((window.get("context", 0), 0, 1000))  # left out where it is infinite
    if window.get("centre") is not None:
        side, hole = window["centre"]
        numbers += [(side, 1, LARGEST_SIDE), (hole, 1, side)]
    return all(type(value) in (int, float) and low <= value <= high for value, low, high in numbers)
