"""TorchScript archives, read for their tensors alone: the program in them is never opened.

`data.pkl` holds the tree of the program's modules, each an object of a class below `__torch__` whose state is a mapping
of attributes; the names on the way to a tensor, joined by dots, are those of its state dict.

Format: torch/csrc/jit/serialization (pickler.cpp, export_module.cpp).
"""

from __future__ import annotations

from typing import Any

from retouche.errors import WeightsError
from retouche.weights.border import DEPTH, damaged
from retouche.weights.pickles import REMEDY, Foreign, Known

CLASSES = "__torch__."
ATTRIBUTES = 400_000
"""Of all modules together; one that is shared counts wherever it stands."""
NAMES: dict[str, Any] = {
    **{f"torch.jit._pickle.build_{kind}list": Known(lambda items=(): items) for kind in ("int", "double", "bool")},
    "torch.jit._pickle.build_tensorlist": Known(lambda items=(): items),
    "torch.jit._pickle.restore_type_tag": Known(lambda value=None, kind="": value),
}
"""What scripted modules name for attributes that are typed lists: the lists themselves."""


def named(tree: Any, frozen: bool) -> dict[str, Any]:
    """Dotted names -> what becomes a tensor, of an archive's tree of modules.

    Args:
        tree: of `data.pkl`
        frozen: whether the archive has constants beside it

    Raises: WeightsError if it holds something else than modules and tensors, or keeps its weights without names
    """
    found: dict[str, Any] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    for _ in range(ATTRIBUTES):
        if not waiting:
            break
        path, node = waiting.pop()
        if isinstance(node, Foreign):
            if not node.name.startswith(CLASSES) or not isinstance(node.state, dict):
                raise node.refused()
            if len(path) > DEPTH:
                raise damaged("modules nested too deeply")
            # the last waits on top: attributes come in their order
            waiting += [((*path, str(key)), child) for key, child in reversed(node.state.items())]
        elif hasattr(node, "tensor"):
            found[".".join(path)] = node
    else:
        raise damaged("too many attributes")
    if not found and frozen:
        raise WeightsError(f"is a frozen TorchScript program, whose weights have lost their names: {REMEDY}")
    return found
