"""Paddle's `.pdparams`: one pickle, tensor name -> NumPy array, beside the table `StructuredToParameterName@@`.

Newer releases of Paddle keep a tensor as the pair (name, array), which unpickles as `tuple((name, array))`; bfloat16 is
kept as uint16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights.border import Stream
from retouche.weights.pickles import Machine, StoredArray


class Bits(StoredArray):
    """An array whose unsigned 16-bit numbers are the bits of bfloat16."""

    __slots__ = ()

    def tensor(self) -> Tensor | None:
        """The array's numbers."""
        result = super().tensor()
        return result.view(torch.bfloat16) if result is not None and result.dtype == torch.uint16 else result


def read_paddle(stream: Stream) -> Any:
    """The tree of a `.pdparams` file: dictionaries of arrays.

    Raises: WeightsError for files split because of their size
    """
    tree = Machine(stream).load()
    if not isinstance(tree, dict):
        return tree
    if "UnpackBigParamInfor@@" in tree:
        raise WeightsError("keeps its tensors in slices: load and save it once with paddle (protocol 4)")
    return {name: _array(node) for name, node in tree.items() if name != "StructuredToParameterName@@"}


def _array(node: Any) -> Any:
    if isinstance(node, tuple) and len(node) == 2 and isinstance(node[0], str) and isinstance(node[1], StoredArray):
        node = node[1]
    if isinstance(node, StoredArray):
        bits = Bits()
        bits.restore(node.state)
        return bits
    return node
